"""HTML on standard input, PDF on standard output: a program of its own, started by `pdf`.

It fetches nothing. Of `static:` addresses it reads the file of that name below the folder that it was given;
every other address is refused, and what was to come from there is left out.
"""

import resource
import sys
from pathlib import Path
from urllib.parse import unquote

MEMORY_BYTES = 2 << 30
CPU_S = 60
TYPES = {".css": "text/css", ".svg": "image/svg+xml"}


def fetcher(folder: Path):  # type: ignore[no-untyped-def]
    """What reads the product's own style sheets and pictures, and nothing else."""
    from weasyprint.urls import URLFetcher, URLFetcherResponse

    class OurFiles(URLFetcher):  # type: ignore[misc]
        def fetch(self, url: str, headers: object = None) -> URLFetcherResponse:
            scheme, _colon, name = url.partition(":")
            path = (folder / unquote(name)).resolve()
            if scheme != "static" or not path.is_relative_to(folder) or path.suffix not in TYPES:
                raise ValueError("nothing is fetched from there")
            return URLFetcherResponse(url, path.read_bytes(), {"Content-Type": TYPES[path.suffix]})

    return OurFiles()


def main() -> None:
    """The only argument is the folder of static files."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    from weasyprint import HTML

    html = sys.stdin.buffer.read().decode()
    document = HTML(string=html, url_fetcher=fetcher(Path(sys.argv[1]).resolve()), base_url="nowhere:/")
    sys.stdout.buffer.write(document.write_pdf())


if __name__ == "__main__":
    main()

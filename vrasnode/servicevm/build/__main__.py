"""`python -m vrasnode.servicevm.build OUT.raw`: the virtual server's image, published like any other."""

import argparse
import subprocess
import sys
from pathlib import Path

from vrasnode import __version__
from vrasnode.errors import VrasError
from vrasnode.servicevm.build.cache import default_cache
from vrasnode.servicevm.build.image import build_image


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m vrasnode.servicevm.build", description=__doc__)
    parser.add_argument("out", type=Path, help="the raw disk to write")
    parser.add_argument("--version", default=__version__, help="what it says that it is (%(default)s)")
    parser.add_argument("--cache", type=Path, default=default_cache(), help="packages and built images")
    options = parser.parse_args()
    try:
        image = build_image(options.cache, version=options.version, say=print)
    except VrasError as error:
        print(error, file=sys.stderr)
        return 1
    part = options.out.with_name(f"{options.out.name}.part")
    subprocess.run(["cp", "--sparse=always", image.disk, part], check=True)
    part.chmod(0o644)
    part.replace(options.out)
    print(f"{options.out}: virtual server {image.version}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

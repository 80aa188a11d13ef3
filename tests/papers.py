"""PDFs, as a reader other than the one that made them sees them (poppler)."""

import subprocess


def text_of(data: bytes) -> str:
    """Its words, with single spaces."""
    done = subprocess.run(
        ["pdftotext", "-enc", "UTF-8", "-", "-"], input=data, capture_output=True, check=True
    )
    return " ".join(done.stdout.decode().split())

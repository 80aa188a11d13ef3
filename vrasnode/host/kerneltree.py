"""Small, careful reads of the kernel's trees (/sys, /proc), for the modules that find out what this PC has.

Anything may vanish between two reads, for a device may be pulled at any moment: what is gone reads as None.
Text that a device says of itself is not trusted: it comes out short and printable. Nothing here knows what a
file means.
"""

import re
import unicodedata
from pathlib import Path

MAX_FILE_BYTES = 64 << 10
MAX_TEXT = 126  # characters: the longest string descriptor of USB (USB 2.0 §9.6.7)

PCI_ADDRESS = re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")
USB_PORT = re.compile(r"\d{1,3}-\d{1,3}(\.\d{1,3}){0,6}")


def read(path: Path) -> bytes | None:
    """The beginning of a file, at most MAX_FILE_BYTES; None where it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(MAX_FILE_BYTES)
    except (OSError, ValueError):
        return None


def lines(path: Path) -> list[list[str]]:
    """A table of the kernel's (/proc/swaps, /proc/net/route), line by line and word by word."""
    try:
        whole = path.read_text("utf-8", "replace")
    except OSError:
        return []
    return [words for line in whole.splitlines() if (words := line.split())]


def text(path: Path) -> str | None:
    """One word or line of the kernel's own, without the space around it; None where it cannot be read."""
    data = read(path)
    return None if data is None else data.decode("utf-8", "replace").strip()


def said(path: Path) -> str:
    """What a device says of itself, cleaned; empty where it says nothing."""
    data = read(path)
    return "" if data is None else clean(data.decode("utf-8", "replace"))


def clean(words: str) -> str:
    """One printable line of at most MAX_TEXT characters: what is no letter, sign or space becomes U+FFFD, so
    that two different texts stay different."""
    line = "".join(
        "\ufffd" if unicodedata.category(sign) in _UNPRINTABLE else sign for sign in words.strip()[:MAX_TEXT]
    )
    return " ".join(line.split())


def number(path: Path, base: int = 10) -> int | None:
    """A whole number; None where there is none."""
    try:
        return int(text(path) or "", base)
    except ValueError:
        return None


def names(directory: Path) -> list[str]:
    """What lies in a directory, sorted; nothing where it cannot be read."""
    try:
        return sorted(entry.name for entry in directory.iterdir())
    except OSError:
        return []


def real(path: Path) -> Path | None:
    """Where a symbolic link leads; None where nothing is there."""
    try:
        return path.resolve(strict=True)
    except (OSError, RuntimeError):
        return None


def link_name(path: Path) -> str | None:
    """The last word of what a link names ("driver" -> "e1000e"); None where there is no link."""
    try:
        return path.readlink().name
    except OSError:
        return None


def pci_ancestors(path: Path) -> list[str]:
    """The PCI functions on the way to a device, the outermost first."""
    return [part for part in path.parts if PCI_ADDRESS.fullmatch(part)]


def usb_ancestor(path: Path) -> str | None:
    """The USB device that a device belongs to: the innermost."""
    return next((part for part in reversed(path.parts) if USB_PORT.fullmatch(part)), None)


_UNPRINTABLE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}

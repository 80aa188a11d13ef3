"""Real PCs with real libvirtds, and the smallest guest that shows that it ran. Needs root."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from config.demo.bootimage import BootImages, build_images, default_cache
from config.demo.lan import Lan
from config.demo.pcs import LabPc

QEMU_CACHE = default_cache() / "qemu-capabilities"
DISK_BYTES = 1 << 20
LIMIT_S = 400.0  # for a guest on a busy machine under TCG; a few seconds are usual


@pytest.fixture
def lab_pc(lan: Lan, tmp_path: Path) -> Iterator[LabPc]:
    """A PC that one test may treat as it likes."""
    with LabPc(lan.join("pc"), tmp_path / "pc", cache=QEMU_CACHE) as pc:
        yield pc


@pytest.fixture(scope="session")
def libvirtd(swept: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URI of a libvirtd that tests share, each with machines of its own names."""
    with Lan() as lan, LabPc(lan.join("pc"), tmp_path_factory.mktemp("pc"), cache=QEMU_CACHE) as pc:
        yield pc.uri


@pytest.fixture(scope="session")
def boot_images() -> BootImages:
    """Small masters that boot, with a guest agent."""
    return build_images(default_cache())


def comes(what: Callable[[], bool]) -> bool:
    """Whether `what` becomes true, asked until it is or nobody would wait longer."""
    deadline = time.monotonic() + LIMIT_S
    while not what() and time.monotonic() < deadline:
        time.sleep(0.02)
    return what()


def talking_disk(words: str) -> bytes:
    """A disk whose boot sector writes `words` to the first serial port and then waits for ever."""
    code = bytes.fromhex(
        "31c0 8ed8"  # xor ax,ax; mov ds,ax
        "be157c"  # mov si,0x7c15: behind this code
        "baf803"  # mov dx,0x3f8: the first serial port
        "ac 84c0 7403 ee ebf8"  # next: lodsb; test al,al; jz wait; out dx,al; jmp next
        "f4 ebfd"  # wait: hlt; jmp wait
    )
    sector = (code.ljust(0x15, b"\x90") + words.encode() + b"\0").ljust(510, b"\0") + b"\x55\xaa"
    return sector.ljust(DISK_BYTES, b"\0")

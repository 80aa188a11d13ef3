"""Raw images for the tests of the chunk engine: sparse, made of pieces, and gone when they are dropped."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from vrasnode.chunks.cutting import CutResult
from vrasnode.chunks.frames import open_frame
from vrasnode.chunks.hashing import digest_of
from vrasnode.chunks.opening import OpenImage, open_image
from vrasnode.chunks.packs import Pack, read_index

BOOT_SECTOR = bytes(510) + b"\x55\xaa"


@contextmanager
def raw_file(size_bytes: int, pieces: Mapping[int, bytes]) -> Iterator[Path]:
    """A sparse file in memory with these bytes at these offsets."""
    fd = os.memfd_create("image")
    try:
        os.ftruncate(fd, size_bytes)
        for offset, data in pieces.items():
            os.pwrite(fd, data, offset)
        yield Path(f"/proc/self/fd/{fd}")
    finally:
        os.close(fd)


@contextmanager
def raw_image(size_bytes: int, pieces: Mapping[int, bytes]) -> Iterator[OpenImage]:
    """The same, opened; with a boot sector, so that it passes for a disk."""
    with raw_file(size_bytes, {0: BOOT_SECTOR, **pieces}) as path, open_image(path) as image:
        yield image


def read_all(image: OpenImage) -> bytes:
    return os.pread(image.fd, image.size_bytes, 0)


class Shelf:
    """Packs as a server would keep them: written, read back by their index."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.ids: list[str] = []
        self.frames: dict[bytes, bytes] = {}

    def put(self, pack: Pack) -> None:
        path = self.directory / pack.pack_id
        path.write_bytes(b"".join(pack.parts))
        data = path.read_bytes()
        self.ids.append(pack.pack_id)
        for digest, offset, length in read_index(path):
            self.frames[digest] = data[offset : offset + length]

    def assemble(self, result: CutResult, *, hash: str = "blake3") -> bytes:  # noqa: A002
        """The image again, from nothing but the packs and the list; every digest is compared."""
        image = bytearray(result.size_bytes)
        for index, number in enumerate(result.numbers):
            digest = bytes(result.digests[32 * index : 32 * index + 32])
            start = number * result.chunk_bytes
            length = min(result.chunk_bytes, result.size_bytes - start)
            chunk = open_frame(self.frames[digest], length)
            assert digest_of(hash)(chunk) == digest
            image[start : start + length] = chunk
        return bytes(image)

"""The chunk store on a local disk: packs, manifests, frame maps, files that came through the browser.

Layout under the store's directory: `packs/ab/<id>.pack`, `manifests/<digest>.manifest|.frames`,
`manifests/<digest>.<digest of the base>.deltas`,
`incoming/` (parts of what has not arrived whole; swept), `sources/`. Every file appears whole or not at
all. Which packs count is said by `Pack` rows; a file without a row is garbage.
"""

import logging
import os
import secrets
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import BinaryIO

from django.conf import settings
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from clients.errors import Refusal
from imaging.models import Pack
from vrasnode.chunks import framemap, packs
from vrasnode.chunks.packs import PackIndex
from vrasnode.errors import Refused

log = logging.getLogger("openvras.store")


class Store:
    """The files of one store."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.catalogue = Catalogue(self)

    def pack_path(self, pack_id: str) -> Path:
        return self.root / "packs" / pack_id[:2] / f"{pack_id}.pack"

    def manifest_path(self, digest: str) -> Path:
        return self.root / "manifests" / f"{digest}.manifest"

    def frames_path(self, digest: str) -> Path:
        return self.root / "manifests" / f"{digest}.frames"

    def deltas_path(self, digest: str, base: str) -> Path:
        return self.root / "manifests" / f"{digest}.{base}.deltas"

    def source_path(self, name: str) -> Path:
        return self.root / "sources" / name

    def keep_pack(self, pack: packs.Pack, *, kind: str = Pack.Kind.PLAIN) -> None:
        """Stores a pack that this process made."""
        with self.incoming(self.pack_path(pack.pack_id)) as file:
            for part in pack.read_from(0):
                file.write(part)
        self.admit(pack.pack_id, kind=kind)

    def admit(self, pack_id: str, *, kind: str = Pack.Kind.PLAIN) -> None:
        """Makes a pack count, once its file is whole and in place."""
        size = self.pack_path(pack_id).stat().st_size
        Pack.objects.update_or_create(
            pk=pack_id,
            defaults={"size_bytes": size, "condemned_at": None},
            create_defaults={"size_bytes": size, "kind": kind, "created_at": timezone.now()},
        )

    def keep(self, path: Path, data: bytes) -> None:
        """Writes a small file durably."""
        with self.incoming(path) as file:
            file.write(data)

    @contextmanager
    def incoming(self, final: Path) -> Iterator[BinaryIO]:
        """A file that takes its name when the block ends well: synced, renamed, directory synced.

        Raises Refusal(store_full) when the disk has no room.
        """
        temporary = self.root / "incoming" / f"{secrets.token_hex(8)}.part"
        try:
            temporary.parent.mkdir(parents=True, exist_ok=True)
            final.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open("wb", buffering=0) as file:
                yield file
                os.fsync(file.fileno())
            temporary.rename(final)
            _sync_directory(final.parent)
        except OSError as error:
            if error.errno in (28, 122):  # ENOSPC, EDQUOT
                raise Refusal(
                    "store_full",
                    _("The server's chunk store is full. Free space or retire versions, then try again."),
                    status=507,
                ) from error
            raise
        finally:
            temporary.unlink(missing_ok=True)

    def index(self, pack_id: str, *, magic: bytes = packs.PLAIN) -> PackIndex:
        return packs.read_index(self.pack_path(pack_id), magic=magic)

    def remove_pack(self, pack_id: str) -> None:
        self.pack_path(pack_id).unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a frame lies: pack id, offset and length in bytes."""

    pack: str
    offset: int
    length: int


class Catalogue:
    """Which chunk lies where, over all packs that count; kept in memory and brought up to date when asked.

    About 130 MB for a million chunks (256 GiB of distinct data at 256 KiB).
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._packs: dict[str, PackIndex] = {}
        self._where: dict[bytes, str] = {}
        self._unusable: set[str] = set()  # told once; looked at again each time
        self._lock = threading.Lock()

    def missing(self, digests: Iterable[bytes]) -> set[bytes]:
        """Those that no pack holds."""
        with self._lock:
            self._refresh()
            return {digest for digest in digests if digest not in self._where}

    def place(self, digests: Iterable[bytes]) -> list[Place | None]:
        """Where each lies, or None."""
        with self._lock:
            self._refresh()
            return [self._place(digest) for digest in digests]

    def _place(self, digest: bytes) -> Place | None:
        pack = self._where.get(digest)
        found = self._packs[pack].find(digest) if pack else None
        return Place(pack, *found) if pack and found else None

    def _refresh(self) -> None:
        counting = Pack.objects.filter(condemned_at=None, kind=Pack.Kind.PLAIN)
        live = set(counting.values_list("pk", flat=True))
        if gone := self._packs.keys() - live:
            for pack_id in gone:
                del self._packs[pack_id]
            self._where = {digest: pack for digest, pack in self._where.items() if pack not in gone}
            # A chunk may lie in two packs; the other one serves from now on.
            for pack_id, index in self._packs.items():
                for digest, _offset, _length in index:
                    self._where.setdefault(digest, pack_id)
        for pack_id in sorted(live - self._packs.keys()):
            try:
                index = self._store.index(pack_id)
            except (OSError, Refused) as error:
                # Its chunks count as lacking, so the next publication brings them again.
                if pack_id not in self._unusable:
                    log.error("pack %s cannot be used: %s", pack_id[:12], error)
                self._unusable.add(pack_id)
                continue
            self._packs[pack_id] = index
            for digest, _offset, _length in index:
                self._where.setdefault(digest, pack_id)


@cache
def store() -> Store:
    """The store of this installation."""
    return Store(settings.STORE)


def frame_map(places: Iterable[Place]) -> bytes:
    """The frame map file of a version, whose chunks lie at `places` in manifest order."""
    return framemap.encode(framemap.build((place.pack, place.offset, place.length) for place in places))


def _sync_directory(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

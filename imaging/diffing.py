"""How a worker makes delta frames: the base's pieces are sketched, each new chunk is tried with those that
resemble it, packs fill up, and at the end a map of them is offered.

Each frame
is opened again and held against its chunk's digest before it is packed. A worker that is killed leaves whole
packs; the next one goes on behind them. Memory is bounded whatever the image's size: pieces are read from
the store when they are wanted.
"""

import logging
from array import array
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

from django.utils.translation import gettext as _

from clients.errors import Refusal, WrongState
from imaging.differencing import told
from imaging.models import DeltaSet, Pack
from imaging.pieces import StoredVersion
from imaging.sketches import SketchIndex
from imaging.store import store
from vrasnode.chunks import deltamap, deltas, framemap, packs
from vrasnode.chunks.deltamap import DeltaMap
from vrasnode.chunks.digests import DigestList
from vrasnode.chunks.frames import open_frame
from vrasnode.chunks.packs import PackBuilder
from vrasnode.chunks.scanning import in_order
from vrasnode.errors import VrasError

log = logging.getLogger("openvras.deltas")

THREADS = 2
SIMILAR = 12  # pieces, beside those at the same place
WORTH = 0.97  # of the plain frame, above which a delta frame is not worth its second read
TELL_CHUNKS = 256  # between signs of progress
PACK_BYTES = packs.TARGET_BYTES

Alive = Callable[[], None]


def make_next(*, now: Callable[[], datetime], alive: Alive) -> bool:
    """Makes the delta frames that were planned first; whether there were any. `alive` is called every few
    seconds, and may raise to end it: then the next call goes on."""
    wanted = DeltaSet.objects.to_make().select_related("version__image", "base__image").first()
    if wanted is None:
        return False
    try:
        if wanted.state == DeltaSet.State.WAITING:
            wanted.move(DeltaSet.State.MAKING, started_at=now())
            told(wanted)
        _make(wanted, alive=alive)
        wanted.move(DeltaSet.State.READY, ready_at=now())
        log.info("%s: %d delta frames, %.1f MB saved", wanted, wanted.delta_chunks, wanted.saved_bytes / 1e6)
    except WrongState:
        log.info("%s was decided by another worker", wanted)
    except VrasError as error:
        _fail(wanted, error.code, error.words)
    except Refusal as error:
        _fail(wanted, error.code, str(error.words))
    except FileNotFoundError as error:
        words = _("%(file)s is not in the store. Publish the image again.") % {"file": error.filename}
        _fail(wanted, "file_gone", words)
    told(wanted)
    return True


def _fail(wanted: DeltaSet, code: str, words: str) -> None:
    wanted.move(DeltaSet.State.FAILED, failure_code=code, failure_words=words[:500])
    log.warning("%s cannot be made: %s [%s]", wanted, words, code)


def _make(wanted: DeltaSet, *, alive: Alive) -> None:
    maker = _Maker(wanted, StoredVersion(wanted.version), StoredVersion(wanted.base), alive)
    maker.press()
    places = maker.places()
    path = store().deltas_path(wanted.version.manifest, wanted.base.manifest)
    store().keep(path, deltamap.encode(places))


class _Maker:
    """Makes one set, or the rest of it."""

    def __init__(self, wanted: DeltaSet, target: StoredVersion, base: StoredVersion, alive: Alive) -> None:
        self._row = wanted
        self._target = target
        self._base = base
        self._alive = alive
        self._new = _new_entries(target, base)
        self._builder = PackBuilder(target_bytes=PACK_BYTES, magic=packs.DELTA)
        self._index = SketchIndex(pieces=len(base.manifest) * base.pieces_per_chunk)

    def press(self) -> None:
        """Tries every new chunk that is not in a whole pack yet."""
        done = self._done()
        rest = [entry for entry in self._new if bytes(self._target.manifest.digest_at(entry)) not in done]
        with ThreadPoolExecutor(THREADS, "deltas") as pool:
            if rest:
                self._sketch(pool)
            made = in_order(pool, self._try, iter(rest), ahead=4 * THREADS)
            for count, (entry, delta) in enumerate(made):
                if delta:
                    self._add(entry, delta)
                if count % TELL_CHUNKS == 0:
                    self._tell(len(self._new) - len(rest) + count)
        if len(self._builder):
            self._keep()

    def places(self) -> DeltaMap:
        """Where each entry's delta frame lies; and the row says what they save."""
        where = {
            digest: (pack_id, offset, length)
            for pack_id in self._row.packs
            for digest, offset, length in store().index(pack_id, magic=packs.DELTA)
        }
        entries, found = array("I"), []
        for entry in range(len(self._target.manifest)):
            if place := where.get(self._target.manifest.digest_at(entry)):
                entries.append(entry)
                found.append(place)
        plain = sum(self._target.frames.lengths[entry] for entry in self._new)
        less = [
            self._target.frames.lengths[entry] - where[digest][2]
            for entry in self._new
            if (digest := self._target.manifest.digest_at(entry)) in where
        ]
        self._save(
            chunks=len(self._new),
            done_chunks=len(self._new),
            delta_chunks=len(less),
            plain_bytes=plain,
            delta_bytes=plain - sum(less),
        )
        return DeltaMap(self._row.base.manifest, self._base.piece_bytes, entries, framemap.build(found))

    def _done(self) -> set[bytes]:
        """Chunks that are in packs which an earlier worker finished. What it tried in vain in between is
        tried again: it is not written down."""
        return {
            digest
            for pack_id in self._row.packs
            for digest, _offset, _length in store().index(pack_id, magic=packs.DELTA)
        }

    def _sketch(self, pool: ThreadPoolExecutor) -> None:
        numbers = self._base.manifest.numbers

        def sketch(entry: int) -> None:
            first = numbers[entry] * self._base.pieces_per_chunk
            self._index.add(self._base.chunk(entry), first=first, piece_bytes=self._base.piece_bytes)

        entries = iter(range(len(numbers)))
        for count, _nothing in enumerate(in_order(pool, sketch, entries, ahead=4 * THREADS)):
            if count % TELL_CHUNKS == 0:
                self._alive()
        self._index.freeze()

    def _try(self, entry: int) -> tuple[int, bytes]:
        """The delta frame of an entry; empty where it is not worth having."""
        plain = self._target.frame(entry)
        size = self._target.chunk_bytes_at(entry)
        chunk = open_frame(plain, size)
        pieces = self._pieces(entry, chunk, compresses=len(plain) < size)
        if not pieces:
            return entry, b""
        delta = deltas.make_delta(chunk, pieces)
        if len(delta) > WORTH * len(plain):
            return entry, b""
        opened = deltas.open_delta(delta, size, piece_bytes=self._base.piece_bytes, read=self._base.piece)
        if self._target.digest(opened) != self._target.manifest.digest_at(entry):
            log.error("%s: the delta frame of chunk %d did not open as it was", self._row, entry)
            return entry, b""
        return entry, delta

    def _pieces(self, entry: int, chunk: bytes, *, compresses: bool) -> list[tuple[int, bytes]]:
        """What its dictionary is made of: the likest pieces, the best last, and behind them what lies at the
        same place of the base. Nothing for what neither compresses nor resembles anything."""
        start = self._target.manifest.numbers[entry] * self._target.manifest.header.chunk_bytes
        same = self._base.pieces_at(start, len(chunk))
        room = deltas.MAX_DICTIONARY_BYTES // self._base.piece_bytes - len(same)
        likest = self._index.likest(chunk, most=min(room, SIMILAR + len(same)))
        if not likest and not compresses:
            return []
        chosen = [piece for piece in reversed(likest) if piece not in same][-SIMILAR:]
        return [(piece, self._base.piece(piece)) for piece in [*chosen, *same]]

    def _add(self, entry: int, delta: bytes) -> None:
        if not self._builder.fits(delta):
            self._keep()
        self._builder.add(self._target.manifest.digest_at(entry), delta)

    def _keep(self) -> None:
        """A pack is whole: from now on a kill does not cost it."""
        pack = self._builder.finish()
        self._builder = PackBuilder(target_bytes=PACK_BYTES, magic=packs.DELTA)
        store().keep_pack(pack, kind=Pack.Kind.DELTA)
        self._save(packs=[*self._row.packs, pack.pack_id])

    def _tell(self, done: int) -> None:
        self._alive()
        self._save(chunks=len(self._new), done_chunks=done)
        told(self._row)

    def _save(self, **fields: object) -> None:
        """Raises WrongState when somebody else decided meanwhile."""
        making = DeltaSet.objects.filter(pk=self._row.pk, state=DeltaSet.State.MAKING)
        if not making.update(**fields):
            self._row.refresh_from_db(fields=["state"])
            raise WrongState(self._row, self._row.state, DeltaSet.State.MAKING)
        for name, value in fields.items():
            setattr(self._row, name, value)


def _new_entries(target: StoredVersion, base: StoredVersion) -> list[int]:
    """Entries of chunks that the base has nowhere, each chunk once."""
    seen = DigestList(base.manifest.digests)
    return [entry for entry in range(len(target.manifest)) if seen.append(target.manifest.digest_at(entry))]

"""Cuts an image into packs of the chunks that the server does not have yet: the publisher's engine.

One pass. Threads read and hash; for chunks that are new to this image and not in the version before, `known`
is asked in groups; what is missing is compressed from the buffer that was hashed and laid into packs in the
order of the image; packs are handed to `emit` in another thread, so that sending overlaps with compressing.
The same image and the same answers give the same packs.

What is in flight is bounded (about 230 MiB) whatever the image's size: groups that wait for an answer, groups
being compressed, one pack being filled, one being emitted.
"""

import threading
from array import array
from collections import deque
from collections.abc import Callable, Container, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeAlias

import zstandard

from vrasnode.chunks import frames, scanning
from vrasnode.chunks.digests import DigestList
from vrasnode.chunks.freeranges import FreeRanges
from vrasnode.chunks.manifest import chunk_bytes_for
from vrasnode.chunks.opening import OpenImage
from vrasnode.chunks.packs import TARGET_BYTES, Pack, PackBuilder

ASK_CHUNKS = 512  # in one question, give or take a batch
ASKING_BYTES = 32 << 20  # of buffers that wait for one answer
EMITTING = 1  # packs, besides the one that is filled

Known: TypeAlias = Callable[[Sequence[bytes]], Container[bytes]] | Container[bytes]
Framed: TypeAlias = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True, eq=False)
class CutResult:
    """What an image consists of (`numbers`, `digests`: as in a manifest) and what of it was new."""

    numbers: "array[int]"
    digests: bytearray
    size_bytes: int
    chunk_bytes: int
    allocated_bytes: int  # read: in chunks that are not holes
    new_chunks: int
    new_bytes: int  # raw
    packed_bytes: int  # of the packs that were emitted
    packs: int


def cut(
    image: OpenImage,
    *,
    known: Known,
    emit: Callable[[Pack], None],
    likely_known: Container[bytes] = (),
    chunk_bytes: int | None = None,
    hash: str = "blake3",  # noqa: A002  the word of the manifest
    level: int = frames.LEVEL,
    threads: int = scanning.THREADS,
    target_bytes: int = TARGET_BYTES,
    progress: Callable[[int], None] | None = None,
    free: FreeRanges | None = None,
) -> CutResult:
    """Emits packs of the chunks of `image` that nobody has, and lists all its chunks.

    `known` says which of some digests the server has (a function, or what `in` works on). Digests in
    `likely_known` (the version before) are not asked for: the server says so at the end if one is gone after
    all. `progress` hears how many bytes were read, out of `scanning.data_bytes`. `chunk_bytes` is by default
    what `chunk_bytes_for` says. What lies in `free` counts as zeros (`freespace`).

    Raises Refused (image_changed, image_unreadable, unknown_hash), and whatever `known` and `emit` raise.
    """
    size = chunk_bytes or chunk_bytes_for(image.size_bytes)
    with ThreadPoolExecutor(threads, "cut") as pool, ThreadPoolExecutor(1, "emit") as emitter:
        press = _Press(pool, _Packing(emitter, emit, target_bytes), known, likely_known, level)
        batches = scanning.scan_in(
            pool, image.fd, image.size_bytes, chunk_bytes=size, hash=hash, threads=threads, free=free
        )
        try:
            allocated = 0
            for batch in batches:
                allocated += batch.read_bytes
                press.take(batch)
                if progress:
                    progress(allocated)
            image.unchanged()
            press.finish()
        except BaseException:  # also Ctrl-C: nothing that waits is begun any more
            pool.shutdown(wait=False, cancel_futures=True)
            emitter.shutdown(wait=False, cancel_futures=True)
            raise
    return press.result(image.size_bytes, size, allocated)


class _Press:
    """Decides what is new, asks, and has it compressed, in the order of the image."""

    def __init__(
        self,
        pool: ThreadPoolExecutor,
        packing: "_Packing",
        known: Known,
        likely_known: Container[bytes],
        level: int,
    ) -> None:
        self._pool = pool
        self._packing = packing
        self._known = known
        self._likely_known = likely_known
        self._level = level
        self._local = threading.local()
        self._numbers = array("I")
        self._digests = DigestList()
        self._asking: list[tuple[scanning.Batch, list[int]]] = []
        self._pressing: deque[Future[Framed]] = deque()
        self._new_chunks = 0
        self._new_bytes = 0

    def take(self, batch: scanning.Batch) -> None:
        """Lists the chunks of the next batch; keeps it while one of them may have to be sent."""
        self._numbers.extend(batch.numbers)
        first = [at for at, digest in enumerate(batch.digests) if self._digests.append(digest)]
        wanted = [at for at in first if batch.digests[at] not in self._likely_known]
        if not wanted:
            batch.release()
            return
        self._asking.append((batch, wanted))
        held = sum(batch.held_bytes for batch, _ in self._asking)
        if held >= ASKING_BYTES or sum(len(wanted) for _, wanted in self._asking) >= ASK_CHUNKS:
            self._ask()

    def finish(self) -> None:
        """Asks for the rest, packs it, and waits until everything was emitted."""
        self._ask()
        self._pack(everything=True)
        self._packing.finish()

    def result(self, size_bytes: int, chunk_bytes: int, allocated_bytes: int) -> CutResult:
        return CutResult(
            numbers=self._numbers,
            digests=self._digests.digests,
            size_bytes=size_bytes,
            chunk_bytes=chunk_bytes,
            allocated_bytes=allocated_bytes,
            new_chunks=self._new_chunks,
            new_bytes=self._new_bytes,
            packed_bytes=self._packing.packed_bytes,
            packs=self._packing.packs,
        )

    def _ask(self) -> None:
        group, self._asking = self._asking, []
        if not group:
            return
        digests = [batch.digests[at] for batch, wanted in group for at in wanted]
        have = self._known(digests) if callable(self._known) else self._known
        for batch, wanted in group:
            missing = [at for at in wanted if batch.digests[at] not in have]
            if missing:
                self._press(batch, missing)
            else:
                batch.release()
        self._pack(everything=False)

    def _press(self, batch: scanning.Batch, missing: list[int]) -> None:
        self._new_chunks += len(missing)
        self._new_bytes += sum(len(batch.chunk(at)) for at in missing)
        self._pressing.append(self._pool.submit(self._frames, batch, missing))

    def _pack(self, *, everything: bool) -> None:
        """Packs in order what was compressed. The pool takes work in turn, so what it has not finished when
        a group is asked for is less than the group before."""
        while self._pressing and (everything or self._pressing[0].done()):
            for digest, frame in self._pressing.popleft().result():
                self._packing.add(digest, frame)

    def _frames(self, batch: scanning.Batch, missing: list[int]) -> Framed:
        compressor: zstandard.ZstdCompressor | None = getattr(self._local, "compressor", None)
        if compressor is None:
            compressor = self._local.compressor = frames.new_compressor(level=self._level)
        framed = [(batch.digests[at], frames.make_frame(batch.chunk(at), compressor)) for at in missing]
        batch.release()
        return framed


class _Packing:
    """Fills packs and hands them on, at most EMITTING at a time."""

    def __init__(self, emitter: ThreadPoolExecutor, emit: Callable[[Pack], None], target_bytes: int) -> None:
        self._emitter = emitter
        self._emit = emit
        self._target = target_bytes
        self._builder = PackBuilder(target_bytes=target_bytes)
        self._emitting: deque[Future[None]] = deque()
        self.packed_bytes = 0
        self.packs = 0

    def add(self, digest: bytes, frame: bytes) -> None:
        if not self._builder.fits(frame):
            self._hand_on()
        self._builder.add(digest, frame)

    def finish(self) -> None:
        if len(self._builder):
            self._hand_on()
        self._wait(down_to=0)

    def _hand_on(self) -> None:
        pack = self._builder.finish()
        self._builder = PackBuilder(target_bytes=self._target)
        self.packs += 1
        self.packed_bytes += pack.size_bytes
        self._wait(down_to=EMITTING - 1)
        self._emitting.append(self._emitter.submit(self._emit, pack))

    def _wait(self, *, down_to: int) -> None:
        while len(self._emitting) > down_to:
            self._emitting.popleft().result()

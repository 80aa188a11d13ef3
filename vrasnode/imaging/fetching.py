"""Getting one version's manifest, frame map and frames from the server, at the rate that it allows.

Bytes are passed on frame by frame as they come, so that a broken connection or a kill loses at most the
frames that were under way. Whether they are right is not judged here: digests decide (`assembling`).
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import groupby
from typing import Protocol

from vrasnode.chunks import deltamap, framemap
from vrasnode.chunks.deltamap import DeltaMap
from vrasnode.chunks.framemap import FrameMap, FrameRange
from vrasnode.chunks.manifest import Manifest
from vrasnode.errors import Refused, Unreachable
from vrasnode.wire.imaging import Fetch

BURST_S = 0.25
CONNECTION_BYTES_S = 8 << 20  # what one connection brings easily


class Body(Protocol):
    def read(self, count: int) -> bytes:
        """Exactly `count` bytes. Raises Unreachable."""


class Source(Protocol):
    """Where it comes from: a `server.Server`."""

    def manifest(self, path: str) -> bytes: ...

    def frames(self, path: str) -> bytes:
        """A frame map, or a map of delta frames."""

    def open_range(
        self, path: str, *, start: int, length: int, dscp: int = 0
    ) -> AbstractContextManager[Body]:
        """A range of a pack, in packets that are marked so."""


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What an assembly lacks, for whoever gets it elsewhere too. `handle` is the part; `place` says where an
    entry's chunk is in it, `right` whether bytes are an entry's. `put` keeps a frame for these entries if it
    is right, and says whether; `spoilt` is told when the server's was not."""

    frames: FrameMap
    wanted: Sequence[int]
    base: str
    max_bytes: int
    handle: int
    place: Callable[[int], tuple[int, int]]
    right: Callable[[int, bytes], bool]
    put: Callable[[list[int], bytes, bool], bool]
    spoilt: Callable[[int], None]


class Peers(Protocol):
    """Other PCs, to get frames from: a `sharing.Sharing`."""

    def fetch(self, wish: Wish, fetcher: "Fetcher", *, stop: threading.Event) -> bool:
        """Whether all of it was got."""

    def close(self) -> None:
        """Ends giving to them."""


class Throttle:
    """Lets bytes pass at a rate, over all threads together; without a rate, at once.

    `clock` counts seconds and never goes back; `pause` sleeps that long or until it is not worth waiting.
    """

    def __init__(
        self, rate_bytes_s: int | None, *, clock: Callable[[], float], pause: Callable[[float], object]
    ) -> None:
        self.rate_bytes_s = rate_bytes_s
        self._clock = clock
        self._pause = pause
        self._lock = threading.Lock()
        self._free_at = clock()

    def take(self, count: int) -> None:
        """Returns when `count` bytes may pass."""
        rate = self.rate_bytes_s
        if not rate:
            return
        with self._lock:
            now = self._clock()
            start = max(self._free_at, now - BURST_S)
            self._free_at = start + count / rate
            delay = start - now
        if delay > 0:
            self._pause(delay)


class Fetcher:
    """One transfer. `fetch` may be replaced while it runs: a new rate, a new permission."""

    def __init__(
        self,
        source: Source,
        fetch: Fetch,
        *,
        clock: Callable[[], float],
        stop: threading.Event,
        peers: Peers | None = None,
    ) -> None:
        """`stop` ends waiting and reading."""
        self.peers = peers
        self._source = source
        self._fetch = fetch
        self._stop = stop
        self._throttle = Throttle(fetch.rate_bytes_s, clock=clock, pause=stop.wait)

    @property
    def fetch(self) -> Fetch:
        return self._fetch

    @fetch.setter
    def fetch(self, fetch: Fetch) -> None:
        self._fetch = fetch
        self._throttle.rate_bytes_s = fetch.rate_bytes_s

    @property
    def connections(self) -> int:
        """How many ranges to ask for at once. Each keeps its buffers full, which a kill throws away: so no
        more of them than the rate needs."""
        rate = self._fetch.rate_bytes_s
        return (
            self._fetch.connections
            if rate is None
            else min(self._fetch.connections, 1 + rate // CONNECTION_BYTES_S)
        )

    def manifest(self) -> bytes:
        """The manifest's bytes, of nobody knows whom."""
        return self._source.manifest(self._fetch.manifest_path)

    def frame_map(self, target: Manifest) -> FrameMap:
        """Where the frames of this version lie. Raises Refused(bad_frame_map)."""
        data = self._source.frames(self._fetch.frames_path)
        return framemap.decode(data, chunks=len(target), chunk_bytes=target.header.chunk_bytes)

    def delta_map(self, target: Manifest, *, base: str) -> DeltaMap | None:
        """The delta frames for a PC that holds the version `base`; None where there are none.

        Raises Refused(bad_delta_map, bad_frame_map).
        """
        path = next((deltas.path for deltas in self._fetch.deltas if deltas.base == base), None)
        if path is None:
            return None
        data = self._source.frames(path)
        return deltamap.decode(data, base=base, chunks=len(target), chunk_bytes=target.header.chunk_bytes)

    def frames(self, wanted: FrameRange) -> Iterator[tuple[list[int], bytes]]:
        """Each frame of a range with the entries that want it, as soon as it is there.

        Raises Unreachable when the rest does not come, and Refused(bad_frame_map) for frames that overlap.
        """
        path, dscp = self._fetch.packs_path + wanted.pack_id, self._fetch.dscp
        with self._source.open_range(path, start=wanted.start, length=wanted.length, dscp=dscp) as body:
            position = 0
            for (offset, length), entries in groupby(wanted.entries, key=lambda entry: entry[1:]):
                if offset < position:
                    raise Refused(
                        "bad_frame_map", "The list of frames lets two of them overlap. Fetch it again."
                    )
                self._read(body, offset - position)
                yield [entry[0] for entry in entries], self._read(body, length)
                position = offset + length
            self._read(body, wanted.length - position)

    def _read(self, body: Body, count: int) -> bytes:
        if not count:
            return b""
        self._throttle.take(count)
        if self._stop.is_set():
            raise Unreachable("stopped", "The transfer was stopped.")
        return body.read(count)

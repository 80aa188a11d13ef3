"""One PC of `benchmarks.swarm`: gets a version, by itself or with others, and says what that took.

Its errand is one line of JSON on stdin; it says `ready`, goes at the next line, and gives to the others until
stdin ends. Every frame is held against the manifest; chunks are not written, frames are kept as a PC does.
"""

import json
import resource
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vrasnode.chunks import framemap, manifest
from vrasnode.chunks.framemap import FrameMap
from vrasnode.chunks.frames import open_frame
from vrasnode.chunks.hashing import digest_of
from vrasnode.chunks.manifest import Manifest
from vrasnode.contact.server import Server
from vrasnode.errors import Refused, VrasError
from vrasnode.imaging.fetching import Fetcher
from vrasnode.swarm.session import Counted, Session, Shared
from vrasnode.swarm.trust import Papers
from vrasnode.wire import codec
from vrasnode.wire.imaging import CHUNK_BYTES, Fetch
from vrasnode.wire.swarm import SwarmTerms

CONNECTIONS = 4


def main() -> None:
    errand: dict[str, Any] = json.loads(sys.stdin.readline())
    target = manifest.read_named(Path(errand["manifest"]).read_bytes(), errand["digest"])
    frames = framemap.decode(
        Path(errand["frames"]).read_bytes(), chunks=len(target), chunk_bytes=target.header.chunk_bytes
    )
    server = Server(errand["server"])
    fetch = Fetch(
        manifest_path="",
        frames_path="",
        packs_path=errand["packs"],
        rate_bytes_s=None,
        connections=CONNECTIONS,
    )
    stop = threading.Event()
    fetcher = Fetcher(Server(errand["bytes_at"]), fetch, clock=time.monotonic, stop=stop)
    check = _checker(target)
    print("ready", flush=True)
    sys.stdin.readline()
    before = _cpu_s()
    if errand["swarm"] is None:
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            for done in [
                pool.submit(_alone, fetcher, part, check) for part in frames.ranges(range(len(frames)))
            ]:
                done.result()
        _say(before, Counted())
        sys.stdin.readline()
        return
    part = _Part(errand, frames, fetcher, check)
    session = part.share(server, stop)
    _say(before, part.counted)
    sys.stdin.readline()
    if session:
        session.close()


class _Part:
    """This PC's part in the sharing: with peers while that goes well, else without, as an agent does."""

    def __init__(self, errand: dict[str, Any], frames: FrameMap, fetcher: Fetcher, check: Any) -> None:
        self.counted = Counted()
        self._errand = errand
        self._frames = frames
        self._fetcher = fetcher
        self._check = check
        self._have = 0

    def share(self, server: Server, stop: threading.Event) -> Session | None:
        """Returns when everything is here, with what still gives to others."""
        while True:
            session = self._session(server)
            try:
                session.start()
                session.wait(stop)
                self._count(session)
                return session
            except VrasError as error:
                print(f"without peers: {error}", file=sys.stderr)
            self._count(session)
            session.close()
            try:
                self._rest()
                return None
            except VrasError as error:
                print(f"again: {error}", file=sys.stderr)
                time.sleep(1)

    def _session(self, server: Server) -> Session:
        directory = Path(self._errand["directory"])
        shared = Shared(
            base="",
            pieces=len(self._frames),
            have=self._have,
            want=((1 << len(self._frames)) - 1) & ~self._have,
            max_piece_bytes=CHUNK_BYTES,
            directory=directory,
            fetch=self._fetch,
            take=lambda piece, frame, _from_peer: self._take(piece, frame),
            spoilt=lambda _piece: None,
            read=lambda _piece: None,
            release=lambda: None,
        )
        session = Session(
            shared,
            codec.decode(json.dumps(self._errand["swarm"]).encode(), SwarmTerms),
            tracker=server,
            me=self._errand["me"],
            papers=Papers(
                directory / "certificate.pem", directory / "signing.key", self._errand["authority"]
            ),
            sends=lambda: True,
            now=lambda: datetime.now(UTC),
        )
        if self._errand["lies"]:
            session._source.frame = lambda _piece: bytes(1000)  # type: ignore[method-assign,assignment]
        return session

    def _fetch(self, pieces: list[int]) -> Iterator[tuple[int, bytes]]:
        for part in self._frames.ranges(pieces):
            for entries, frame in self._fetcher.frames(part):
                yield entries[0], frame

    def _take(self, piece: int, frame: bytes) -> bool:
        right: bool = self._check(piece, frame)
        if right:
            self._have |= 1 << piece
        return right

    def _rest(self) -> None:
        missing = [piece for piece in range(len(self._frames)) if not self._have >> piece & 1]
        for piece, frame in self._fetch(missing):
            assert self._take(piece, frame)
            self.counted.server_bytes += len(frame)

    def _count(self, session: Session) -> None:
        told = session.counted
        self.counted.server_bytes += told.server_bytes
        self.counted.peer_bytes += told.peer_bytes
        self.counted.wrong |= told.wrong


def _checker(target: Manifest) -> Any:
    digest = digest_of(target.header.hash)

    def check(entry: int, frame: bytes) -> bool:
        try:
            chunk = open_frame(frame, target.chunk_bytes_at(target.numbers[entry]))
        except Refused:
            return False
        return digest(chunk) == target.digest_at(entry)

    return check


def _alone(fetcher: Fetcher, part: Any, check: Any) -> None:
    for entries, frame in fetcher.frames(part):
        assert check(entries[0], frame)


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _say(before: float, counted: Counted) -> None:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    said: dict[str, Any] = {"at": time.monotonic(), "cpu_s": _cpu_s() - before, "peak_bytes": peak}
    said |= {"server_bytes": counted.server_bytes, "wrong": sorted(counted.wrong)}
    print(json.dumps(said), flush=True)


if __name__ == "__main__":
    main()

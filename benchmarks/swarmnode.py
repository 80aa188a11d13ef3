"""One PC of `benchmarks.swarm`: gets a version, by itself or with others, and says what that took.

Its errand is one line of JSON on stdin; it says `ready`, goes at the next line, and gives to the others until
stdin ends. Every frame is held against the manifest; chunks are not written, frames are kept as a PC does.
"""

import json
import resource
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vrasnode.chunks import framemap, manifest
from vrasnode.chunks.frames import open_frame
from vrasnode.chunks.hashing import digest_of
from vrasnode.chunks.manifest import Manifest
from vrasnode.contact.server import Server
from vrasnode.imaging.fetching import Fetcher
from vrasnode.swarm.session import Counted, Session, Shared
from vrasnode.swarm.trust import Papers
from vrasnode.wire import codec
from vrasnode.wire.imaging import Fetch
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
        _say(before, Counted(server_bytes=0))
        sys.stdin.readline()
        return
    shared = Shared(
        base="",
        pieces=len(frames),
        have=0,
        want=(1 << len(frames)) - 1,
        max_piece_bytes=target.header.chunk_bytes,
        directory=Path(errand["directory"]),
        fetch=lambda pieces: (
            (entries[0], frame) for part in frames.ranges(pieces) for entries, frame in fetcher.frames(part)
        ),
        take=lambda piece, frame, _from_peer: check(piece, frame),
        spoilt=lambda _piece: None,
        read=lambda _piece: None,
        release=lambda: None,
    )
    directory = Path(errand["directory"])
    session = Session(
        shared,
        codec.decode(json.dumps(errand["swarm"]).encode(), SwarmTerms),
        tracker=server,
        me=errand["me"],
        papers=Papers(directory / "certificate.pem", directory / "signing.key", errand["authority"]),
        sends=lambda: True,
        now=lambda: datetime.now(UTC),
    )
    if errand["lies"]:
        session._source.frame = lambda _piece: bytes(1000)  # type: ignore[method-assign,assignment]
    session.start()
    session.wait(stop)
    _say(before, session.counted)
    sys.stdin.readline()
    session.close()


def _checker(target: Manifest) -> Any:
    digest = digest_of(target.header.hash)

    def check(entry: int, frame: bytes) -> bool:
        chunk = open_frame(frame, target.chunk_bytes_at(target.numbers[entry]))
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

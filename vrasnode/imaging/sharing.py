"""Between the assembly of an image and the swarm: entries and frames on one side, pieces on the other.

A version is shared when the server says so in `Fetch.swarm`, and only while it goes well: what is then still
missing is fetched from the server alone, as ever.
"""

import logging
import os
import threading
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

from vrasnode.contact.identity import Identity
from vrasnode.errors import HostBroken, Refused, VrasError
from vrasnode.imaging.fetching import Fetcher, Wish
from vrasnode.swarm.masks import mask_of
from vrasnode.swarm.session import Session, Shared, Tracker
from vrasnode.swarm.trust import Papers
from vrasnode.wire.swarm import MAX_PIECES, SwarmTerms

log = logging.getLogger("vrasnode.sharing")

SPOILT = ("wrong_bytes", "bad_frame_map", "no_ranges")  # not for peers to mend


class Sharing:
    """What one machine's images are shared with, one version at a time. `sends` says whether this PC may give
    now: not on battery."""

    def __init__(
        self,
        *,
        tracker: Tracker,
        identity: Identity,
        sends: Callable[[], bool],
        now: Callable[[], datetime],
        directory: Path,
    ) -> None:
        self._tracker = tracker
        self._identity = identity
        self._sends = sends
        self._now = now
        self._directory = directory
        self._session: Session | None = None

    def fetch(self, wish: Wish, fetcher: Fetcher, *, stop: threading.Event) -> bool:
        """Gets what is wished for, from peers and from the server; whether that went to its end.

        Raises what `wish.put` and `wish.spoilt` raise.
        """
        terms = fetcher.fetch.swarm
        session = self._open(terms, wish, fetcher) if terms else None
        if session is None:
            return False
        try:
            session.wait(stop)
            return True
        except HostBroken:
            raise
        except VrasError as error:
            if isinstance(error, Refused) and error.code in SPOILT:
                raise
            log.info("goes on without peers: %s", error)
            return False
        finally:
            session.detach()

    def close(self) -> None:
        """Ends giving."""
        if self._session:
            self._session.close()
            self._session = None

    def _open(self, terms: SwarmTerms, wish: Wish, fetcher: Fetcher) -> Session | None:
        installation = self._identity.installation
        if len(wish.frames) > MAX_PIECES or installation is None or not self._identity.approved:
            return None
        self.close()
        certificate, key = self._identity.certificate_files
        try:
            session = Session(
                _shared(wish, fetcher, self._directory),
                terms,
                tracker=self._tracker,
                me=self._identity.client_id,
                papers=Papers(certificate, key, installation.ca_certificate),
                sends=self._sends,
                now=self._now,
            )
            session.start()
        except (OSError, VrasError) as error:
            log.info("does not share: %s", error)
            return None
        self._session = session
        return session


def _shared(wish: Wish, fetcher: Fetcher, directory: Path) -> Shared:
    """The wish in pieces: one for each distinct frame, under the first entry that wants it."""
    frames = wish.frames
    first: dict[tuple[int, int], int] = {}
    entries: dict[int, list[int]] = {}
    wanted = set(wish.wanted)
    for entry, place in enumerate(zip(frames.packs, frames.offsets, strict=True)):
        piece = first.setdefault(place, entry)
        if entry in wanted:
            entries.setdefault(piece, []).append(entry)
    want = mask_of(entries, len(frames))
    reader = _Reader(wish.handle, wish.place, wish.right)

    def from_server(numbers: list[int]) -> Iterator[tuple[int, bytes]]:
        for part in frames.ranges(numbers):
            for found, frame in fetcher.frames(part):
                yield found[0], frame

    return Shared(
        base=wish.base,
        pieces=len(frames),
        # What is being read back meanwhile counts as here: it is checked once more before it is sent.
        have=((1 << len(frames)) - 1) & ~want,
        want=want,
        max_piece_bytes=wish.max_bytes,
        directory=directory,
        fetch=from_server,
        take=lambda piece, frame, from_peer: wish.put(entries.get(piece, []), frame, from_peer),
        spoilt=wish.spoilt,
        read=reader,
        release=reader.close,
    )


class _Reader:
    """Reads checked chunks of an image, on a handle of its own: it is renamed, and one day written anew."""

    def __init__(
        self, handle: int, place: Callable[[int], tuple[int, int]], right: Callable[[int, bytes], bool]
    ) -> None:
        self._handle = os.dup(handle)
        self._place = place
        self._right = right

    def __call__(self, entry: int) -> bytes | None:
        start, length = self._place(entry)
        try:
            chunk = os.pread(self._handle, length, start)
        except OSError:
            return None
        return chunk if len(chunk) == length and self._right(entry, chunk) else None

    def close(self) -> None:
        os.close(self._handle)

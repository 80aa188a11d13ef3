"""The loop over all lines: listens, dials, checks who it is, and carries out what `relay` decides.

One thread runs `step`; `fetched`, `meet` and `close` may be called from others. What a peer sends is held
against its digest (`take`) before it counts; a peer that sends wrong bytes is left and named in `wrong`.
"""

import os
import selectors
import socket
import ssl
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from vrasnode import lowpriority
from vrasnode.errors import Refused, VrasError
from vrasnode.swarm.line import READ_BYTES, Line, Said, listen
from vrasnode.swarm.lists import mask_in, numbers_in
from vrasnode.swarm.places import depth_of, neighbours, side_of
from vrasnode.swarm.relay import Relay
from vrasnode.swarm.source import Source
from vrasnode.swarm.trust import Papers
from vrasnode.wire import codec
from vrasnode.wire.swarm import Flag, Kind, PeerHello, SwarmMember

BEAT_S = 0.5  # between signs of life
SUSPECT_S, DEAD_S = 1.5, 10.0  # of silence
SHAKE_S = 5.0
DIAL_AGAIN_S = 1.0
OTHER_DIALS_S = 0.3  # the one with the lower id dials first; the other one later, should that not work
BURST_S = 0.1
STEP_S = 0.03
NAP_S = 0.001  # after each turn: what comes meanwhile is done at once
PIECES_A_TURN = 4
MAX_BAD_DELTAS = 3
MOST_STRANGERS = 64  # lines of whom it is not known yet who they are


@dataclass(eq=False)
class _Peering:
    """A line and whose it is: `member` since it was checked, `greeted` since it said hello."""

    line: Line
    since: float
    member: SwarmMember | None = None
    greeted: bool = False
    quiet: bool = False
    shown: tuple[str, str] | None = None  # client id and key of who is not known to take part
    waits: bool = True  # to be told when more can be sent


class Engine:
    """Shares with the members that `meet` names. `me` is this PC's client id, `take` says whether bytes are
    those of a piece, and keeps them. `clock` counts seconds and never goes back; `now` is the time of day."""

    def __init__(
        self,
        relay: Relay,
        source: Source,
        *,
        me: str,
        hello: PeerHello,
        papers: Papers,
        take: Callable[[int, bytes], bool],
        max_piece_bytes: int,
        clock: Callable[[], float],
        now: Callable[[], datetime],
        upload_bytes_s: int | None = None,
        dscp: int = 0,
        address: str = "",
    ) -> None:
        """Listens at a free port. Raises OSError."""
        self.relay = relay
        self.lock = threading.RLock()
        self.upload_bytes_s = upload_bytes_s
        self._dscp = dscp
        self.peer_bytes = 0  # of right pieces that came from peers
        self.wrong: set[str] = set()
        self._bad: Counter[str] = Counter()
        self.curious = False  # somebody has come whom `meet` did not name: the server may know
        self._source = source
        self._me = me
        self._hello = hello
        self._papers = papers
        self._take = take
        self._max_body = max_piece_bytes
        self._clock = clock
        self._now = now
        self._answer, self._dial = papers.contexts()
        self._listener = listen(address)
        self._mark(self._listener)  # whoever is answered is answered so from the first packet on
        self._buffer = memoryview(bytearray(READ_BYTES))
        self._slot = 0
        self._members: Mapping[str, SwarmMember] = {}
        self._dialled: dict[str, float] = {}
        self._known_since: dict[str, float] = {}
        self._peerings: set[_Peering] = set()
        self._by_name: dict[str, _Peering] = {}
        self._arrived: deque[tuple[int, bytes]] = deque()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ, None)
        self._wake_in, self._wake_out = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._selector.register(self._wake_in, selectors.EVENT_READ, None)
        self._told_at = self._beat_at = self._ticked_at = 0.0
        self._free_at = 0.0
        self._was_sending = relay.sends

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    @property
    def peers(self) -> int:
        """How many are there now."""
        return len(self._by_name)

    def meet(self, members: Iterable[SwarmMember], *, slot: int) -> None:
        """These PCs take part, and nobody else; this one has this slot."""
        with self.lock:
            self._slot = slot
            self.relay.depth = depth_of(slot)
            self._members = {member.client_id: member for member in members}
            near = set(neighbours(self._members.values(), slot=slot, me=self._me))
            for peering in list(self._peerings):
                if peering.member and peering.member not in near:
                    self._close(peering)
            self.curious = False
            for peering in [one for one in self._peerings if one.shown]:
                self._admit(peering)
            now = self._clock()
            self._known_since = {name: self._known_since.get(name, now) for name in self._members}
        self.wake()

    def fetched(self, piece: int, frame: bytes) -> None:
        """A right piece came from the server."""
        self._arrived.append((piece, frame))
        self.wake()

    def wake(self) -> None:
        with suppress(BlockingIOError, OSError):
            os.write(self._wake_out, b".")

    def step(self, timeout_s: float = STEP_S) -> None:
        """One turn: what came, what can go, what is due."""
        events = self._selector.select(timeout_s)
        with self.lock:
            ready = {key.data: mask for key, mask in events if key.data}
            for key, _ in events:
                if key.fileobj is self._listener:
                    self._accept()
                elif key.fileobj == self._wake_in:
                    with suppress(BlockingIOError):
                        os.read(self._wake_in, 4096)
            for peering, mask in ready.items():
                if peering in self._peerings:
                    self._serve(peering, mask)
            self._take_arrived()
            self._turn(self._clock(), ready)
        if events:
            time.sleep(NAP_S)

    def close(self) -> None:
        """Ends all lines. Not while `step` runs."""
        with self.lock:
            for peering in list(self._peerings):
                self._close(peering)
            self._selector.close()
            self._listener.close()
            os.close(self._wake_in)
            os.close(self._wake_out)

    def _take_arrived(self) -> None:
        while self._arrived:
            piece, frame = self._arrived.popleft()
            self._source.keep(piece, frame)
            self.relay.fetched(piece, now=self._clock())

    def _turn(self, now: float, ready: Collection[_Peering]) -> None:
        if now - self._told_at >= self.relay.tell_s:
            self._told_at = now
            self._tell(now)
        if now - self._ticked_at >= 0.1:
            self._ticked_at = now
            self._sweep(now)
            self.relay.hungry = True
        if self.relay.hungry:
            for ask in self.relay.tick(now=now):
                self._by_name[ask.peer].line.say(Kind.ASK, number=ask.piece)
        for peering in list(self._by_name.values()):
            if peering in ready or not peering.waits:
                self._pump(peering, now)

    def _tell(self, now: float) -> None:
        news = self.relay.news()
        if self._was_sending != self.relay.sends:
            self._was_sending = self.relay.sends
            for peering in self._by_name.values():
                self._say_bitmap(peering.line)
        elif (news and self.relay.sends) or now - self._beat_at >= BEAT_S:
            self._beat_at = now
            body, backlog = numbers_in(news), min(self.relay.backlog, self.relay.pieces - 1)
            for peering in self._by_name.values():
                peering.line.say(Kind.HAVE, number=backlog, body=body)

    def _sweep(self, now: float) -> None:
        for peering in list(self._peerings):
            silent = now - max(peering.line.heard_at, peering.since)
            if silent > (DEAD_S if peering.greeted else SHAKE_S):
                self._close(peering)
            elif peering.greeted and peering.member and silent > SUSPECT_S and not peering.quiet:
                self.relay.quiet(peering.member.client_id)
        for member in neighbours(self._members.values(), slot=self._slot, me=self._me):
            name = member.client_id
            if (
                name in self._by_name
                or name in self.wrong
                or any(peering.member and peering.member.client_id == name for peering in self._peerings)
            ):
                continue
            patient = 0.0 if self._me < name else OTHER_DIALS_S
            if now - self._known_since[name] < patient or now - self._dialled.get(name, -1e9) < DIAL_AGAIN_S:
                continue
            self._dialled[name] = now
            self._call(member, now)

    def _call(self, member: SwarmMember, now: float) -> None:
        family = socket.AF_INET6 if ":" in member.address else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.setblocking(False)
        self._mark(sock)
        try:
            sock.connect((member.address, member.port))
        except BlockingIOError:
            pass
        except OSError:
            sock.close()
            return
        self._watch(sock, now, member)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                self._watch(self._listener.accept()[0], self._clock(), None)
                strangers = [one for one in self._peerings if not one.member]
                if len(strangers) > MOST_STRANGERS:
                    self._close(min(strangers, key=lambda one: one.since))

    def _mark(self, sock: socket.socket) -> None:
        """What it carries gives way to whatever else the PC sends; no line is quicker than all together."""
        lowpriority.give_way(sock, dscp=self._dscp, rate_bytes_s=self.upload_bytes_s)

    def _watch(self, sock: socket.socket, now: float, dialled: SwarmMember | None) -> None:
        if not dialled:
            self._mark(sock)
        context = self._dial if dialled else self._answer
        line = Line(sock, context, dialled=bool(dialled), max_body=self._max_body, buffer=self._buffer)
        peering = _Peering(line, now, dialled)
        self._peerings.add(peering)
        self._selector.register(peering.line.fileno(), selectors.EVENT_READ | selectors.EVENT_WRITE, peering)

    def _serve(self, peering: _Peering, mask: int) -> None:
        try:
            if not peering.line.shaken:
                if not peering.line.shake():
                    return
                self._check(peering)
            if mask & selectors.EVENT_READ:
                said = peering.line.hear()
                if said:
                    peering.line.heard_at = self._clock()
                for one in said:
                    self._heard(peering, one)
            peering.line.flush()
        except (OSError, ssl.SSLError, VrasError, ValueError):
            self._close(peering)

    def _check(self, peering: _Peering) -> None:
        """Who it is, before anything is said. Raises Refused(bad_peer)."""
        name, key = self._papers.member(peering.line.certificate, at=self._now())
        if name in self.wrong or (peering.member and peering.member.client_id != name):
            raise Refused("bad_peer", f"{name} is not whom to speak to.")
        peering.shown = name, key
        self._admit(peering)
        self.curious |= peering.shown is not None

    def _admit(self, peering: _Peering) -> None:
        """Says hello to a PC that takes part. Of whom that is not known waits until it is, for a while."""
        name, key = peering.shown or ("", "")
        member = self._members.get(name)
        if member is None or member.key != key:
            return
        peering.member, peering.shown = member, None
        peering.line.heard_at = self._clock()
        peering.line.say(Kind.HELLO, body=codec.encode(self._hello))
        self._say_bitmap(peering.line)

    def _say_bitmap(self, line: Line) -> None:
        if not self.relay.sends:
            line.say(Kind.QUIET)
        line.say(Kind.BITMAP, body=self.relay.have.to_bytes(-(-self.relay.pieces // 8), "little"))

    def _heard(self, peering: _Peering, said: Said) -> None:
        if peering.member is None or peering.shown:
            raise Refused("bad_peer", "A peer spoke before it was known.")
        name, now = peering.member.client_id, self._clock()
        if said.kind is Kind.HELLO:
            self._greet(peering, codec.decode(said.body, PeerHello))
            return
        if not peering.greeted or said.number >= self.relay.pieces:
            raise Refused("bad_peer", f"{name} said nothing sensible.")
        if self._by_name.get(name) is not peering:
            return
        if said.kind is Kind.BITMAP:
            mask = int.from_bytes(said.body, "little")
            if mask.bit_length() > self.relay.pieces:
                raise Refused("bad_peer", f"{name} has pieces that there are not.")
            quiet = peering.quiet
            peering.quiet = False
            self.relay.joined(name, mask, side=side_of(self._slot, peering.member.slot), now=now)
            if quiet:
                self.relay.quiet(name)
                peering.quiet = True
        elif said.kind is Kind.QUIET:
            peering.quiet = True
        elif name in self.relay.peers:
            if not peering.quiet and not self.relay.peers[name].sends:
                self.relay.loud(name, now=now)  # it was silent for a while
            self._told(peering, said, name, now)

    def _told(self, peering: _Peering, said: Said, name: str, now: float) -> None:
        if said.kind is Kind.HAVE:
            mask = mask_in(said.body, self.relay.pieces)
            self.relay.heard(name, mask, backlog=said.number, now=now)
        elif said.kind is Kind.ASK:
            self.relay.asked(name, said.number)
        elif said.kind is Kind.PIECE:
            self._piece(peering, said, name, now)

    def _piece(self, peering: _Peering, said: Said, name: str, now: float) -> None:
        lacked = not self.relay.have >> said.number & 1
        if lacked:
            if not self._take(said.number, said.body):
                self._bad[name] += 1
                if self._hello.base and self._bad[name] < MAX_BAD_DELTAS:
                    # Perhaps it is this PC's own version before that is damaged.
                    self.relay.unwant(said.number)
                    return
                self.wrong.add(name)
                self.relay.wrong(name)
                raise Refused("wrong_bytes", f"{name} sent wrong bytes.")
            self.peer_bytes += len(said.body)
            self._source.keep(said.number, said.body)
        self.relay.received(name, said.number, relay=bool(said.flags & Flag.RELAY), now=now)

    def _greet(self, peering: _Peering, hello: PeerHello) -> None:
        if peering.member is None or hello != self._hello:
            raise Refused("bad_peer", "A peer means another distribution.")
        name = peering.member.client_id
        old = self._by_name.get(name)
        if old is not None and old is not peering:
            # Both dialled at once: both sides keep the line of the lower id. Else the older one is dead.
            right = self._me < name
            if old.line.dialled != peering.line.dialled and old.line.dialled == right:
                raise Refused("bad_peer", "A second line to the same peer.")
            self._close(old)
        peering.greeted = True
        self._by_name[name] = peering

    def _pump(self, peering: _Peering, now: float) -> None:
        name = peering.member.client_id if peering.member else ""
        line, peer = peering.line, self.relay.peers.get(name)
        if line.idle and not (peer and (peer.queue or peer.asks)) and not peering.waits:
            return
        try:
            line.flush()
            for _ in range(PIECES_A_TURN):
                if not line.idle or peer is None or not self._may_send(now):
                    break
                found = self.relay.next_for(name, now=now)
                if found is None:
                    break
                self._send(line, *found)
                line.flush()
        except (OSError, ssl.SSLError):
            self._close(peering)
            return
        waits = not line.idle or (peer is not None and self._may_send(now) and self.relay.has_for(name))
        if waits != peering.waits:
            peering.waits = waits
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if waits else 0)
            self._selector.modify(line.fileno(), events, peering)

    def _send(self, line: Line, piece: int, relay: bool) -> None:
        frame = self._source.frame(piece)
        if frame is None:
            self.relay.forget(piece)
            return
        line.say(Kind.PIECE, number=piece, flags=Flag.RELAY if relay else Flag.NONE, body=frame)
        if self.upload_bytes_s:
            now = self._clock()
            self._free_at = max(self._free_at, now - BURST_S) + len(frame) / self.upload_bytes_s

    def _may_send(self, now: float) -> bool:
        return not self.upload_bytes_s or self._free_at <= now

    def _close(self, peering: _Peering) -> None:
        if peering not in self._peerings:
            return
        self._peerings.discard(peering)
        with suppress(KeyError, ValueError):
            self._selector.unregister(peering.line.fileno())
        peering.line.close()
        name = peering.member.client_id if peering.member else ""
        if self._by_name.get(name) is peering:
            del self._by_name[name]
            self.relay.left(name)

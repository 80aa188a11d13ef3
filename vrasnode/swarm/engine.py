"""The loop over all lines: listens, dials, checks who it is, and carries out what `relay` decides.

One thread runs `step`; `fetched`, `meet` and `close` may be called from others. What a peer sends is held
against its digest (`take`) before it counts; a peer that sends wrong bytes is left and named in `wrong`.
"""

import os
import select
import socket
import ssl
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import datetime

from vrasnode import lowpriority
from vrasnode.errors import Refused, VrasError
from vrasnode.swarm.line import READ_BYTES, Line, Said, listen
from vrasnode.swarm.lists import mask_in
from vrasnode.swarm.peering import BEAT_S, Peering
from vrasnode.swarm.places import depth_of, neighbours, side_of
from vrasnode.swarm.relay import LEAST_TELL_S, Relay
from vrasnode.swarm.source import Source
from vrasnode.swarm.trust import Papers
from vrasnode.wire import codec
from vrasnode.wire.swarm import Flag, Kind, PeerHello, SwarmMember

LOOK_S, SUSPECT_S, DEAD_S = 0.75, 1.5, 10.0  # of silence
SHAKE_S = 5.0
DIAL_AGAIN_S = 1.0
OTHER_DIALS_S = 0.5  # who came later dials first; the other one later, should that not work
BURST_S = 0.1
STEP_S = 0.03
NAP_S_A_PEER, LEAST_NAP_S, MOST_NAP_S = 0.001, 0.002, 0.02  # after a turn: what comes is done together
PIECES_A_TURN = 4
MAX_BAD_DELTAS = 3
MOST_STRANGERS = 64  # lines of whom it is not known yet who they are
NEVER = float("-inf")


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
        self._peerings: set[Peering] = set()
        self._by_name: dict[str, Peering] = {}
        self._arrived: deque[tuple[int, bytes]] = deque()
        self._by_handle: dict[int, Peering] = {}
        self._poll = select.epoll()
        self._poll.register(self._listener, select.EPOLLIN)
        self._wake_in, self._wake_out = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._poll.register(self._wake_in, select.EPOLLIN)
        self._told_at = self._ticked_at = self._free_at = 0.0
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
            self._slot, self.relay.depth = slot, depth_of(slot)
            self._members = {member.client_id: member for member in members}
            near = set(neighbours(self._members.values(), slot=slot, me=self._me))
            for peering in list(self._peerings):
                if peering.member and peering.member not in near:
                    self._close(peering)
            for peering in [one for one in self._peerings if one.shown]:
                self._admit(peering)
            now = self._clock()
            self.relay.expect(len(near), now=now)
            first = not self._known_since
            self._known_since = {
                name: self._known_since.get(name, NEVER if first and member.slot < slot else now)
                for name, member in self._members.items()
            }
            self._ticked_at = NEVER
        self.wake()

    def fetched(self, piece: int, frame: bytes) -> None:
        """A right piece came from the server."""
        self._arrived.append((piece, frame))
        self.wake()

    def wake(self) -> None:
        with suppress(OSError):
            os.write(self._wake_out, b".")

    def step(self, timeout_s: float = STEP_S) -> None:
        """One turn: what came, what can go, what is due."""
        events = self._poll.poll(timeout_s)
        with self.lock:
            can_send = set()
            for handle, mask in events:
                peering = self._by_handle.get(handle)
                if peering is not None:
                    self._serve(peering, mask)
                    if mask & select.EPOLLOUT:
                        can_send.add(peering.name)
                elif handle == self._wake_in:
                    os.read(self._wake_in, 4096)
                elif handle == self._listener.fileno():
                    self._accept()
            self._take_arrived()
            self._turn(self._clock(), can_send)
        if events:
            time.sleep(max(LEAST_NAP_S, min(MOST_NAP_S, NAP_S_A_PEER * len(self._by_name))))

    def close(self) -> None:
        """Ends all lines. Not while `step` runs."""
        with self.lock:
            for peering in list(self._peerings):
                self._close(peering)
            self._poll.close()
            self._listener.close()
            os.close(self._wake_in)
            os.close(self._wake_out)

    def _take_arrived(self) -> None:
        while self._arrived:
            piece, frame = self._arrived.popleft()
            self._source.keep(piece, frame, at_hand=True)
            self.relay.fetched(piece, now=self._clock())

    def _turn(self, now: float, can_send: set[str]) -> None:
        """What is due, and what can go: to `can_send`, and to whom there was nothing to send before."""
        if now - self._told_at >= LEAST_TELL_S:
            self._told_at = now
            can_send |= self._tell(now)
        if now - self._ticked_at >= 0.1:
            self._ticked_at = now
            self._sweep(now)
            self.relay.hungry = True
        if self.relay.hungry:
            for ask in self.relay.tick(now=now):
                self._by_name[ask.peer].line.say(Kind.ASK, number=ask.piece)
                can_send.add(ask.peer)
        for name in can_send.union(self.relay.owed()):
            if (peering := self._by_name.get(name)) and (name in can_send or not peering.waits):
                self._pump(peering, now)

    def _tell(self, now: float) -> set[str]:
        """Whom there was something to say to."""
        news = self.relay.news()
        if self._was_sending != self.relay.sends:
            self._was_sending = self.relay.sends
            for peering in self._by_name.values():
                peering.say_all(self.relay)
            return set(self._by_name)
        for peering in self._peerings:
            peering.untold |= news if peering.introduced else 0
        told, tell_s = set(), self.relay.tell_s if self.relay.sends else BEAT_S
        for name, peering in self._by_name.items():
            since = now - peering.told_at
            if since >= BEAT_S or (peering.untold and since >= tell_s):
                peering.tell(self.relay, now)
                told.add(name)
        return told

    def _sweep(self, now: float) -> None:
        for peering in list(self._peerings):
            if peering.silent(now) > LOOK_S and peering.greeted:
                self._serve(peering, select.EPOLLIN)  # a piece may come too slowly to wake anybody
            silent = peering.silent(now)
            if silent > (DEAD_S if peering.greeted else SHAKE_S):
                self._close(peering)
            elif peering.name in self.relay.peers and silent > SUSPECT_S and not peering.quiet:
                self.relay.quiet(peering.name, now=now)
        for member in neighbours(self._members.values(), slot=self._slot, me=self._me):
            name = member.client_id
            if name in self.wrong or any(peering.name == name for peering in self._peerings):
                continue
            dialled_at = self._dialled.get(name, NEVER)
            if now - self._known_since[name] >= OTHER_DIALS_S and now - dialled_at >= DIAL_AGAIN_S:
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
        peering = Peering(line, now, dialled)
        self._peerings.add(peering)
        self._by_handle[line.fileno()] = peering
        self._poll.register(line.fileno(), select.EPOLLIN | select.EPOLLOUT)

    def _serve(self, peering: Peering, mask: int) -> None:
        try:
            if not peering.line.shaken:
                if not peering.line.shake():
                    return
                self._check(peering)
            if peering.shown and not mask & (select.EPOLLHUP | select.EPOLLERR):
                self._poll.modify(peering.line.fileno(), 0)  # what it says waits until it is known
                return
            if mask & ~select.EPOLLOUT or not peering.greeted:  # or it spoke with the end of the handshake
                before = peering.line.came_bytes
                said = peering.line.hear()
                if peering.line.came_bytes != before:
                    peering.line.heard_at = self._clock()
                for one in said:
                    self._heard(peering, one)
            peering.line.flush()
        except (OSError, ssl.SSLError, VrasError, ValueError):
            self._close(peering)

    def _check(self, peering: Peering) -> None:
        """Who it is, before anything is said. Raises Refused(bad_peer)."""
        name, key = self._papers.member(peering.line.certificate, at=self._now())
        if name in self.wrong or (peering.member and peering.member.client_id != name):
            raise Refused("bad_peer", f"{name} is not whom to speak to.")
        peering.shown = name, key
        self._admit(peering)
        self.curious |= peering.shown is not None

    def _admit(self, peering: Peering) -> None:
        """Says hello to a PC that takes part. Of whom that is not known waits until it is, for a while."""
        name, key = peering.shown or ("", "")
        member = self._members.get(name)
        if member is None or member.key != key:
            return
        peering.member, peering.shown = member, None
        self._poll.modify(peering.line.fileno(), select.EPOLLIN | select.EPOLLOUT)
        peering.line.heard_at = self._clock()
        peering.line.say(Kind.HELLO, body=codec.encode(self._hello))
        peering.say_all(self.relay)

    def _heard(self, peering: Peering, said: Said) -> None:
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
                self.relay.quiet(name, now=now)
                peering.quiet = True
        elif said.kind is Kind.QUIET:
            peering.quiet = True
        elif name in self.relay.peers:
            if not peering.quiet and not self.relay.peers[name].sends:
                self.relay.loud(name, now=now)  # it was silent for a while
            self._told(peering, said, name, now)

    def _told(self, peering: Peering, said: Said, name: str, now: float) -> None:
        if said.kind is Kind.HAVE:
            mask = mask_in(said.body, self.relay.pieces)
            self.relay.heard(name, mask, backlog=said.number, now=now)
        elif said.kind is Kind.ASK:
            self.relay.asked(name, said.number)
        elif said.kind is Kind.PIECE:
            self._piece(peering, said, name, now)

    def _piece(self, peering: Peering, said: Said, name: str, now: float) -> None:
        lacked = not self.relay.have >> said.number & 1
        if lacked:
            if not self._take(said.number, said.body):
                self._bad[name] += 1
                if self._hello.base and self._bad[name] < MAX_BAD_DELTAS:
                    # Perhaps it is this PC's own version before that is damaged.
                    self.relay.unwant(said.number)
                    return
                self.wrong.add(name)
                self.relay.wrong(name, now=now)
                raise Refused("wrong_bytes", f"{name} sent wrong bytes.")
            self.peer_bytes += len(said.body)
            self._source.keep(said.number, said.body, at_hand=bool(said.flags & Flag.RELAY))
        self.relay.received(name, said.number, relay=bool(said.flags & Flag.RELAY), now=now)

    def _greet(self, peering: Peering, hello: PeerHello) -> None:
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
        peering.line.one_of(max(1, len(self._members) - 1))

    def _pump(self, peering: Peering, now: float) -> None:
        name = peering.name
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
                if peering.untold:  # it travels with the piece
                    peering.tell(self.relay, now)
                line.flush()
        except (OSError, ssl.SSLError):
            self._close(peering)
            return
        waits = not line.idle or (peer is not None and self._may_send(now) and self.relay.has_for(name))
        if waits != peering.waits:
            peering.waits = waits
            self._poll.modify(line.fileno(), select.EPOLLIN | (select.EPOLLOUT if waits else 0))

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

    def _close(self, peering: Peering) -> None:
        if peering not in self._peerings:
            return
        self._peerings.discard(peering)
        self._by_handle.pop(peering.line.fileno(), None)
        with suppress(OSError, ValueError):
            self._poll.unregister(peering.line.fileno())
        peering.line.close()
        if self._by_name.get(peering.name) is peering:
            del self._by_name[peering.name]
            self.relay.left(peering.name, now=self._clock())

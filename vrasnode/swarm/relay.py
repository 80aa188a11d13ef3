"""Who gives which piece to whom, decided on this PC from what it sees. Pure: no I/O, no clock of its own.

    from the server, or from the cell above -> mine to relay: pushed to all of my cell and the cells below
    pushed to me by a peer                  -> mine; told to everybody (`news`)
    heard of and not come in time           -> asked for, from somebody who has it
    given out and nobody has it             -> `lost`: the server is told, and gives it out again

What a PC takes from the server depends on its *credit*: few pieces, and none while those that it had are not
passed on. So a fast PC does more than a slow one by itself. A peer that drains slowly is not waited for.
Sets of pieces are Python integers, bit by bit: a batch is one `|`.
"""

from collections import deque
from collections.abc import Container, Iterable, Iterator
from random import Random

from vrasnode.swarm.ahead import AHEAD_S
from vrasnode.swarm.given import SAMPLES, STARVED_S, Arrivals, Given, median
from vrasnode.swarm.hearsay import Hearsay
from vrasnode.swarm.known import Ask, Peer, Side
from vrasnode.swarm.masks import bits
from vrasnode.swarm.missing import LEAST_LOST_S, Missing

CREDIT_PIECES = 16  # under way to all PCs of a cell together, at least one each
FIRST_CREDIT, LEAST_CREDIT = 4, 2  # before it is known who else begins; with those that are not passed on
ALONE_S, ALONE_PIECES = 0.5, 192  # without peers for that time: what comes in it, and no more than so many
PUSHED_S = 0.5  # what others have taken lately is here by then
EXPECTED_S = 2.0  # so long peers of whom the server told may need until they are there
ASK_AT_ONCE = 4  # pieces asked of one peer and not there yet
ASK_IN_ALL = 24
FIRST_PATIENCE_S, LEAST_PATIENCE_S = 1.0, 0.3
LEAST_PATIENCE_BEFORE_S = 1.0  # while the server has more to give: nobody waits for this very piece
BUSY_PATIENCE_S = 3.0  # while pieces come as usual: what is under way in somebody's queue would come twice
LEAST_TELL_S, MOST_TELL_S = 0.03, 0.3
TELL_S_A_PEER, TELL_AT_LAST_S_A_PEER = 0.02, 0.006
ANSWER_S = 2.0  # for a piece that was asked for
LOST_AT_ONCE, LOST_S = 32, 3.0  # whoever was given it may have much else to do
STALLED_S = 5.0  # without a new piece: a cell that has another above gets pieces from the server itself
ROUNDS = 2  # to all of a cell: so long what whoever relays has in hand takes to go out
LOOKED_AT, CHOICES = 64, 3  # pieces; holders of a piece that are looked at, to ask the least busy
LAGS = 3  # pieces of each PC of the cell: twice as many behind, and a PC takes nothing until it is so many
BUSY = 3  # pieces to each of one's peers: then others are to relay what comes


class Relay:
    """One PC's part in sharing `pieces` pieces, of which it has some and wants some. Times are seconds of one
    clock that never goes back. `random` chooses among equals."""

    def __init__(self, pieces: int, *, have: int, want: int, random: Random, sends: bool = True) -> None:
        self.pieces = pieces
        self.have = have
        self.want = want & ~have
        self.sends = sends
        self.peers: dict[str, Peer] = {}
        self.duplicates = 0
        self.fetching = 0  # pieces taken from the server and not there yet
        self._random = random
        self._news = 0
        self._hearsay = Hearsay()
        self._inflight: dict[int, str] = {}
        self._delays: deque[float] = deque(maxlen=SAMPLES)
        self._far_delays: deque[float] = deque(maxlen=SAMPLES)
        self._arrivals = Arrivals()
        self._given = Given()
        self._claimed: dict[int, float] = {}
        self._fetches: deque[float] = deque(maxlen=SAMPLES)
        self._missing = Missing(self._given)
        self._lags = False
        self._given_out = False
        self.depth = 0  # cells above this PC's
        self._moved_at: float | None = None
        self._company_at: float | None = None  # when a peer was there last, or this PC began
        self._expected, self._expected_until = 0, 0.0
        self.hungry = False  # something that was asked for has come: more can be

    @property
    def tell_s(self) -> float:
        """How often news is told: with many peers it is many messages. Towards the end others wait for it."""
        if self._given_out:
            return max(LEAST_TELL_S, TELL_AT_LAST_S_A_PEER * len(self.peers))
        return max(LEAST_TELL_S, min(MOST_TELL_S, TELL_S_A_PEER * len(self.peers)))

    @property
    def lacks(self) -> int:
        """What is wanted and not here."""
        return self.want & ~self.have

    @property
    def patience_s(self) -> float:
        """How long a piece may take from when the cell is first heard to have it until it comes by itself."""
        least = LEAST_PATIENCE_S if self._given_out else LEAST_PATIENCE_BEFORE_S
        return max(least, 4 * median(self._delays, FIRST_PATIENCE_S / 4))

    def joined(self, name: str, has: int, *, side: Side = Side.CELL, now: float) -> None:
        """A peer is there, or there again; it has these pieces."""
        if name in self.peers:
            self.left(name, now=now)
        self._missing.back(name)
        peer = self.peers[name] = Peer(name, side)
        self._hear(peer, has, now=now, before=True)
        self._queue_own(peer, now)

    def expect(self, peers: int, *, now: float) -> None:
        """So many peers are about to be there, says the server: they will want theirs."""
        self._expected, self._expected_until = peers, now + EXPECTED_S

    def left(self, name: str, *, now: float) -> None:
        """A peer is gone."""
        self._missing.gone(name, now=now)
        peer = self.peers.pop(name, None)
        for piece in peer.asked if peer else ():
            self._inflight.pop(piece, None)

    def heard(self, name: str, pieces: int, *, backlog: int = 0, now: float) -> None:
        """A peer has these pieces besides, and so many to send to others."""
        self.peers[name].backlog = backlog
        self._hear(self.peers[name], pieces, now=now)

    def quiet(self, name: str, *, now: float) -> None:
        """A peer sends nothing from now on."""
        self._missing.gone(name, now=now)
        peer = self.peers[name]
        peer.sends = False
        for piece in peer.asked:
            self._inflight.pop(piece, None)
        peer.asked.clear()

    def loud(self, name: str, *, now: float) -> None:
        """A peer sends again."""
        self._missing.back(name)
        peer = self.peers[name]
        peer.sends = True
        self._hear(peer, peer.has, now=now)  # what nobody else had was not waited for any more

    def asked(self, name: str, piece: int) -> None:
        """A peer asks for a piece."""
        if self.sends and self.have >> piece & 1:
            self.peers[name].asks[piece] = None

    def fetched(self, piece: int, *, now: float) -> None:
        """A piece came from the server: it is ours to relay."""
        since = self._claimed.pop(piece, None)
        if since is not None:
            self.fetching -= 1
            self._fetches.append(now - since)
        if not self.have >> piece & 1:
            self._own(piece, now)
        self._spread(piece, None, now)

    def received(self, name: str, piece: int, *, relay: bool, now: float) -> None:
        """A right piece came from a peer."""
        peer = self.peers.get(name)
        if peer:
            peer.asked.pop(piece, None)
            peer.has |= 1 << piece
        if self.have >> piece & 1:
            self.duplicates += 1
            if relay:
                self._spread(piece, name, now)
            return
        asked = self._inflight.pop(piece, None)
        self.hungry |= asked is not None
        for delays, far in ((self._delays, False), (self._far_delays, True)):
            waited = self._hearsay.waited_s(piece, far=far, now=now)
            if waited is not None and asked is None:
                delays.append(waited)
        self._own(piece, now)
        relay |= peer is not None and peer.side is Side.ABOVE  # what was asked for there the cell lacks, too
        if relay and not self._delegated(piece, now):
            self._spread(piece, name, now)

    def forget(self, piece: int) -> None:
        """A piece that cannot be sent after all."""
        self.have &= ~(1 << piece)

    def wrong(self, name: str, *, now: float) -> None:
        """A peer sent wrong bytes: nothing that it said counts."""
        self.left(name, now=now)

    def next_for(self, name: str, *, now: float) -> tuple[int, bool] | None:
        """What to send this peer now, and whether it is to relay it."""
        peer = self.peers[name]
        for waiting in (peer.queue, peer.asks):
            while waiting:
                piece = next(iter(waiting))
                relay = bool(waiting.pop(piece))
                peer.waits_since = now if peer.queue else None
                if self.have >> piece & 1 and not peer.has >> piece & 1:
                    return piece, relay
        peer.laggard = False
        return None

    @property
    def backlog(self) -> int:
        """What waits to be sent to peers: to be told with the news."""
        return sum(len(peer.queue) + len(peer.asks) for peer in self.peers.values())

    def owed(self) -> list[str]:
        """The peers that something waits for."""
        return [peer.name for peer in self.peers.values() if peer.queue or peer.asks]

    def has_for(self, name: str) -> bool:
        """Whether anything waits for this peer."""
        peer = self.peers[name]
        return bool(peer.queue or peer.asks)

    def news(self) -> int:
        """What this PC has since this was last asked: to be told to all peers."""
        news, self._news = self._news, 0
        return news

    def frontier(self, piece: int, *, now: float, ahead: int = 0) -> None:
        """The server says that all pieces below have been given out. `ahead`: so many of them this PC is to
        get and has not begun to."""
        self._given.note(piece, now=now)
        self._given_out = piece >= self.pieces
        # What was given out since then may be set aside by whoever is to get it, as it is here.
        settled = self._given.below(now - AHEAD_S)
        lag = (self.lacks & ((1 << settled) - 1)).bit_count() - self.fetching - ahead
        crowd = (1 + len(self.peers)) * max(LEAST_CREDIT, self._fair_credit(now))
        self._lags = lag > (LAGS * crowd if self._lags else 2 * LAGS * crowd + 8)

    def credit(self, *, now: float, ahead: int = 0) -> int:
        """How many pieces to get from the server now. What is this PC's to get `ahead` of that, others wait
        for, however far behind it is."""
        if self.peers or self._company_at is None:
            self._company_at = now
        if not self.sends and any(peer.sends for peer in self.peers.values()):
            return 0
        fair = self._fair_credit(now)
        if self.fetching >= fair or (self.depth and self.peers and not self._stalled(now)):
            return 0
        self._flag_laggards(now)
        waited_for = sorted(len(p.queue) for p in self.peers.values() if not p.laggard)
        backlog = waited_for[len(waited_for) // 4] if waited_for else 0
        if self._lags and waited_for and not ahead:
            return 0
        # All together take no more at a time than a switch holds; the next is here before the last is gone.
        credit = max(0, min(max(LEAST_CREDIT, fair) - backlog, fair) - self.fetching)
        # Several at once, for each time costs the server and the PC a request or two.
        return 0 if self.fetching and 2 * credit < fair else credit

    def taken(self, pieces: list[int], *, now: float) -> None:
        """The server gave these to this PC to get."""
        new = [piece for piece in pieces if piece not in self._claimed]
        self.fetching += len(new)
        self._claimed.update(dict.fromkeys(new, now))

    def given_up(self, pieces: Iterable[int]) -> None:
        """These will not come from the server after all."""
        for piece in pieces:
            if self._claimed.pop(piece, None) is not None:
                self.fetching -= 1

    def unwant(self, piece: int) -> None:
        """This one is got in another way, or not at all."""
        self.want &= ~(1 << piece)
        self._hearsay.drop(piece)
        self._inflight.pop(piece, None)
        self.given_up([piece])

    def tick(self, *, now: float) -> list[Ask]:
        """What to ask for now. Call it some ten times a second, and when `hungry`."""
        self.hungry = False
        for peer in self.peers.values():
            late = [piece for piece, since in peer.asked.items() if now - since > ANSWER_S + self.patience_s]
            for piece in late:
                del peer.asked[piece]
                self._inflight.pop(piece, None)
        asks = self._of_the_idle(now) if self._given_out else []
        for piece in self._overdue(now):
            if len(self._inflight) >= ASK_IN_ALL:
                break
            holders = [p for p in self.peers.values() if p.sends and p.has >> piece & 1]
            free = [p for p in holders if len(p.asked) < ASK_AT_ONCE]
            if not holders:
                self._hearsay.drop(piece)
            if not free:
                continue
            peer = min(self._random.sample(free, min(CHOICES, len(free))), key=_busy)
            peer.asked[piece] = now
            self._inflight[piece] = peer.name
            asks.append(Ask(peer.name, piece))
        return asks

    def lost(self, *, now: float, ahead: Container[int] = ()) -> list[int]:
        """Pieces that were given out a while ago, and that nobody here has; each named once in a while."""
        patience = self._lost_patience_s(now)
        frontier = self._given.below(now - patience)
        known = 0
        for peer in self.peers.values():
            if peer.sends:
                known |= peer.has
        lost = self.lacks & ~known & ((1 << frontier) - 1)
        others = (piece for piece in bits(lost) if not (piece in self._claimed or piece in ahead))
        named = self._missing.unnamed(others, within_s=patience, now=now)
        # Each names a few others: so one PC has not to pass on all of them.
        named = sorted(self._random.sample(named, min(len(named), LOST_AT_ONCE, self._fair_credit(now))))
        self._missing.name(named, now=now)
        return named

    def _fair_credit(self, now: float) -> int:
        peers = max(len(self.peers), self._expected if now < self._expected_until else 0)
        if not peers and (self._company_at is None or now - self._company_at < ALONE_S):
            return FIRST_CREDIT  # others may begin, too, and this PC be the slow one of them
        if not peers and (gap := self._arrivals.gap_s):
            # Nobody waits for what this PC takes: so it may be as much as keeps the line busy.
            return min(ALONE_PIECES, max(CREDIT_PIECES, int(ALONE_S / max(gap, 0.001))))
        return max(1, CREDIT_PIECES // (1 + peers))

    def _lost_patience_s(self, now: float) -> float:
        """How long a piece that was given out may be nowhere; from cell to cell it takes longer."""
        most = (1 + 2 * self.depth) * (LOST_S + self.patience_s + 3 * median(self._fetches, 0.0))
        return self._missing.patience_s(most_s=most, least_s=LEAST_LOST_S * (1 + self.depth), now=now)

    def _stalled(self, now: float) -> bool:
        if self._moved_at is None:
            self._moved_at = now
        return now - self._moved_at >= STALLED_S

    def _own(self, piece: int, now: float) -> None:
        if piece not in self._hearsay:
            self._given.heard(piece, now=now)
        self._moved_at = now
        self._arrivals.note(now)
        self.have |= 1 << piece
        self._news |= 1 << piece
        self._hearsay.drop(piece)
        self._inflight.pop(piece, None)

    def _spread(self, piece: int, source: str | None, now: float) -> None:
        if not self.sends:
            return
        for peer in self.peers.values():
            if peer.name == source or peer.side is Side.ABOVE or peer.has >> piece & 1:
                continue
            if not peer.queue:
                peer.waits_since = now
            peer.queue[piece] = peer.side is Side.BELOW

    def _delegated(self, piece: int, now: float) -> bool:
        """Whether somebody of this cell who has less to do is told to relay it instead; so nobody waits for
        the one that gets much from the cell above."""
        backlog = self.backlog
        if backlog <= BUSY * len(self.peers):
            return False
        mates = [
            peer
            for peer in self.peers.values()
            if peer.side is Side.CELL and peer.sends and not peer.has >> piece & 1
        ]
        if not mates:
            return False
        least = min(mates, key=_busy)
        if 2 * (least.backlog + len(self.peers)) > backlog:
            return False
        least.backlog += len(self.peers)
        least.waits_since = now if not least.queue else least.waits_since
        least.queue = {piece: True, **least.queue}
        return True

    def _queue_own(self, peer: Peer, now: float) -> None:
        """What still waits for others is pushed to a newcomer too; the rest it asks for."""
        waiting = {piece for other in self.peers.values() for piece in other.queue}
        for piece in waiting:
            if peer.side is not Side.ABOVE and not peer.has >> piece & 1:
                peer.queue[piece] = peer.side is Side.BELOW
                peer.waits_since = now

    def _hear(self, peer: Peer, pieces: int, *, now: float, before: bool = False) -> None:
        """A peer has these. What it had `before` it came may be nobody's to push any more: it is waited for
        as long as takes what is under way while many begin together."""
        peer.has |= pieces
        for piece in [piece for piece in peer.queue if pieces >> piece & 1]:
            del peer.queue[piece]
        since = now - BUSY_PATIENCE_S + PUSHED_S if before else now
        far = peer.side is Side.ABOVE
        first = self._hearsay.note(pieces & self.lacks, far=far, since=since, before=before)
        for piece in bits(first) if not before else ():
            self._given.heard(piece, now=now)

    def _of_the_idle(self, now: float) -> list[Ask]:
        """Towards the end: of whoever has nothing else to send what another would come to last."""
        idle = {p.name: p for p in self.peers.values() if p.sends and not p.backlog and not p.asked}
        edge = now - max(STARVED_S, ROUNDS * len(self.peers) * self._arrivals.gap_s)
        asks: list[Ask] = []
        far_edge = edge - FIRST_PATIENCE_S - 2 * median(self._far_delays, FIRST_PATIENCE_S)
        for piece in self._hearsay.latest(edge=edge, far_edge=far_edge):
            if not idle:
                break
            if piece in self._inflight:
                continue
            able = [peer for peer in idle.values() if peer.has >> piece & 1]
            if able:
                peer = idle.pop(self._random.choice(able).name)
                peer.asked[piece] = now
                self._inflight[piece] = peer.name
                asks.append(Ask(peer.name, piece))
        return asks

    def _overdue(self, now: float) -> Iterator[int]:
        patience = self.patience_s
        far = 2 * patience + max(FIRST_PATIENCE_S, 4 * median(self._far_delays, FIRST_PATIENCE_S))
        if not self._given_out and self._arrivals.steady(now):
            patience = max(patience, BUSY_PATIENCE_S)
        elif self._given_out and self._arrivals.overdue(now):  # others are idle, too
            patience = STARVED_S
        late = self._hearsay.late(edge=now - patience, far_edge=now - far, but=self._inflight, most=LOOKED_AT)
        self._random.shuffle(late)
        return iter(late)

    def _flag_laggards(self, now: float) -> None:
        limit = max(0.5, 2 * self.patience_s)
        for peer in self.peers.values():
            if peer.waits_since is not None and peer.queue and now - peer.waits_since > limit:
                peer.laggard = True


def _busy(peer: Peer) -> int:
    return peer.backlog + ASK_AT_ONCE * len(peer.asked)

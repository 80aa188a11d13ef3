"""Many PCs on a simulated network, each with the product's own `Relay`: what becomes of 1,000 of them.

Every link carries one piece at a time, both ways at once, as a switched network does at its fullest: a piece
takes the sender's way out and the receiver's way in for `piece_s`. Words (have, ask) take no time and no
room. The server gives each piece out once and what is missed again, as `imaging.swarming` does. Nothing here
decides who sends what.

    python -m benchmarks.swarmsim [--pcs N] [--pieces K] [--leave SHARE] [--silent SHARE] [--seed S]
"""

import argparse
import heapq
import json
import time
from collections import defaultdict
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from random import Random

from vrasnode.swarm.ahead import Ahead
from vrasnode.swarm.peering import BEAT_S
from vrasnode.swarm.places import depth_of, neighbours, side_of
from vrasnode.swarm.relay import Relay
from vrasnode.swarm.session import CALL_S
from vrasnode.wire.swarm import CELL_PCS, MAX_CLAIM, SILENT_PLACES, SwarmMember

TICK_S = 0.1
MEMBERS_S = CALL_S
GIVEN_AGAIN_S = 1.0
SERVER = "server"


@dataclass(eq=False)
class SimPc:
    """A PC: its relay, its link, and how it behaves."""

    name: str
    slot: int
    relay: Relay
    slow: float = 1.0  # how many times as long a piece takes
    alive: bool = True
    lies: bool = False
    out_free: bool = True
    in_free: bool = True
    done_at: float | None = None
    joined: bool = False
    met: dict[str, None] = field(default_factory=dict)  # in an order, so that a seed is always the same
    left: set[str] = field(default_factory=set)  # for wrong bytes
    ahead: Ahead = field(default_factory=Ahead)
    wanted: list[int] = field(default_factory=list)  # taken from the server, not sent yet
    fetched: int = 0
    told_at: float = 0.0
    called_at: float = -CALL_S


class Simulation:
    """Runs until all that are alive have everything, or `limit_s` is over."""

    def __init__(self, pcs: int, pieces: int, *, piece_s: float = 0.0068, seed: int = 1) -> None:
        self.random = Random(seed)
        self.pieces = pieces
        self.piece_s = piece_s
        self.now = 0.0
        self.sent = 0  # pieces that left the server
        self.todo = 0
        self.given = bytearray(pieces)
        self.again: dict[int, float] = {}
        self.pcs = [self._pc(number) for number in range(pcs)]
        self.by_name = {pc.name: pc for pc in self.pcs}
        self._by_slot: dict[int, SimPc] = {}
        self._server_free = True
        self._lacking: set[str] = set()  # names of those that run and lack something
        self._waits: dict[str, dict[str, None]] = defaultdict(dict)  # who waits for this PC's way in
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0

    def _pc(self, number: int) -> SimPc:
        everything = (1 << self.pieces) - 1
        relay = Relay(self.pieces, have=0, want=everything, random=Random(self.random.random()))
        return SimPc(f"{number:05}", -1, relay)

    def at(self, when: float, act: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._events, (when, self._count, act))

    def start(self, pc: SimPc) -> None:
        """The PC takes part from now on."""
        pc.joined = pc.alive = True
        if pc.slot < 0:
            pc.slot = free_slot(self._by_slot, sends=pc.relay.sends)
            self._by_slot[pc.slot] = pc
        if pc.relay.lacks:
            self._lacking.add(pc.name)
        pc.relay.depth = depth_of(pc.slot)
        self._meet(pc)
        self._beat(pc, None, self._tell)
        self._beat(pc, TICK_S, self._tick)
        self._beat(pc, MEMBERS_S, self._meet)

    def stop(self, pc: SimPc) -> None:
        """The PC is switched off, or its cable pulled."""
        pc.alive = False
        self._lacking.discard(pc.name)
        for name in list(pc.met):
            self._part(pc, self.by_name[name])
        pc.relay.given_up(pc.wanted)
        pc.wanted.clear()

    def _part(self, pc: SimPc, other: SimPc) -> None:
        """The line between the two ends."""
        for one, two in ((pc, other), (other, pc)):
            one.met.pop(two.name, None)
            one.relay.left(two.name, now=self.now)

    def run(self, *, limit_s: float) -> bool:
        """Whether all that are alive got everything in time."""
        for pc in self.pcs:
            if pc.joined:
                continue
            self.start(pc)
        while self._events and self.now <= limit_s:
            self.now, _, act = heapq.heappop(self._events)
            act()
            if not self._lacking:
                return True
        return not self._lacking

    def _beat(self, pc: SimPc, every: float | None, act: Callable[[SimPc], None]) -> None:
        """Without `every`: as often as the PC tells its news."""

        def again() -> None:
            if pc.alive:
                act(pc)
                self.at(self.now + (every or pc.relay.tell_s), again)

        self.at(self.now + (every or pc.relay.tell_s) * self.random.random(), again)

    def _meet(self, pc: SimPc) -> None:
        """Looks who takes part, and says hello to whom it does not know yet."""
        cell = pc.slot // CELL_PCS
        near = range(max(0, (cell - 1) // 2 * CELL_PCS), (2 * cell + 3) * CELL_PCS)
        members = [
            SwarmMember(
                client_id=other.name, address="", port=1, key="", slot=other.slot, sends=other.relay.sends
            )
            for other in (self._by_slot[slot] for slot in near if slot in self._by_slot)
            if other.alive
        ]
        near_now = neighbours(members, slot=pc.slot, me=pc.name)
        pc.relay.expect(len(near_now), now=self.now)
        for name in sorted(pc.met.keys() - {member.client_id for member in near_now}):
            self._part(pc, self.by_name[name])
        for member in near_now:
            other = self.by_name[member.client_id]
            if other.name in pc.met or other.name in pc.left or pc.name in other.left:
                continue
            for one, two in ((pc, other), (other, pc)):
                one.met[two.name] = None
                one.relay.joined(two.name, two.relay.have, side=side_of(one.slot, two.slot), now=self.now)
                if not two.relay.sends:
                    one.relay.quiet(two.name, now=self.now)
        self._claim(pc)

    def _tell(self, pc: SimPc) -> None:
        news = pc.relay.news()
        if not news and self.now - pc.told_at < BEAT_S:
            return
        pc.told_at = self.now
        for name in list(pc.met):
            other = self.by_name[name]
            if pc.name in other.relay.peers:
                other.relay.heard(pc.name, news, backlog=pc.relay.backlog, now=self.now)

    def _tick(self, pc: SimPc) -> None:
        self._ask(pc)
        self._claim(pc)
        self._send(pc)

    def _ask(self, pc: SimPc) -> None:
        for ask in pc.relay.tick(now=self.now):
            other = self.by_name[ask.peer]
            other.relay.asked(pc.name, ask.piece)
            self._send(other)

    def _claim(self, pc: SimPc) -> None:
        """What `session` and the server do with credit and what is missed."""
        if not pc.alive or not pc.relay.lacks:
            return
        credit = pc.relay.credit(now=self.now, ahead=len(pc.ahead))
        lost = pc.relay.lost(now=self.now, ahead=pc.ahead)
        if not lost and (pieces := pc.ahead.take(credit, have=pc.relay.have)):
            self._get(pc, pieces)
            return
        if not lost and not (credit and self.todo < self.pieces) and self.now - pc.called_at < CALL_S:
            return
        pc.called_at = self.now
        take = []
        for piece in lost:
            if self.given[piece] and self.now - self.again.get(piece, -9.0) >= GIVEN_AGAIN_S:
                self.again[piece] = self.now
                take.append(piece)
        room = pc.ahead.room(left=self.pieces - self.todo, pcs=1 + len(pc.relay.peers), now=self.now)
        for _ in range(min(max(credit, room), MAX_CLAIM) if credit else 0):
            if self.todo < self.pieces:
                self.given[self.todo] = 1
                take.append(self.todo)
                self.todo += 1
        self._get(pc, pc.ahead.put(take, credit=credit + len(lost), now=self.now))
        pc.relay.frontier(self.todo, now=self.now, ahead=len(pc.ahead))

    def _get(self, pc: SimPc, pieces: list[int]) -> None:
        pc.relay.taken(pieces, now=self.now)
        pc.wanted += pieces
        if pieces:
            self._serve()

    def _serve(self) -> None:
        """The server sends one piece to somebody who waits for one."""
        if not self._server_free:
            return
        waiting = [pc for pc in self.pcs[: 4 * CELL_PCS] if pc.wanted] or [pc for pc in self.pcs if pc.wanted]
        ready = [pc for pc in waiting if pc.in_free]
        if not ready:
            for pc in waiting:
                self._waits[pc.name][SERVER] = None
            return
        pc = min(ready, key=lambda one: one.wanted[0])  # about as they asked
        piece = pc.wanted.pop(0)
        self._server_free = pc.in_free = False
        self.sent += 1

        def arrived() -> None:
            self._server_free = pc.in_free = True
            if pc.alive:
                pc.fetched += 1
                pc.relay.fetched(piece, now=self.now)
                self._moved(pc)
                self._send(pc)
                self._claim(pc)
            self._freed(pc)
            self._serve()

        self.at(self.now + self.piece_s * pc.slow, arrived)

    def _send(self, pc: SimPc) -> None:
        """Sends one piece to a peer whose way in is free, if anything waits for one."""
        if not pc.out_free or not pc.alive or not pc.relay.sends:
            return
        chance, peers, names = self.random.random, pc.relay.peers, []
        for name in pc.met:
            peer = peers.get(name)
            if peer and (peer.queue or peer.asks):
                below = next(iter(peer.queue.values()), False)
                names.append((not below, chance(), name))  # to the cells below first
        for _, _, name in sorted(names):
            other = self.by_name[name]
            if not other.in_free:
                self._waits[name][pc.name] = None
                continue
            found = pc.relay.next_for(name, now=self.now)
            if found is None:
                continue
            self._carry(pc, other, *found)
            return

    def _carry(self, pc: SimPc, other: SimPc, piece: int, relay: bool) -> None:
        pc.out_free = other.in_free = False

        def arrived() -> None:
            pc.out_free = other.in_free = True
            if pc.alive and other.alive and pc.name in other.relay.peers:
                if pc.lies:
                    other.left.add(pc.name)
                    other.relay.wrong(pc.name, now=self.now)
                    other.met.pop(pc.name, None)
                    pc.met.pop(other.name, None)
                    pc.relay.left(other.name, now=self.now)
                else:
                    other.relay.received(pc.name, piece, relay=relay, now=self.now)
                    self._moved(other)
                    if other.relay.hungry:
                        self._ask(other)
                    if relay:
                        self._send(other)
            self._freed(other)
            self._send(pc)
            self._claim(pc)

        self.at(self.now + self.piece_s * max(pc.slow, other.slow), arrived)

    def _freed(self, pc: SimPc) -> None:
        waiting = sorted(self._waits.pop(pc.name, ()), key=lambda _: self.random.random())
        for name in waiting:
            if not pc.in_free:
                self._waits[pc.name][name] = None
            elif name == SERVER:
                self._serve()
            else:
                self._send(self.by_name[name])

    def _moved(self, pc: SimPc) -> None:
        if pc.done_at is None and not pc.relay.lacks:
            pc.done_at = self.now
            self._lacking.discard(pc.name)


def free_slot(taken: Collection[int], *, sends: bool) -> int:
    """Where `imaging.swarming` puts a PC that joins: those that give nothing are few in each cell."""
    most = CELL_PCS - SILENT_PLACES
    if not sends:
        newest = min(max(taken, default=0) // CELL_PCS, len(taken) // most)
        cells: list[int] = [*range(newest - 1, -1, -1), newest]  # the newest may have few yet that give
        for slot in (cell * CELL_PCS + place for cell in cells for place in range(most, CELL_PCS)):
            if slot not in taken:
                return slot
    slot = 0
    while slot in taken or (sends and slot % CELL_PCS >= most):
        slot += 1
    return slot


def crowd(
    pcs: int, pieces: int, *, leave: float = 0.0, silent: float = 0.0, seed: int = 1
) -> dict[str, float | int]:
    """A share of the PCs leaves at half time, another never sends."""
    began = time.process_time()
    simulation = Simulation(pcs, pieces, seed=seed)
    ideal = pieces * simulation.piece_s
    others = simulation.pcs[:]
    simulation.random.shuffle(others)
    for pc in others[: int(silent * pcs)]:
        pc.relay.sends = False
    for pc in others[pcs - int(leave * pcs) :]:
        simulation.at(0.5 * ideal, lambda pc=pc: simulation.stop(pc))  # type: ignore[misc]
    simulation.run(limit_s=20 * ideal)
    times = sorted(pc.done_at or float("inf") for pc in simulation.pcs if pc.alive)
    return {
        "pcs": pcs,
        "pieces": pieces,
        "leave": leave,
        "silent": silent,
        "stuck": sum(1 for pc in simulation.pcs if pc.alive and pc.relay.lacks),
        "last": round(times[-1] / ideal, 3),
        "median": round(times[len(times) // 2] / ideal, 3),
        "egress": round(simulation.sent / pieces, 3),
        "given_again": len(simulation.again),
        "duplicates": sum(pc.relay.duplicates for pc in simulation.pcs),
        "cpu_s": round(time.process_time() - began, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pcs", type=int, default=1000)
    parser.add_argument("--pieces", type=int, default=1200)
    parser.add_argument("--leave", type=float, default=0.0)
    parser.add_argument("--silent", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    print(json.dumps(crowd(**vars(options))))


if __name__ == "__main__":
    main()

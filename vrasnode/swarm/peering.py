"""A line and whose it is, as the engine keeps them."""

from dataclasses import dataclass

from vrasnode.swarm.line import Line
from vrasnode.swarm.lists import numbers_in
from vrasnode.swarm.relay import Relay
from vrasnode.wire.swarm import Kind, SwarmMember

BEAT_S = 0.5  # between signs of life


@dataclass(eq=False)
class Peering:
    """`member` since it was checked, `greeted` since it said hello."""

    line: Line
    since: float
    member: SwarmMember | None = None
    greeted: bool = False
    introduced: bool = False  # it was told all that this PC had: from then on it is told what comes
    quiet: bool = False
    shown: tuple[str, str] | None = None  # client id and key of who is not known to take part
    waits: bool = True  # to be told when more can be sent
    untold: int = 0  # pieces that it was not told of
    told_at: float = 0.0

    @property
    def name(self) -> str:
        """The peer's client id, or nothing."""
        return self.member.client_id if self.member else ""

    def silent(self, now: float) -> float:
        """For how many seconds nothing has come."""
        return now - max(self.line.heard_at, self.since)

    def tell(self, relay: Relay, now: float) -> None:
        """What this PC has besides."""
        backlog = min(relay.backlog, relay.pieces - 1)
        self.line.say(Kind.HAVE, number=backlog, body=numbers_in(self.untold))
        self.untold, self.told_at = 0, now

    def say_all(self, relay: Relay) -> None:
        """Everything that this PC has, instead of what it said before."""
        if not relay.sends:
            self.line.say(Kind.QUIET)
        self.line.say(Kind.BITMAP, body=relay.have.to_bytes(-(-relay.pieces // 8), "little"))
        self.introduced, self.untold = True, 0

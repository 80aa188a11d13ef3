"""Whoever would sit at a simulated PC: chooses the PIN of a usage key as soon as one may be chosen, so that a
trial shows the whole way, from the request to the key on the PC and its end."""

import logging
from collections.abc import Callable, Sequence
from typing import Protocol

from vrasnode.checkout.keeping import Identity, PinKeeper
from vrasnode.checkout.periods import NOT_BEGUN
from vrasnode.checkout.telling import Seen
from vrasnode.errors import VrasError
from vrasnode.wire.checkout import Keeper as Kind
from vrasnode.wire.checkout import LeaseState

log = logging.getLogger("vrasnode.simulation")

PIN = "simulated-73915264"  # no secret: there is nothing behind it
AGAIN_S = 60.0


class Checkout(Protocol):
    """The part for usage keys, as its user meets it."""

    def seen(self) -> Sequence[Seen]: ...
    def pick_up(self, lease: str, pin: str) -> None: ...


class SimulatedKeeper(PinKeeper):
    """Stands for the TPM that the PC says it has. It keeps no better than a file does."""

    kind = Kind.TPM


class User:
    """A part beside the agent's own. `clock` counts seconds and never goes back."""

    name = "user"

    def __init__(self, checkout: Checkout, *, clock: Callable[[], float]) -> None:
        self._checkout = checkout
        self._clock = clock
        self._again_at: dict[str, float] = {}

    def step(self) -> bool:
        for seen in self._checkout.seen():
            lease = seen.lease.lease
            if _may_choose(seen) and self._clock() >= self._again_at.get(lease, 0.0):
                self._again_at[lease] = self._clock() + AGAIN_S
                self._choose(lease)
        return False

    def close(self) -> None:
        """They go home."""

    def _choose(self, lease: str) -> None:
        try:
            self._checkout.pick_up(lease, PIN)
        except VrasError as error:
            log.warning("lease %s: no PIN was chosen: %s", lease, error)


def keeper(identity: Identity) -> SimulatedKeeper:
    """In the TPM's place."""
    return SimulatedKeeper(identity)


def _may_choose(seen: Seen) -> bool:
    offered = seen.lease.state is LeaseState.OFFERED and not seen.lease.ending
    return offered and seen.standing.on_lan and seen.trouble in ("", NOT_BEGUN)

"""The end of a PC's day: its user has shut the client VM down. What was changed since the last replica is
copied, for a bounded time, then the PC is switched off.

working -> holding (copied | nothing to copy | left now | time over | the server is not there) -> going

What was not copied is cut off and goes on at the next start, before anybody logs on (`part`). Volumes
are locked and machines ended by the PC's own shutdown (`vrasnode stop`). The power button leaves now, too: it
begins that shutdown by itself.
"""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from vrasnode.wire.replication import Occasion, ReplicationSlice, RunReport
from vrasnode.words import LANGUAGES, say

log = logging.getLogger("vrasnode.leaving")

LEFT_NOW, TIME_OVER = "left_now", "hold_over"
OFFLINE_S = 15.0  # without the server, after which nothing is waited for
CUT_OFF_S = 15.0  # for a run to be cut off in order
TELL_S = 5.0  # for the server to hear how it ended
OFF_AGAIN_S = 120.0  # when the PC is still on


class Copying(Protocol):
    """Replicas (`replication.Replication`), as far as the end of a day needs them."""

    @property
    def said(self) -> ReplicationSlice: ...
    @property
    def progress(self) -> RunReport | None: ...
    @property
    def under_way(self) -> bool: ...
    def begin(self, volume: str, occasion: Occasion) -> bool: ...
    def waits_for(self, volume: str) -> bool: ...
    def leave(self, why: str) -> None: ...


@dataclass(frozen=True)
class Hold:
    """What is waited for, for people: seconds that are left at most, bytes of the run that is under way."""

    left_s: int
    done_bytes: int = 0
    total_bytes: int = 0


class Leaving:
    """The part. `open_volumes` says what there may be to copy; `reachable`, whether the server is there;
    `told`, whether it has heard everything. `show` puts words on the PC's own screen, `pressed` says whether
    somebody pressed a key there. `power_off` switches the PC off; None: it stays on, and its client VM is
    started again. `clock` counts seconds and never goes back."""

    name = "leaving"

    def __init__(
        self,
        *,
        copying: Copying,
        open_volumes: Callable[[], Iterable[str]],
        reachable: Callable[[], bool],
        told: Callable[[], bool],
        show: Callable[[str], None],
        pressed: Callable[[], bool],
        power_off: Callable[[], None] | None,
        clock: Callable[[], float],
    ) -> None:
        self._copying = copying
        self._open_volumes = open_volumes
        self._reachable = reachable
        self._told = told
        self._show = show
        self._pressed = pressed
        self._power_off = power_off
        self._clock = clock
        self._volumes: list[str] = []
        self._until: float | None = None  # holding
        self._heard_at = clock()
        self._going_at: float | None = None
        self._off_at: float | None = None
        self._leave = False

    @property
    def hold(self) -> Hold | None:
        """While it holds. From any thread."""
        until, progress = self._until, self._copying.progress
        if until is None or self._going_at is not None:
            return None
        left = max(0, round(until - self._clock()))
        return Hold(left, progress.done_bytes, progress.total_bytes) if progress else Hold(left)

    def leave_now(self) -> None:
        """Nobody waits: not now, or not at the next end of the client VM. From any thread."""
        self._leave = True

    def ended(self) -> bool:
        """The client VM was shut down by its user; whether it stays off, and so does the PC."""
        if self._power_off is None:
            return False
        said, now = self._copying.said, self._clock()
        if said.at_shutdown and not self._leave:
            self._volumes = [
                one for one in self._open_volumes() if self._copying.begin(one, Occasion.SHUTDOWN)
            ]
        self._until, self._heard_at = now + max(0, said.hold_s), now
        log.info("the desktop was shut down; %d volumes are copied first", len(self._volumes))
        return True

    def step(self) -> bool:
        """Never more to do at once."""
        if self._off_at is not None:
            self._switch_off()
        elif self._going_at is not None:
            self._go(self._going_at)
        elif self._until is not None:
            self._hold(self._until)
        return False

    def close(self) -> None:
        """The PC's own shutdown ends what is under way."""

    def _hold(self, until: float) -> None:
        now = self._clock()
        if self._reachable():
            self._heard_at = now
        if not any(self._copying.waits_for(volume) for volume in self._volumes):
            self._end("")
        elif self._leave or self._pressed():
            self._end(LEFT_NOW)
        elif now >= until or now - self._heard_at >= OFFLINE_S:
            self._end(TIME_OVER)
        else:
            self._show(_words(self.hold))

    def _end(self, why: str) -> None:
        if why:
            log.info("not all was copied: %s", why)
            self._copying.leave(why)
        self._going_at = self._clock()

    def _go(self, since: float) -> None:
        now = self._clock()
        if self._copying.under_way and now - since < CUT_OFF_S:
            return
        if not self._told() and now - since < CUT_OFF_S + TELL_S:
            return
        self._off_at = float("-inf")
        self._switch_off()

    def _switch_off(self) -> None:
        if self._power_off is None or self._off_at is None or self._clock() < self._off_at:
            return
        self._off_at = self._clock() + OFF_AGAIN_S
        self._show("\n".join(say("switching_off", language) for language in LANGUAGES))
        log.info("the PC is switched off")
        self._power_off()


def _words(hold: Hold | None) -> str:
    """In both languages: nobody here says which they read."""
    if hold is None:
        return ""
    share = str(100 * hold.done_bytes // hold.total_bytes) if hold.total_bytes else "0"
    details = {"percent": share, "seconds": str(-(-hold.left_s // 5) * 5)}
    return "\n\n".join(say("holding", language, details) for language in reversed(LANGUAGES))

"""The clocks of this PC. None is believed alone: what they say together is judged in `checkout.floor`.

Everybody who needs to know whether a period is over is given a `Clock`, so nothing here is ever patched.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True, kw_only=True)
class Clock:
    """`wall` is what the PC's clock shows, and whoever has the PC may set it; `since_start` are seconds since
    the PC was started, its sleep too (CLOCK_BOOTTIME), which nobody sets; `boot_id` names that start."""

    wall: Callable[[], datetime]
    since_start: Callable[[], float]
    boot_id: str


def of_this_pc(since_start: Callable[[], float], *, boot_id: str) -> Clock:
    """The control base's own, never a guest's."""
    return Clock(wall=lambda: datetime.now(UTC), since_start=since_start, boot_id=boot_id)

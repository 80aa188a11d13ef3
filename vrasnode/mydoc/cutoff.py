"""When an open volume has to be locked: pure rules over what was heard, and when.

Times are seconds of a clock that counts while the PC sleeps (CLOCK_BOOTTIME) and that begins anew with each
start of the machine, so a time is worth nothing without the boot it belongs to. An answer is as old as its
question: what was asked before the PC fell asleep proves nothing after it.
"""

from dataclasses import dataclass
from enum import StrEnum

LINK_S = 70.0  # from the last answer of the server, where nothing else proves the company's LAN
SERVER_S = 15 * 60.0  # the same, while a domain controller does: a restart of the server closes no document
DOUBT_S = 25.0  # of the server's silence, after which domain controllers are asked


class Cut(StrEnum):
    """Why a volume is locked."""

    SERVER_SAID = "server_said"  # it names no logon for it any more, or this PC is none of its own
    LEFT_THE_LAN = "left_the_lan"  # neither the server nor a domain controller is heard
    SERVER_SILENT = "server_silent"  # for too long, whatever a domain controller says
    MACHINE_OFF = "machine_off"  # the PC was started anew, or is shut down


@dataclass(frozen=True)
class Heard:
    """What speaks for an open volume. `named`: the server's last word names the logon that opened it;
    `same_boot`: the machine has not been started anew since; minus infinity stands for never."""

    named: bool
    same_boot: bool
    server_at: float
    controller_at: float = float("-inf")


def must_lock(heard: Heard, *, now: float) -> Cut | None:
    """Why a volume that is open has to be locked now; None: it may stay open."""
    if not heard.same_boot:
        return Cut.MACHINE_OFF
    if not heard.named:
        return Cut.SERVER_SAID
    if now >= heard.server_at + SERVER_S:
        return Cut.LEFT_THE_LAN if now >= heard.controller_at + LINK_S else Cut.SERVER_SILENT
    return Cut.LEFT_THE_LAN if now >= locks_at(heard) else None


def locks_at(heard: Heard) -> float:
    """When it will have to be locked if nothing more is heard."""
    return min(heard.server_at + SERVER_S, max(heard.server_at, heard.controller_at) + LINK_S)


def in_doubt(heard: Heard, *, now: float) -> bool:
    """Whether the server has been silent for so long that domain controllers should be asked."""
    return now >= heard.server_at + DOUBT_S

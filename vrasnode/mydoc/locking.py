"""How a volume is locked, in the designed order, with the proof that it is.

cable pulled -> share cut -> unmounted -> unplugged -> daemon killed -> proven unreadable -> cable back

The user is out after the first step, in a moment; what was acknowledged to them is then written down, for
which a guest that is only slow has some seconds. Where the cable cannot be pulled, because the machine hangs
or another user works on, it has two: then the daemon is killed, and key and way to the data are gone. What
that guest still has of the data in its memory goes with it: it is switched off.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Protocol

from vrasnode.errors import Refused, VrasError
from vrasnode.mydoc.housing import Housing
from vrasnode.mydoc.naming import serial_of
from vrasnode.mydoc.record import Ledger
from vrasnode.wire.mydoc import LockProof

log = logging.getLogger("vrasnode.mydoc")

CUT_S = 2.0  # for the guest to answer at all
PATIENT_CUT_S = 10.0  # where nobody reaches it any more, and what is not written down yet counts
CLOSE_S = 10.0  # to write down what it had acknowledged
UNPLUG_S = 5.0


class Volumes(Protocol):
    """The volumes, as far as locking needs them."""

    def stop(self, volume: str) -> None: ...
    def prove_locked(self, volume: str) -> bool: ...


def lock(
    volume: str,
    *,
    reason: str,
    volumes: Volumes,
    housing: Housing,
    is_alone: Callable[[], bool],
    clock: Callable[[], float],
    patient: bool = False,
) -> LockProof:
    """Locks the volume, however far it is open; again is no harm. `is_alone`: no other one is open, so that
    the cable may be pulled. `patient`: nobody is there who has to be kept out.

    Raises HostBroken when the machine or the daemon cannot be ended: lock again. The daemon is killed before
    anything of libvirt's can fail for good.
    """
    begun = clock()
    with _cable_out(housing, is_alone) as is_out:
        answered = _let_go(volume, housing, cut_s=PATIENT_CUT_S if is_out or patient else CUT_S)
        volumes.stop(volume)
        seconds = clock() - begun
        if not answered:  # libvirt is asked only now: of a machine that hangs it may know nothing for long
            answered = not housing.holds(volume) or _let_go(volume, housing, cut_s=CUT_S)
        if not answered:
            log.warning("%s: the virtual server holds on, and is switched off", volume)
            housing.switch_off()
        else:
            with suppress(VrasError):  # it ends with the machine that cannot be told
                housing.overwrite()
        read_failed = volumes.prove_locked(volume)
    return LockProof(
        reason=reason,
        seconds=round(seconds, 3),
        read_failed=read_failed,
        daemon_gone=True,
        guest_answered=answered,
    )


def lock_kept(
    volume: str,
    ledger: Ledger,
    *,
    volumes: Volumes,
    housing: Housing,
    is_alone: Callable[[], bool],
    clock: Callable[[], float],
    now: Callable[[], datetime],
    patient: bool = False,
) -> LockProof:
    """Locks the volume for the reason in its record, where the end is noted, too. Raises as `lock`."""
    record = ledger.record
    proof = lock(
        volume,
        reason=record.locking,
        volumes=volumes,
        housing=housing,
        is_alone=is_alone,
        clock=clock,
        patient=patient,
    )
    ledger.note(
        locking="",
        session="",
        keyed="",
        program="",
        share="",
        told=False,
        reading="",
        ended=record.session or record.ended,
        proof=proof,
        since=now(),
    )
    remark = "" if proof.read_failed else ", BUT IT CAN STILL BE READ"
    log.info("%s: locked in %.2f s (%s)%s", volume, proof.seconds, proof.reason, remark)
    return proof


def _let_go(volume: str, housing: Housing, *, cut_s: float) -> bool:
    """Whether the guest has let go of the volume."""
    serial = serial_of(volume)
    try:
        housing.call("volume_cut", timeout_s=cut_s, serial=serial)
        housing.call("volume_close", timeout_s=CLOSE_S, serial=serial)
        housing.unplug(volume, wait_s=UNPLUG_S)
    except Refused as error:
        log.warning("%s: the virtual server does not let go: %s", volume, error)
        return False
    except VrasError as error:
        log.info("%s: %s", volume, error)
        return False
    return True


@contextmanager
def _cable_out(housing: Housing, is_alone: Callable[[], bool]) -> Iterator[bool]:
    if not is_alone():
        yield False
        return
    try:
        yield housing.pull_cable()
    finally:
        housing.push_cable()

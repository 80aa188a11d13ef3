"""How a user's volume stands: for its own part, for the server and people, for usage keys. Pure."""

from collections.abc import Callable

from vrasnode.errors import VrasError
from vrasnode.mydoc.lent import Standing
from vrasnode.mydoc.openvolume import OpenVolume
from vrasnode.mydoc.record import Record
from vrasnode.mydoc.troubles import BEING_COPIED, READ_ONLY
from vrasnode.wire.mydoc import VolumeReport, VolumeState


def state_of(record: Record, *, exists: Callable[[], bool]) -> VolumeState:
    """By its record; `exists` is asked of one that is neither open nor on its way."""
    if record.locking:
        return VolumeState.LOCKING
    if record.session:
        return VolumeState.OPEN if record.program else VolumeState.OPENING
    if record.broken:
        return VolumeState.BROKEN
    return VolumeState.LOCKED if exists() else VolumeState.ABSENT


def report(
    volume: str,
    record: Record,
    state: VolumeState,
    *,
    opened: OpenVolume | None,
    trouble: VrasError | None,
    refused: str,
) -> VolumeReport:
    """What the server is told. `refused` is a logon that was not accepted."""
    code, words = _why(record, trouble)
    if record.reading and not code:
        code, words = BEING_COPIED
    if opened and opened.read_only and not code:
        code, words = READ_ONLY
    return VolumeReport(
        volume=volume,
        state=state,
        session=record.session or refused or record.ended,
        code=code,
        words=words,
        used_bytes=opened.used_bytes if opened else 0,
        size_bytes=opened.size_bytes if opened else 0,
        since=record.since,
        proof=record.proof,
        grants_revision=opened.grants_revision if opened else 0,
        grants_failed=opened.grants_failed if opened else "",
    )


def lent(record: Record, state: VolumeState, *, trouble: VrasError | None) -> Standing:
    """What usage keys go by."""
    code, words = _why(record, trouble)
    on_lan = bool(record.session) and not record.lease
    return Standing(state, record.lease, on_lan, code=code, words=words, proof=record.proof)


def _why(record: Record, trouble: VrasError | None) -> tuple[str, str]:
    return (trouble.code, trouble.words) if trouble else (record.code, record.words)

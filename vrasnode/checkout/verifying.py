"""Whether what came as a usage key is one, for this PC and this volume, in the exact bytes that were signed.

Pure. What is refused here has been touched on its way, or was lent to somebody else.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from vrasnode.errors import Refused
from vrasnode.mydoc.naming import is_volume
from vrasnode.wire import codec
from vrasnode.wire.checkout import UsageKey
from vrasnode.wire.signatures import Keyring, Role, Signed

MOST_FOLDERS = 200


@dataclass(frozen=True)
class Here:
    """This PC, as the server knows it: `pc_key` is the fingerprint of its signing key."""

    client_id: str
    pc_key: str


def verified(signed: Signed, *, keyring: Keyring, here: Here, at: datetime) -> UsageKey:
    """The usage key in an envelope that a lease key signed which was good at time `at`.

    Raises Refused: unknown_key, key_expired, bad_signature, wrong_key, bad_message, not_canonical, other_pc,
    bad_key.
    """
    key = keyring.open(signed, Role.LEASE, UsageKey, at=at)
    if codec.encode(key) != signed.payload:
        raise Refused("not_canonical", "The usage key is not written as the server writes it.")
    if str(key.client) != here.client_id or key.pc_key != here.pc_key:
        raise Refused("other_pc", "This usage key was lent to another PC.")
    if trouble := _senseless(key):
        raise Refused("bad_key", f"The usage key cannot be meant: {trouble}. Request it again.")
    return key


def belongs(key: UsageKey, *, owner: str | None) -> None:
    """Raises Refused(other_user, no_volume) unless it is for the one whose volume this is. `owner` None: no
    such volume is on this PC."""
    if owner is None:
        raise Refused("no_volume", "This PC has no such documents. They are made at the first logon.")
    if key.owner != owner:
        raise Refused("other_user", "This usage key was lent to another user.")


def _senseless(key: UsageKey) -> str:
    if not _is_uuid(key.lease) or not is_volume(key.volume):
        return "it names no lease, or no volume"
    if key.starts.tzinfo is None or not key.starts < key.ends or key.budget_s <= 0:
        return "its period is none"
    if key.issued > key.ends:
        return "it was over when it was lent"
    if key.serial <= 0 or key.pin_tries <= 0:
        return "its numbers are none"
    return _bad_folder(key.folders)


def _bad_folder(folders: Sequence[bytes]) -> str:
    if len(folders) > MOST_FOLDERS:
        return "it names too many folders"
    for folder in folders:
        steps = folder.split(b"/")
        if not folder or b"\0" in folder or any(step in (b"", b".", b"..") for step in steps):
            return "it names a folder that cannot be"
    return ""


def _is_uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False

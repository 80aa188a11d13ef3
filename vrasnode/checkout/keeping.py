"""What keeps the PC's half of a usage key: the TPM, or where there is none and the key allows it, the PIN.

Without a TPM the half is encrypted under what Argon2id makes of the PIN, and that to the PC's HPKE key.
Nothing then counts the guesses of who has copied the disk, nor forgets a lease that has ended: only the
length of the PIN stands against that, and the local page says so.
"""

import os
from collections.abc import Sequence
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from vrasnode import sealing
from vrasnode.checkout.chip import Chip
from vrasnode.errors import Refused
from vrasnode.wire.checkout import Keeper as Kind

_NONCE_BYTES = 12
_PURPOSE = "lease half"


class Keeper(Protocol):
    """Each act may raise HostBroken."""

    kind: Kind

    def keep(self, half: bytes, *, code: bytes, on_s: float) -> bytes:
        """What `give` makes the half of again, for this code; within the time that the PC may be on."""

    def give(self, kept: bytes, *, code: bytes) -> bytes:
        """Raises Refused(wrong_pin, key_gone, tpm_locked_out), HostBroken(sealed_elsewhere)."""

    def destroy(self, kept: bytes) -> None:
        """Nobody ever gets it again."""

    def keep_only(self, blobs: Sequence[bytes]) -> None:
        """Destroys all others."""


class Identity(Protocol):
    """The PC's HPKE key (`identity.Identity`)."""

    @property
    def hpke_key(self) -> bytes: ...
    def unseal(self, sealed: bytes, *, purpose: str) -> bytes: ...


class TpmKeeper:
    """See `chip`."""

    def __init__(self, chip: Chip) -> None:
        self.kind = Kind.SOFTWARE_TPM if chip.is_software() else Kind.TPM
        self.keep, self.give = chip.keep, chip.give
        self.destroy, self.keep_only = chip.destroy, chip.keep_only


class PinKeeper:
    """Nothing but files."""

    kind = Kind.PIN

    def __init__(self, identity: Identity) -> None:
        self._identity = identity

    def keep(self, half: bytes, *, code: bytes, on_s: float) -> bytes:
        del on_s
        nonce = os.urandom(_NONCE_BYTES)
        inner = nonce + AESGCM(code).encrypt(nonce, half, None)
        return sealing.seal(inner, self._identity.hpke_key, purpose=_PURPOSE)

    def give(self, kept: bytes, *, code: bytes) -> bytes:
        inner = self._identity.unseal(kept, purpose=_PURPOSE)
        try:
            return AESGCM(code).decrypt(inner[:_NONCE_BYTES], inner[_NONCE_BYTES:], None)
        except (InvalidTag, ValueError) as error:
            raise Refused("wrong_pin", "The PIN is wrong.") from error

    def destroy(self, kept: bytes) -> None:
        """It is gone with the file that it is in."""

    def keep_only(self, blobs: Sequence[bytes]) -> None: ...


class HpkeSealer:
    """Seals by the PC's HPKE key what a TPM would."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity

    def seal(self, secret: bytes, purpose: str) -> bytes:
        return sealing.seal(secret, self._identity.hpke_key, purpose=purpose)

    def unseal(self, blob: bytes, purpose: str) -> bytes:
        return self._identity.unseal(blob, purpose=purpose)

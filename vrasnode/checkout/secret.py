"""What opens a volume under a lease: made of the server's half and the PC's, which its user's PIN guards.

The slot's secret is HKDF-SHA-256 (RFC 5869) over both halves. A PIN has few possibilities, so it is never
used as it is: Argon2id (RFC 9106) makes 32 bytes of it, at the price of a third of a second for each guess.
"""

from dataclasses import dataclass
from itertools import pairwise

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from vrasnode.errors import Refused

HALF_BYTES = KEY_BYTES = 32
SALT_BYTES = 16
MIN_PIN, MIN_PIN_BARE, MAX_PIN = 6, 8, 64  # bare: no TPM counts the guesses


@dataclass(frozen=True)
class Stretch:
    """What one guess costs."""

    memory_kib: int = 64 << 10
    passes: int = 3

    def code(self, pin: str, salt: bytes) -> bytes:
        """The 32 bytes that stand for a PIN."""
        made = Argon2id(
            salt=salt, length=KEY_BYTES, iterations=self.passes, lanes=2, memory_cost=self.memory_kib
        )
        return made.derive(pin.encode())


STRETCH = Stretch()


def slot_secret(server_half: bytes, pc_half: bytes, *, lease: str, volume: str) -> bytes:
    """The 32 bytes that open a volume's lease slot. Raises Refused(bad_half)."""
    if len(server_half) != HALF_BYTES or len(pc_half) != HALF_BYTES:
        raise Refused("bad_half", "A half of the usage key's secret is none. Request it again.")
    info = f"openvras lease key v1 {lease} {volume}".encode()
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=server_half, info=info).derive(pc_half)


def check_pin(pin: str, *, bare: bool) -> None:
    """Raises Refused(pin_short, pin_simple, pin_long) for one that should not be chosen. `bare`: nothing but
    its length stands against who has a copy of this PC's disk."""
    least = MIN_PIN_BARE if bare else MIN_PIN
    if len(pin) < least:
        raise Refused("pin_short", f"A PIN has at least {least} characters.")
    if len(pin) > MAX_PIN:
        raise Refused("pin_long", f"A PIN has at most {MAX_PIN} characters.")
    steps = {ord(later) - ord(earlier) for earlier, later in pairwise(pin)}
    if len(set(pin)) < 3 or steps in ({1}, {-1}):
        raise Refused("pin_simple", "This PIN is guessed at once. Take one that is no row of numbers.")

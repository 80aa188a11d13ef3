"""Keys of user data: two halves, boxes for one purpose, two custodians."""

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from vrasnode import sealing
from vrasnode.errors import Refused

SECRET = b"the recovery key, thirty-two b.."


def public(key: X25519PrivateKey) -> bytes:
    return key.public_key().public_bytes_raw()


@pytest.fixture
def first() -> X25519PrivateKey:
    return X25519PrivateKey.generate()


@pytest.fixture
def second() -> X25519PrivateKey:
    return X25519PrivateKey.generate()


def test_a_volumes_key_stays_the_same_in_every_release() -> None:
    """A change here would lock everybody out."""
    key = sealing.lan_key(b"1" * 32, b"2" * 32, volume="v")

    assert key.hex() == "982c8bc38bceda0a920596a84944876cef5459412efd94e6f1e3acf565a23954"


@pytest.mark.parametrize(
    ("server_half", "pc_half", "volume"),
    [(b"3" * 32, b"2" * 32, "v"), (b"1" * 32, b"3" * 32, "v"), (b"1" * 32, b"2" * 32, "w")],
)
def test_each_half_and_the_volume_change_the_key(server_half: bytes, pc_half: bytes, volume: str) -> None:
    assert sealing.lan_key(server_half, pc_half, volume=volume) != sealing.lan_key(
        b"1" * 32, b"2" * 32, volume="v"
    )


@pytest.mark.parametrize("halves", [(b"", b"2" * 32), (b"1" * 32, b"2" * 31)])
def test_a_half_that_is_none_makes_no_key(halves: tuple[bytes, bytes]) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        sealing.lan_key(*halves, volume="v")


def test_what_is_sealed_opens_for_its_key_and_purpose_alone(
    first: X25519PrivateKey, second: X25519PrivateKey
) -> None:
    sealed = sealing.seal(SECRET, public(first), purpose="one thing")

    assert sealing.open_sealed(sealed, first, purpose="one thing") == SECRET
    for box, key, purpose in (
        (sealed, second, "one thing"),
        (sealed, first, "another"),
        (sealed[:-1] + bytes([sealed[-1] ^ 1]), first, "one thing"),
        (sealed[:20], first, "one thing"),
    ):
        with pytest.raises(Refused) as refused:
            sealing.open_sealed(box, key, purpose=purpose)
        assert refused.value.code == "not_for_us"


def test_a_recovery_key_takes_both_custodians_in_their_order(
    first: X25519PrivateKey, second: X25519PrivateKey
) -> None:
    wrapped = sealing.wrap_for_custodians(SECRET, [public(first), public(second)], volume="v")
    purpose = sealing.recovery_purpose("v")

    inner = sealing.open_sealed(wrapped, first, purpose=purpose)

    assert SECRET not in inner
    assert sealing.open_sealed(inner, second, purpose=purpose) == SECRET
    with pytest.raises(Refused):
        sealing.open_sealed(wrapped, second, purpose=purpose)

"""How volumes and people are called on the PC."""

import pytest

from vrasnode.mydoc.naming import FIRST_UID, UIDS, is_volume, serial_of, uid_of

VOLUME = "0b6f5c1e-6a63-4c3e-9d4e-3f4bb1a7a001"


def test_names_stay_the_same_in_every_release() -> None:
    """Files of people on volumes carry them."""
    assert serial_of(VOLUME) == "0b6f5c1e6a634c3e9d4e"
    assert uid_of("3f2504e0-4f89-11d3-9a0c-0305e82c3301") == 297874922
    assert FIRST_UID <= uid_of("") < FIRST_UID + UIDS


@pytest.mark.parametrize(
    "name",
    ["", "..", "../../etc/passwd", VOLUME.upper(), VOLUME.replace("-", ""), f"{{{VOLUME}}}", VOLUME + "\n"],
)
def test_a_name_that_is_no_volume_of_the_server_becomes_no_file(name: str) -> None:
    assert is_volume(VOLUME)
    assert not is_volume(name)

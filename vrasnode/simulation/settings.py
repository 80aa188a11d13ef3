"""What a simulated PC is told about itself: an address like `sim:?boot_s=3&seed=7`."""

from collections.abc import Mapping
from enum import StrEnum
from urllib.parse import parse_qsl

import msgspec

from vrasnode.errors import Refused
from vrasnode.wire.codec import Message

SCHEME = "sim:"


class Images(StrEnum):
    """What becomes of image bytes: kept as on a PC, or fetched and checked and not kept."""

    REAL = "real"
    NONE = "none"


class Model(StrEnum):
    """Which hardware: of the seed's choice, or one of two."""

    ANY = "any"
    DESKTOP = "desktop"
    NOTEBOOK = "notebook"


class Settings(Message, frozen=True, forbid_unknown_fields=True):
    """`boot_s`: how long a guest takes to come up, about; `fail_rate`: the share of versions that never come
    up on one PC, 0 to 1. The same `seed` gives the same PC again."""

    boot_s: float = 8.0
    fail_rate: float = 0.0
    seed: int = 0
    images: Images = Images.REAL
    model: Model = Model.ANY
    share: bool = False  # gives versions to the other PCs and takes them from there


def is_simulated(uri: str) -> bool:
    """Whether this is the address of a simulated PC's hypervisor, and not libvirt's."""
    return uri.startswith(SCHEME)


def parse(uri: str) -> Settings:
    """The settings in a simulated PC's address. Raises Refused(bad_simulation)."""
    query = uri.removeprefix(SCHEME).removeprefix("?")
    given: Mapping[str, str] = dict(parse_qsl(query, keep_blank_values=True))
    try:
        found = msgspec.convert(given, Settings, strict=False)
    except msgspec.ValidationError as error:
        words = f"{uri!r} is no simulated PC: {error}. Write for example sim:?boot_s=3&fail_rate=0.1&seed=7."
        raise Refused("bad_simulation", words) from error
    return checked(found)


def checked(settings: Settings) -> Settings:
    """The same settings. Raises Refused(bad_simulation) for numbers that make no sense."""
    if not 0 <= settings.boot_s <= 3600 or not 0 <= settings.fail_rate <= 1:
        words = "A guest boots in 0 to 3600 seconds, and a rate of failures is a number from 0 to 1."
        raise Refused("bad_simulation", words)
    return settings

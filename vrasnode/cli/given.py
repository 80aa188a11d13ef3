"""What commands are given by files: a policy, and the facts of a PC. Reads and decodes; decides nothing."""

import argparse
from pathlib import Path

from vrasnode.contact.slices import Slices
from vrasnode.devicepolicy import usbguard
from vrasnode.errors import Refused
from vrasnode.host import disk
from vrasnode.places import State
from vrasnode.wire import codec
from vrasnode.wire.clients import HostFacts
from vrasnode.wire.devices import DevicePolicy
from vrasnode.words import LANGUAGES


def add_options(parser: argparse.ArgumentParser, *, words: str) -> None:
    """The options of a command that tells people something about devices; `words` is what it tells."""
    parser.add_argument(
        "--policy", type=Path, metavar="FILE", help="instead of the PC's: JSON, or rules of usbguard"
    )
    parser.add_argument(
        "--facts", type=Path, metavar="FILE", help="instead of this PC: the facts of one, as JSON"
    )
    parser.add_argument("--language", choices=LANGUAGES, default="en", help=f"of the {words}")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def read_policy(path: Path) -> DevicePolicy:
    """The policy in a file: JSON, or rules of usbguard. Raises Refused(no_policy_file), and what reading
    either language raises."""
    text = _read(path, "no_policy_file")
    if text.lstrip().startswith("{"):
        return codec.decode(text.encode(), DevicePolicy)
    return DevicePolicy(rules=usbguard.rules_in(text))


def told_policy(state: State) -> DevicePolicy | None:
    """What the server last said; None before it said anything. Raises Refused where it cannot be read."""
    found = Slices(state.slices).get("devices") if state.slices.is_dir() else None
    return codec.decode(found, DevicePolicy) if found is not None else None


def read_facts(path: Path) -> HostFacts:
    """The facts of a PC in a file. Raises Refused(no_facts_file), and what decoding raises."""
    return codec.decode(_read(path, "no_facts_file").encode(), HostFacts)


def _read(path: Path, code: str) -> str:
    data = disk.read_file(path)
    if data is None:
        raise Refused(code, f"There is no file {path}.")
    return data.decode(errors="replace")

"""PCs to read: captured trees (`capture.py`, in *.json) and synthetic ones (`synthetic.py`), by name.

A tree holds `sys` and `proc` as far as the agent reads them. A description maps a path to the content of a
file, to {"link": target} or, for bytes that are no text, to {"hex": digits}.
"""

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

from tests.vrasnode.sysfs import synthetic
from vrasnode.host import hardware, thispc
from vrasnode.wire.clients import Platform
from vrasnode.wire.devices import DeviceFacts

Entry: TypeAlias = str | Mapping[str, str]
Description: TypeAlias = Mapping[str, Entry]

HERE = Path(__file__).parent
STATE_DIR = Path("/var/lib/vrasnode")  # of all of these PCs

CAPTURED = sorted(path.stem for path in HERE.glob("*.json"))
SYNTHETIC = sorted(synthetic.PCS)
NAMES = [*CAPTURED, *SYNTHETIC]


def description(name: str) -> Description:
    """What lies where in the tree of this name."""
    if name in synthetic.PCS:
        return synthetic.PCS[name]().entries
    described: Description = json.loads((HERE / f"{name}.json").read_text())
    return described


def tree(name: str, into: Path) -> Path:
    """Makes the tree under `into`, and returns that: its `sys` and `proc` are what an agent reads."""
    return make(description(name), into)


def make(entries: Description, into: Path) -> Path:
    """Makes the described tree under `into`."""
    for path, entry in entries.items():
        place = into / path
        place.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(entry, str):
            place.write_text(entry)
        elif "hex" in entry:
            place.write_bytes(bytes.fromhex(entry["hex"]))
        else:
            place.symlink_to(entry["link"])
    return into


def facts(name: str) -> DeviceFacts:
    """What the agent finds on the PC of this name."""
    with tempfile.TemporaryDirectory() as directory:
        root = tree(name, Path(directory))
        return hardware.devices(sysfs=root / "sys", proc=root / "proc", state_dir=STATE_DIR)


def platform(name: str) -> Platform:
    """What the agent finds of the board and firmware of the PC of this name."""
    with tempfile.TemporaryDirectory() as directory:
        root = tree(name, Path(directory))
        return thispc.platform(STATE_DIR, sysfs=root / "sys", proc=root / "proc")

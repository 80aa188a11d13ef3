"""Describes the PC that it runs on, as far as the agent reads it, as JSON on stdout: a fixture for tests.

Run it as root with any Python from 3.9 on: `python3 capture.py > tests/vrasnode/sysfs/<name>.json`. It stands
alone, so that it also runs where nothing of the project is installed. Serial numbers and network addresses
are kept: look before you commit. The other way round, a tree from a description: `tests.vrasnode.sysfs.tree`.
"""
# Paths are text here: each is kept as the kernel spells it.
# ruff: noqa: PTH110, PTH114, PTH115, PTH118, PTH119, PTH120, PTH123, PTH207

import glob
import json
import os
import sys
from typing import Union

# Links and files to keep. A pattern leads through links; what is kept is where it really lies.
LINKS = (
    "/sys/bus/pci/devices/*",
    "/sys/bus/pci/devices/*/driver",
    "/sys/bus/pci/devices/*/iommu_group",
    "/sys/bus/usb/devices/*",
    "/sys/class/block/*",
    "/sys/class/block/*/device",
    "/sys/class/block/*/slaves/*",
    "/sys/class/net/*",
    "/sys/class/net/*/device",
    "/sys/class/net/*/master",
    "/sys/class/net/*/lower_*",
    "/sys/class/net/*/phy80211",
    "/sys/class/iommu/*",
    "/sys/class/nvme-subsystem/*",
    "/sys/dev/block/*",
    "/sys/fs/btrfs/*/devices/*",
)
FILES = (
    "/proc/cpuinfo",
    "/proc/net/ipv6_route",
    "/proc/net/route",
    "/proc/self/mountinfo",
    "/proc/swaps",
    "/sys/bus/pci/devices/*/boot_vga",
    "/sys/bus/pci/devices/*/class",
    "/sys/bus/pci/devices/*/device",
    "/sys/bus/pci/devices/*/reset_method",
    "/sys/bus/pci/devices/*/vendor",
    "/sys/bus/usb/devices/*/bDeviceClass",
    "/sys/bus/usb/devices/*/bInterface[CSP]*",
    "/sys/bus/usb/devices/*/descriptors",
    "/sys/bus/usb/devices/*/devnum",
    "/sys/bus/usb/devices/*/id[VP]*",
    "/sys/bus/usb/devices/*/manufacturer",
    "/sys/bus/usb/devices/*/product",
    "/sys/bus/usb/devices/*/serial",
    "/sys/class/block/*/dev",
    "/sys/class/block/*/device/model",
    "/sys/class/block/*/device/type",
    "/sys/class/block/*/device/vendor",
    "/sys/class/block/*/dm/name",
    "/sys/class/block/*/dm/uuid",
    "/sys/class/block/*/loop/backing_file",
    "/sys/class/block/*/partition",
    "/sys/class/dmi/id/chassis_type",
    "/sys/class/dmi/id/product_name",
    "/sys/class/dmi/id/sys_vendor",
    "/sys/class/net/*/address",
    "/sys/class/tpm/tpm0/tpm_version_major",
    "/sys/firmware/efi/efivars/SecureBoot-*",
)
SILENT = ("/loop", "/ram")  # block devices that every kernel has, with nothing in them

Entry = Union[str, "dict[str, str]"]


def described() -> "dict[str, Entry]":
    """Every kept path, without the leading slash."""
    entries: dict[str, Entry] = {}
    for pattern in LINKS:
        for path in glob.glob(pattern):
            place = _place(path)
            if os.path.islink(place) and not _is_silent(os.path.realpath(place)):
                entries[place[1:]] = {"link": os.readlink(place)}
    for pattern in FILES:
        for path in glob.glob(pattern):
            place = _place(path)
            if not _is_silent(place) and (entry := _content(path)) is not None:
                entries[place[1:]] = entry
    return dict(sorted(entries.items()))


def _place(path: str) -> str:
    """Where the last name of `path` really lies; /proc/self is nobody's number."""
    if path.startswith("/proc"):
        return path
    return os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))


def _is_silent(place: str) -> bool:
    virtual, _, rest = place.partition("/devices/virtual/block")
    if not rest.startswith(SILENT):
        return False
    return not os.path.exists(f"{virtual}/devices/virtual/block/{rest.split('/')[1]}/loop/backing_file")


def _content(path: str) -> "Entry | None":
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError:
        return None
    if path == "/proc/cpuinfo":
        data = data.partition(b"\n\n")[0] + b"\n"  # one processor is enough
    try:
        text = data.decode("ascii")
    except UnicodeDecodeError:
        return {"hex": data.hex()}
    return text if "\0" not in text else {"hex": data.hex()}


if __name__ == "__main__":
    json.dump(described(), sys.stdout, indent=0, sort_keys=True)
    print()

"""The cast of the policy's tests: a few devices, a rule maker, and strategies for made-up ones."""

from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st
from msgspec.structs import replace

from vrasnode.wire.devices import (
    Bus,
    DeviceFacts,
    Need,
    OpticalDrive,
    PciDevice,
    Rule,
    Scope,
    UsbDevice,
    Verdict,
)

FRIDAY = datetime(2026, 3, 6, 12, 0, tzinfo=UTC)
GROUP, CLIENT, USER = Scope.GROUP, Scope.CLIENT, Scope.USER
PASS, READ_ONLY, HIDE = Verdict.PASS, Verdict.READ_ONLY, Verdict.HIDE
STORAGE, KEYBOARD, MOUSE = "08:06:50", "03:01:01", "03:01:02"

STICK = UsbDevice(
    port="1-2",
    number=7,
    controller="0000:00:14.0",
    vendor="0930",
    product="6545",
    serial="AA01",
    interfaces=[STORAGE],
    name="Kingston DataTraveler",
    disks=["sdb"],
)
KEYS = replace(STICK, port="1-4", number=3, product="c31c", vendor="046d", serial=None, interfaces=[KEYBOARD])
TRICK = replace(STICK, port="1-5", number=9, interfaces=[STORAGE, KEYBOARD])  # a stick that types
SILENT = replace(STICK, interfaces=[])
GPU = PciDevice(
    address="0000:01:00.0",
    device_class="030000",
    vendor="10de",
    product="2504",
    name="GPU",
    driver="nouveau",
    iommu_group=1,
    resets=["bus"],
)
GPU_AUDIO = replace(
    GPU,
    address="0000:01:00.1",
    device_class="040300",
    product="228e",
    name="GPU audio",
    driver="snd_hda_intel",
)
DRIVE = OpticalDrive(node="sr0", name="DVD", port="0000:00:17.0")


def rule(verdict: Verdict, number: int = 1, scope: Scope = GROUP, **fields: Any) -> Rule:
    """A rule; `number` is its id."""
    return Rule(id=number, scope=scope, verdict=verdict, **fields)


IDS = ["0930", "046d"]
PRODUCTS = ["6545", "c31c"]
INTERFACES = [STORAGE, "08:06:62", KEYBOARD, MOUSE, "e0:01:01"]
PATTERNS = [STORAGE, "08:06:*", "08:*:*", KEYBOARD, "03:*:*", "e0:*:*"]
SERIALS = ["AA01", 'a "quoted" \\ one', "製番"]
PORTS = ["1-1", "1-2", "2-1.4"]

usb_devices = st.builds(
    UsbDevice,
    port=st.sampled_from(PORTS),
    number=st.integers(1, 99),
    controller=st.sampled_from(["", "0000:00:14.0", "0000:00:14.1"]),
    vendor=st.sampled_from(IDS),
    product=st.sampled_from(PRODUCTS),
    serial=st.sampled_from([None, *SERIALS]),
    interfaces=st.lists(st.sampled_from(INTERFACES), min_size=1, max_size=3, unique=True),
    hub=st.booleans(),
    needed_for=st.lists(st.sampled_from(Need), max_size=1),
)
pci_devices = st.builds(
    PciDevice,
    address=st.builds("0000:0{}:0{}.{}".format, st.integers(0, 3), st.integers(0, 3), st.integers(0, 1)),
    device_class=st.sampled_from(["010802", "020000", "030000", "040300", "060400", "0c0330", "0c0500"]),
    vendor=st.sampled_from(["8086", "10de"]),
    product=st.sampled_from(PRODUCTS),
    driver=st.sampled_from([None, "pcieport", "nvme"]),
    iommu_group=st.one_of(st.none(), st.integers(0, 3)),
    resets=st.sampled_from([[], ["flr"]]),
    needed_for=st.one_of(st.just([]), st.lists(st.sampled_from(Need), max_size=2)),
)
drives = st.builds(
    OpticalDrive, node=st.sampled_from(["sr0", "sr1"]), port=st.sampled_from(["1-1", "0000:00:01.0", ""])
)
facts = st.builds(
    DeviceFacts,
    pci=st.lists(pci_devices, max_size=8, unique_by=lambda device: device.address),
    usb=st.lists(usb_devices, max_size=4, unique_by=lambda device: device.port),
    optical=st.lists(drives, max_size=2, unique_by=lambda drive: drive.node),
)
any_rules = st.lists(
    st.builds(
        Rule,
        id=st.integers(1, 999),
        scope=st.sampled_from(Scope),
        verdict=st.sampled_from([PASS, PASS, READ_ONLY, HIDE]),
        bus=st.sampled_from([None, *Bus]),
        device_class=st.sampled_from(["", "", "01", "02", "03", "0108", "06", "08", "0c03"]),
        device_id=st.sampled_from(["", "", "8086:*", "10de:6545", "0930:6545"]),
        serial=st.sampled_from([None, None, "", "AA01"]),
        port=st.sampled_from(["", "", "1-1", "0000:01:00.0", "sr0", "no port"]),
        interfaces=st.lists(st.sampled_from(PATTERNS), max_size=2),
        valid_from=st.sampled_from([None, None, FRIDAY]),
        valid_until=st.sampled_from([None, None, FRIDAY]),
    ),
    max_size=6,
)

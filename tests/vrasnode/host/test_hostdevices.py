"""Which devices a PC has, and which it needs itself: read from captured trees and synthetic ones."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.vrasnode import sysfs
from tests.vrasnode.sysfs.synthetic import KEYBOARD, ROOT, STICK, Pc, synthetic_desktop
from vrasnode.host import hardware
from vrasnode.host.kerneltree import MAX_TEXT
from vrasnode.wire.codec import decode, encode
from vrasnode.wire.devices import DeviceFacts, Need, PciDevice, UsbDevice

XHCI, SATA, LAN, CARD = "0000:00:14.0", "0000:00:17.0", "0000:00:1f.6", "0000:03:00.0"


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., DeviceFacts]:
    """Reads a PC; may be called again for what it became."""

    def devices(pc: Pc, *, lan: tuple[str, ...] = ()) -> DeviceFacts:
        root = sysfs.make(pc.entries, tmp_path / str(time.monotonic_ns()))
        return read_tree(root, lan=lan)

    return devices


def read_tree(root: Path, *, lan: tuple[str, ...] = ()) -> DeviceFacts:
    return hardware.devices(sysfs=root / "sys", proc=root / "proc", state_dir=sysfs.STATE_DIR, lan=lan)


def pci_of(facts: DeviceFacts, address: str) -> PciDevice:
    return next(device for device in facts.pci if device.address == address)


def usb_of(facts: DeviceFacts, port: str) -> UsbDevice:
    return next(device for device in facts.usb if device.port == port)


def needs(facts: DeviceFacts) -> dict[str, list[Need]]:
    """Who is needed, and for what."""
    pci = {device.address: device.needed_for for device in facts.pci if device.needed_for}
    return pci | {device.port: device.needed_for for device in facts.usb if device.needed_for}


def bare() -> tuple[Pc, str]:
    """A PC with a SATA disk and a LAN alone, and where its disk lies."""
    pc = Pc()
    sata = pc.pci(SATA, "010601", "8086:a352", group=3, driver="ahci")
    pc.net("eth0", pc.pci(LAN, "020000", "8086:15bc", group=6, driver="e1000e"), route=True)
    return pc, pc.disk("sda", f"{sata}/ata1")


# Whole PCs


@pytest.mark.parametrize("name", sysfs.NAMES)
def test_a_pc_is_told_in_order_and_keeps_what_it_runs_from(name: str) -> None:
    facts = sysfs.facts(name)

    assert decode(encode(facts), DeviceFacts) == facts
    assert [device.address for device in facts.pci] == sorted(device.address for device in facts.pci)
    assert [device.port for device in facts.usb] == sorted(device.port for device in facts.usb)
    assert any(Need.DISK in found for found in needs(facts).values())
    assert any({Need.LAN, Need.WIFI} & set(found) for found in needs(facts).values())
    assert not any(device.device_class.startswith("0604") and device.needed_for for device in facts.pci)


def test_a_captured_pc_is_told_as_its_kernel_shows_it() -> None:
    facts = sysfs.facts("vtd_machine")

    assert needs(facts) == {"0000:00:02.0": [Need.DISK], "0000:01:00.0": [Need.LAN]}
    card = pci_of(facts, "0000:01:00.0")
    assert (card.device_class, card.vendor, card.product) == ("020000", "8086", "10d3")
    assert (card.driver, card.iommu_group, card.resets) == ("e1000e", 10, ["pm", "bus"])
    shared = [device.address for device in facts.pci if device.iommu_group == 9]
    assert shared == ["0000:00:1f.0", "0000:00:1f.2", "0000:00:1f.3"]
    stick = usb_of(facts, "2-1")
    assert (stick.vendor, stick.product, stick.interfaces, stick.disks) == (
        "46f4", "0001", ["08:06:50"], ["sda"],
    )  # fmt: skip
    assert stick.controller == "0000:03:00.0"
    assert usb_of(facts, "1-2").interfaces == ["03:01:01"]
    [drive] = facts.optical
    assert (drive.node, drive.name, drive.port) == ("sr0", "QEMU QEMU DVD-ROM", "0000:04:00.0")


def test_a_network_card_under_the_bridge_to_the_lan_is_needed() -> None:
    assert needs(sysfs.facts("vtd_machine_installed"))["0000:01:00.0"] == [Need.LAN]


def test_a_pc_that_runs_from_a_usb_disk_keeps_the_disk_and_its_controller_and_no_other() -> None:
    facts = sysfs.facts("synthetic_boots_from_usb")

    assert needs(facts) == {XHCI: [Need.DISK], LAN: [Need.LAN], "2-1.4": [Need.DISK]}
    assert usb_of(facts, "2-1").hub
    assert usb_of(facts, "1-1").disks == ["sdb"]


def test_sticks_that_differ_by_their_serials_are_told_apart() -> None:
    facts = sysfs.facts("synthetic_windows_desktop")

    found = {device.serial: (device.port, device.disks) for device in facts.usb if device.serial}
    assert found["STICK-0001"] == ("1-3.3", ["sdb"])
    assert found["STICK-0002"] == ("1-4", ["sdc"])


def test_the_firmwares_screen_is_known() -> None:
    facts = sysfs.facts("synthetic_two_gpus")

    assert [device.address for device in facts.pci if device.boot_display] == ["0000:00:02.0"]


def test_devices_have_names_where_the_lists_of_names_are() -> None:
    assert "82574L" in pci_of(sysfs.facts("vtd_machine"), "0000:01:00.0").name


# What the control base needs


def test_a_disk_under_encryption_and_volumes_is_needed(read: Callable[..., DeviceFacts]) -> None:
    pc, disk = bare()
    crypt = pc.stacked("dm-0", f"{disk}/sda2", uuid="CRYPT-LUKS2-0-base", label="base")
    pc.mount("/", pc.stacked("dm-1", crypt, label="vg-root"), source="/dev/mapper/vg-root")

    assert needs(read(pc))[SATA] == [Need.DISK]


def test_a_disk_that_holds_the_state_directory_alone_is_needed_too(read: Callable[..., DeviceFacts]) -> None:
    pc, disk = bare()
    pc.mount("/", f"{disk}/sda1")
    nvme = pc.pci("0000:04:00.0", "010802", "144d:a808", group=9, driver="nvme")
    pc.mount("/var/lib/vrasnode", f"{pc.disk('nvme0n1', nvme, way='nvme/nvme0')}/nvme0n1p1")

    assert needs(read(pc))["0000:04:00.0"] == [Need.DISK]


def test_a_disk_that_is_swapped_on_is_needed(read: Callable[..., DeviceFacts]) -> None:
    pc, disk = bare()
    pc.mount("/", f"{disk}/sda1")
    nvme = pc.pci("0000:04:00.0", "010802", "144d:a808", group=9, driver="nvme")
    pc.disk("nvme0n1", nvme, way="nvme/nvme0")
    assert "0000:04:00.0" not in needs(read(pc))

    pc.entries["proc/swaps"] = f"{pc.entries['proc/swaps']}/dev/nvme0n1p2 partition 1 0 -2\n"

    assert needs(read(pc))["0000:04:00.0"] == [Need.DISK]


def test_a_disk_that_nobody_uses_is_not_needed(read: Callable[..., DeviceFacts]) -> None:
    pc, disk = bare()
    pc.mount("/", f"{disk}/sda1")
    second = pc.pci("0000:04:00.0", "010601", "8086:a352", group=9, driver="ahci")
    pc.disk("sdb", f"{second}/ata1")

    assert needs(read(pc)) == {SATA: [Need.DISK], LAN: [Need.LAN]}


def test_where_nobody_can_tell_what_the_root_lies_on_every_disk_is_needed(
    read: Callable[..., DeviceFacts],
) -> None:
    pc, disk = bare()
    second = pc.pci("0000:04:00.0", "010601", "8086:a352", group=9, driver="ahci")
    pc.disk("sdb", f"{second}/ata1")
    pc.mount("/", f"{disk}/sda1", kind="zfs", number="0:30", source="tank/root")

    found = needs(read(pc))

    assert found[SATA] == found["0000:04:00.0"] == [Need.DISK]


def test_every_disk_of_a_btrfs_is_needed(read: Callable[..., DeviceFacts]) -> None:
    pc, disk = bare()
    second = pc.pci("0000:04:00.0", "010601", "8086:a352", group=9, driver="ahci")
    other = pc.disk("sdb", f"{second}/ata1")
    for block in (f"{disk}/sda1", f"{other}/sdb1"):
        pc.link(f"sys/fs/btrfs/0000-1111/devices/{block.rpartition('/')[2]}", block)
    pc.mount("/", f"{disk}/sda1", kind="btrfs", number="0:30", source="/dev/sda1")

    assert needs(read(pc))["0000:04:00.0"] == [Need.DISK]


def test_an_nvme_disk_with_several_ways_to_it_needs_each(read: Callable[..., DeviceFacts]) -> None:
    pc, _disk = bare()
    subsystem = "sys/devices/virtual/nvme-subsystem/nvme-subsys0"
    for number, address in enumerate(("0000:04:00.0", "0000:05:00.0")):
        place = pc.pci(address, "010802", "144d:a808", group=9 + number, driver="nvme")
        pc.entries[f"{place}/nvme/nvme{number}/state"] = "live\n"
        pc.link(f"{subsystem}/nvme{number}", f"{place}/nvme/nvme{number}")
    pc.mount("/", pc.disk("nvme0n1", "sys/devices/virtual", way="nvme-subsystem/nvme-subsys0"))

    found = needs(read(pc))

    assert found["0000:04:00.0"] == found["0000:05:00.0"] == [Need.DISK]


def test_a_card_in_use_is_the_lan_and_a_free_one_is_not() -> None:
    found = needs(sysfs.facts("synthetic_desktop"))

    assert found[LAN] == [Need.LAN]
    assert CARD not in found


def test_a_card_that_is_named_is_the_lan_also_with_its_cable_out(read: Callable[..., DeviceFacts]) -> None:
    assert needs(read(synthetic_desktop(), lan=("eth1",)))[CARD] == [Need.LAN]


def test_where_no_cable_is_in_every_card_on_the_board_may_be_the_lan(
    read: Callable[..., DeviceFacts],
) -> None:
    pc = synthetic_desktop()
    pc.entries["proc/net/route"] = "Iface\tDestination\n"

    found = needs(read(pc))

    assert found[LAN] == found[CARD] == [Need.LAN]


def test_cards_under_a_bond_with_the_route_are_the_lan(read: Callable[..., DeviceFacts]) -> None:
    pc = synthetic_desktop()
    pc.entries["proc/net/route"] = "Iface\tDestination\n"
    pc.route("bond0")
    pc.entries["sys/devices/virtual/net/bond0/address"] = "02:00:00:00:00:09\n"
    pc.link("sys/class/net/bond0", "sys/devices/virtual/net/bond0")
    pc.link("sys/devices/virtual/net/bond0/lower_eth1", f"{ROOT}/0000:00:1c.0/{CARD}/net/eth1")

    assert needs(read(pc))[CARD] == [Need.LAN]


def test_wifi_is_kept_with_and_without_a_driver(read: Callable[..., DeviceFacts]) -> None:
    assert needs(sysfs.facts("synthetic_notebook_one_xhci"))["0000:00:14.3"] == [Need.WIFI]

    pc, disk = bare()
    pc.mount("/", f"{disk}/sda1")
    pc.pci("0000:06:00.0", "028000", "8086:02f0", group=8)  # no firmware for it: no interface

    assert needs(read(pc))["0000:06:00.0"] == [Need.WIFI]


# USB devices


def test_every_interface_that_a_device_could_show_is_told(read: Callable[..., DeviceFacts]) -> None:
    pc = synthetic_desktop()
    place = pc.usb(f"{ROOT}/{XHCI}", "1-4", "0930:6545", STICK, product="Stick")
    declared = "1201000200000040300945650001010203010902200002010080320904000001080650000904010001030101 00"
    pc.entries[f"{place}/descriptors"] = {"hex": declared.replace(" ", "")}

    assert usb_of(read(pc), "1-4").interfaces == ["08:06:50", "03:01:01"]


@pytest.mark.parametrize("broken", ["", "00", "0904", "ff04", "09040000010806", "09040000", "02020000"])
def test_descriptors_that_are_broken_leave_what_the_kernel_made_of_them(
    read: Callable[..., DeviceFacts], broken: str
) -> None:
    pc = synthetic_desktop()
    place = pc.usb(f"{ROOT}/{XHCI}", "1-4", "0930:6545", KEYBOARD, product="Keyboard")
    pc.entries[f"{place}/descriptors"] = {"hex": broken}

    assert usb_of(read(pc), "1-4").interfaces == KEYBOARD


def test_a_device_behind_no_pci_function_has_no_controller(read: Callable[..., DeviceFacts]) -> None:
    pc = synthetic_desktop()
    pc.usb("", "3-1", "0930:6545", STICK, product="Stick")

    assert usb_of(read(pc), "3-1").controller == ""


def test_a_device_that_says_nothing_of_itself_has_its_name_from_the_list(
    read: Callable[..., DeviceFacts],
) -> None:
    pc = synthetic_desktop()
    pc.usb(f"{ROOT}/{XHCI}", "1-4", "0930:6545", STICK)

    found = usb_of(read(pc), "1-4")

    assert found.serial is None
    assert "Toshiba" in found.name


def test_a_drive_in_a_usb_case_is_a_drive_and_no_disk(read: Callable[..., DeviceFacts]) -> None:
    pc = synthetic_desktop()
    case = pc.usb(f"{ROOT}/{XHCI}", "1-4", "152d:2329", STICK, product="Case")
    pc.disk("sr1", f"{case}/1-4:1.0", partitions=0, kind="5")

    facts = read(pc)

    assert usb_of(facts, "1-4").disks == []
    assert {drive.node: drive.port for drive in facts.optical} == {"sr0": SATA, "sr1": "1-4"}


# Bad input


@pytest.mark.parametrize(
    ("serial", "told"),
    [
        (b"AB\x00\x1b[2JCD\n", "AB\ufffd\ufffd[2JCD"),
        (b"\xff\xfe\x80", "\ufffd\ufffd\ufffd"),
        ("A\u202eB\u200bC".encode(), "A\ufffdB\ufffdC"),
        (b"A" * 10_000, "A" * MAX_TEXT),
        ("シリアル 1".encode(), "シリアル 1"),
        (b"a\r\nInjected: 1", "a\ufffd\ufffdInjected: 1"),
        (b" \n", None),
    ],
)
def test_what_a_device_says_of_itself_comes_out_short_and_printable(
    read: Callable[..., DeviceFacts], serial: bytes, told: str | None
) -> None:
    pc = synthetic_desktop()
    place = pc.usb(f"{ROOT}/{XHCI}", "1-4", "0930:6545", STICK)
    for file in ("serial", "product", "manufacturer"):
        pc.entries[f"{place}/{file}"] = {"hex": serial.hex()}

    found = usb_of(read(pc), "1-4")

    assert found.serial == told
    assert len(found.name) <= MAX_TEXT
    assert found.name.isprintable()
    assert found.interfaces == STICK


@pytest.mark.parametrize("content", ["", "zz\n", "0x\n", "-\n", "\x00\n"])
@pytest.mark.parametrize("file", ["class", "vendor", "device"])
def test_a_pci_function_that_is_malformed_is_absent_and_the_others_are_there(
    read: Callable[..., DeviceFacts], file: str, content: str
) -> None:
    pc = synthetic_desktop()
    pc.entries[f"{ROOT}/0000:00:1c.0/{CARD}/{file}"] = content

    addresses = [device.address for device in read(pc).pci]

    assert CARD not in addresses
    assert {XHCI, SATA, LAN} <= set(addresses)


def test_names_that_are_no_ports_or_addresses_are_passed_over(read: Callable[..., DeviceFacts]) -> None:
    pc = synthetic_desktop()
    before = read(pc)
    for name in ("usb1", "1-0:1.0", "1-1:1.0", "x", "1-1.1.1.1.1.1.1.1"):
        pc.link(f"sys/bus/usb/devices/{name}", f"{ROOT}/{XHCI}/usb1/1-1")
    for name in ("0000:00", "00:00.0", "0000:00:14.9", "garbage"):
        pc.link(f"sys/bus/pci/devices/{name}", f"{ROOT}/{XHCI}")

    assert read(pc) == before


@contextmanager
def replaced(path: Path, content: bytes | None) -> Iterator[None]:
    """A file, or a link, that is gone or holds something else for a while."""
    aside = path.with_name(f"{path.name}~")
    path.rename(aside)
    if content is not None:
        path.write_bytes(content)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        aside.rename(path)


@pytest.mark.parametrize("name", ["synthetic_boots_from_usb", "synthetic_notebook_one_xhci"])
@pytest.mark.parametrize("content", [None, b"", b"\xff\x00garbage " * 9], ids=["gone", "empty", "garbage"])
def test_whatever_vanishes_or_turns_to_garbage_while_it_is_read_nothing_breaks(
    tmp_path: Path, name: str, content: bytes | None
) -> None:
    root = sysfs.tree(name, tmp_path)

    for path in sysfs.description(name):
        with replaced(root / path, content):
            decode(encode(read_tree(root)), DeviceFacts)

    assert read_tree(root) == sysfs.facts(name)


def test_a_pc_that_shows_nothing_has_no_devices(tmp_path: Path) -> None:
    assert read_tree(tmp_path) == DeviceFacts(pci=[], usb=[], optical=[])


def test_links_that_lead_in_a_circle_end(read: Callable[..., DeviceFacts]) -> None:
    pc, disk = bare()
    upper = pc.stacked("dm-0", f"{disk}/sda1")
    lower = pc.stacked("dm-1", upper)
    pc.link(f"{upper}/slaves/dm-1", lower)
    pc.mount("/", lower)
    pc.link("sys/bus/usb/devices/1-1", "sys/bus/usb/devices/1-1")

    assert needs(read(pc))[SATA] == [Need.DISK]


# One thing anew


@pytest.mark.parametrize("name", ["synthetic_windows_desktop", "vtd_machine"])
def test_the_usb_devices_alone_are_as_among_all(tmp_path: Path, name: str) -> None:
    root = sysfs.tree(name, tmp_path)

    alone = hardware.usb_devices(sysfs=root / "sys", proc=root / "proc", state_dir=sysfs.STATE_DIR)

    assert alone == read_tree(root).usb


def test_this_very_pc_is_read(tmp_path: Path) -> None:
    facts = hardware.devices(state_dir=tmp_path)

    assert decode(encode(facts), DeviceFacts) == facts

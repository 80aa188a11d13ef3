"""Real devices for the client VM, on a PC with an emulated IOMMU: real agent, libvirt, kernel and server.

What the client VM has is told by a guest of our own, which reads the devices' registers and has them do DMA.
"""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.lab.outer import linuxguest
from tests.lab.outer.machine import NIC_MAC, NVME_SERIAL, NVME_WORDS, STICK_WORDS
from tests.lab.outer.member import CLIENT_VM, PROBE, VIRTUAL_SERVER, Member
from vrasnode.servicevm.build.cache import default_cache

pytestmark = pytest.mark.slow

DISK, LAN, SOUND = "0000:00:02.0", "0000:00:03.0", "0000:00:08.0"
BOARD_SATA, BOARD_LPC = "0000:00:1f.2", "0000:00:1f.0"
NIC, NVME, USB = "0000:01:00.0", "0000:02:00.0", "0000:03:00.0"
DRIVERS = {NIC: "e1000e", NVME: "nvme", USB: "xhci_hcd"}  # of the control base

# Everything that one could want, also what no PC may give.
GRANTED = [
    {"verdict": "pass", "bus": "pci", "device_class": "02"},
    {"verdict": "pass", "bus": "pci", "device_class": "010802"},
    {"verdict": "pass", "bus": "pci", "port": DISK},
    {"verdict": "pass", "bus": "pci", "port": BOARD_SATA},
    {"verdict": "pass", "bus": "usb"},
]


@pytest.fixture
def granted(pc: Member) -> Member:
    """The client VM was started under that policy, whole USB controllers included."""
    pc.bring(GRANTED, usb_mode="controller")
    return pc


def test_the_client_vm_owns_network_card_nvme_disk_and_usb_controller(granted: Member) -> None:
    seen = granted.seen()

    (nic,) = (line for line in seen if line.startswith("nic "))
    assert nic.split()[2:] == ["mac", NIC_MAC, "link", "1"]
    (nvme,) = (line for line in seen if line.startswith("nvme "))  # read by DMA
    assert nvme.split(maxsplit=2)[2] == f"serial {NVME_SERIAL} block0 {NVME_WORDS.decode()}"
    assert granted.look_again() == 2  # the keyboard and the stick behind the PC's own controller
    assert {granted.driver(address) for address in DRIVERS} == {"vfio-pci"}
    granted.wait("the server's knowing", lambda: all(granted.devices()[one]["present"] for one in DRIVERS))


def test_disk_lan_and_what_shares_a_group_are_refused_with_the_reason(granted: Member) -> None:
    devices = granted.devices()

    reasons = {key: (devices[key]["fate"], devices[key]["code"]) for key in (DISK, LAN, BOARD_SATA, SOUND)}
    assert reasons == {
        DISK: ("shared", "needed_disk"),
        LAN: ("shared", "needed_lan"),
        BOARD_SATA: ("impossible", "group_shared"),
        SOUND: ("hidden", "no_rule"),
    }
    assert BOARD_LPC in devices[BOARD_SATA]["words"]
    assert granted.driver(DISK) == granted.driver(LAN) == "virtio-pci"
    assert granted.driver(BOARD_SATA) == "ahci"
    plan = granted.plan()
    assert {key: one["words"] for key, one in plan.items()} == {
        key: devices[key]["words"] for key in plan
    }  # the PC says the same


def test_hidden_does_not_exist_in_the_client_vm(granted: Member) -> None:
    ids = {line.split()[2] for line in granted.seen() if line.startswith("pci ")}

    assert "8086:10d3" in ids  # the network card
    assert "8086:293e" not in ids  # the sound


def test_both_machines_run_on_without_the_agent_and_the_next_one_takes_them_over(granted: Member) -> None:
    processes = [granted.process(name) for name in (CLIENT_VM, VIRTUAL_SERVER)]
    granted.kill_agent()

    session = granted.ping_virtual_server()
    granted.look_again()
    begun = datetime.now(UTC)
    granted.start_agent()
    granted.wait("the next agent's word", lambda: granted.told_at() > begun)
    granted.look_again()

    assert [granted.process(name) for name in (CLIENT_VM, VIRTUAL_SERVER)] == processes
    granted.kill_agent()
    assert granted.ping_virtual_server() == session


def test_when_the_client_vm_is_destroyed_the_virtual_server_serves_on_and_drivers_come_back(
    granted: Member,
) -> None:
    process = granted.process(VIRTUAL_SERVER)
    granted.kill_agent()
    session = granted.ping_virtual_server()

    granted.outer.run("virsh", "destroy", CLIENT_VM)

    assert granted.ping_virtual_server() == session
    assert granted.serves_files()
    assert {address: granted.driver(address) for address in DRIVERS} == DRIVERS
    granted.start_agent()
    granted.wait("the client VM's next start", lambda: granted.on(CLIENT_VM))
    granted.wait("its devices", lambda: any(line.startswith("nvme ") for line in granted.seen()))
    assert granted.process(VIRTUAL_SERVER) == process


def test_what_is_no_longer_granted_is_gone_at_the_next_start_and_back_with_its_driver(pc: Member) -> None:
    pc.bring([])

    assert not [line for line in pc.seen() if line.startswith(("nic ", "nvme "))]
    assert pc.look_again() == 0
    assert {address: pc.driver(address) for address in DRIVERS} == DRIVERS
    devices = pc.devices()
    assert {devices[address]["fate"] for address in (NIC, NVME)} == {"hidden"}
    pc.wait("the server's knowing", lambda: not any(pc.devices()[one]["present"] for one in DRIVERS))


@pytest.mark.soak
def test_a_linux_client_vm_drives_the_devices_with_its_own_drivers(member: Member, tmp_path: Path) -> None:
    member.bring(GRANTED, usb_mode="controller")
    disk = tmp_path / "linux.raw"
    linuxguest.make_disk(disk, cache=default_cache(), scratch=tmp_path)
    member.publish("linux", disk, "--no-agent", "--health-within", "5")
    under_way = member.distribute("linux")
    try:
        member.wait("Linux", lambda: linuxguest.READY in member.console(), within_s=600)
        said = member.console().splitlines()
        member.wait("the server's knowing", lambda: member.delivered(under_way))
    finally:
        back = member.distribute(PROBE)
        member.wait("the probe guest's return", lambda: member.delivered(back), within_s=300)

    assert f"nic e1000e {NIC_MAC}" in said
    assert f"nvme {NVME_SERIAL} {NVME_WORDS.decode()}" in said
    assert {"usb 0627:0001", "usb 46f4:0001"} <= set(said)
    assert f"stick {STICK_WORDS.decode()}" in said

"""What the PC finds out about itself by trying."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.vrasnode import sysfs
from tests.vrasnode.sysfs.synthetic import Pc, synthetic_desktop
from vrasnode.domainxml import Accelerator
from vrasnode.errors import HostBroken
from vrasnode.host import thispc
from vrasnode.wire.clients import HostFacts, Platform
from vrasnode.wire.codec import decode, encode

HALTS = bytes(0xFFF0) + bytes.fromhex("f4 ebfd").ljust(16, b"\0")
ENDS_OTHERWISE = bytes(0xFFF0) + bytes.fromhex("b01c e6f4").ljust(16, b"\0")


@pytest.fixture
def xfs(tmp_path: Path) -> Iterator[Path]:
    """A file system that clones."""
    image, mounted = tmp_path / "xfs.img", tmp_path / "xfs"
    mounted.mkdir()
    with image.open("wb") as file:
        file.truncate(320 << 20)
    subprocess.run(["mkfs.xfs", "-q", "-m", "reflink=1", image], check=True)
    subprocess.run(["mount", "-o", "loop", image, mounted], check=True)
    yield mounted
    subprocess.run(["umount", mounted], check=True)


def test_a_pc_tells_the_server_what_it_is(tmp_path: Path) -> None:
    facts = thispc.facts(tmp_path, accelerator=Accelerator.TCG)

    assert decode(encode(facts), HostFacts) == facts
    assert facts.accelerator == "tcg"
    assert facts.cpus >= 1
    assert facts.memory_bytes > 64 << 20
    assert 0 <= facts.state_disk_free_bytes <= facts.state_disk_bytes
    assert facts.hostname
    assert facts.os


def test_a_missing_state_directory_is_said(tmp_path: Path) -> None:
    with pytest.raises(HostBroken) as broken:
        thispc.facts(tmp_path / "nowhere", accelerator=Accelerator.TCG)

    assert broken.value.code == "state_dir_unusable"


@pytest.mark.parametrize(
    ("flags", "does"), [("fpu vmx sse", True), ("fpu svm", True), ("fpu sse", False), ("avmx svmx", False)]
)
def test_virtualisation_is_read_from_the_cpus_flags(flags: str, does: bool) -> None:
    assert thispc.virtualizes(f"processor\t: 0\nmodel name\t: vmx\nflags\t\t: {flags}\n") is does


def test_kvm_is_chosen_only_where_the_cpu_virtualises() -> None:
    if thispc.probe_accelerator() is Accelerator.KVM:
        assert thispc.virtualizes(Path("/proc/cpuinfo").read_text())
    assert thispc.probe_accelerator() in Accelerator


@pytest.mark.slow
def test_a_guest_that_ends_as_it_should_was_run() -> None:
    assert thispc.runs_a_guest(Accelerator.TCG, limit_s=30)


@pytest.mark.slow
def test_a_guest_that_hangs_was_not_run() -> None:
    assert not thispc.runs_a_guest(Accelerator.TCG, limit_s=0.5, rom=HALTS)


@pytest.mark.slow
def test_a_guest_that_ends_otherwise_was_not_run() -> None:
    assert not thispc.runs_a_guest(Accelerator.TCG, limit_s=30, rom=ENDS_OTHERWISE)


@pytest.mark.slow
def test_cloning_is_found_where_the_file_system_clones(xfs: Path) -> None:
    assert thispc.reflinks(xfs)
    assert thispc.takes_direct_io(xfs)
    assert not list(xfs.iterdir())


def test_cloning_is_not_claimed_where_nothing_clones() -> None:
    assert not thispc.reflinks(Path("/dev/shm"))  # noqa: S108 - a tmpfs on every Linux
    assert not thispc.reflinks(Path("/proc"))
    assert not thispc.takes_direct_io(Path("/proc"))
    assert not thispc.takes_io_uring(Path("/proc"))


def test_io_uring_is_claimed_where_qemu_reads_by_it(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.write_bytes(bytes(1 << 20))
    by_hand = ["qemu-io", "--format", "raw", "--aio", "io_uring", "--cmd", "read 0 4k", disk]

    works = subprocess.run(by_hand, capture_output=True, check=False).returncode == 0

    assert thispc.takes_io_uring(tmp_path) == works
    assert [path.name for path in tmp_path.iterdir()] == ["disk"]


def test_a_boot_has_a_name_of_its_own() -> None:
    assert len(thispc.boot_id()) == 36
    assert thispc.boot_id() == thispc.boot_id()
    assert thispc.uptime_s() > 0


@pytest.fixture
def board(tmp_path: Path) -> Callable[[Pc], Platform]:
    """Reads what a PC's board and firmware offer."""

    def platform(pc: Pc) -> Platform:
        root = sysfs.make(pc.entries, tmp_path)
        return thispc.platform(sysfs.STATE_DIR, sysfs=root / "sys", proc=root / "proc")

    return platform


def test_a_board_is_described(board: Callable[[Pc], Platform]) -> None:
    assert board(synthetic_desktop()) == Platform(
        model="Example Desktop 1",
        notebook=False,
        iommu="vtd",
        tpm="2.0",
        secure_boot=True,
        encrypted_state=True,
        virtualizes=True,
        swap=False,
    )


def test_a_board_that_shows_nothing_is_unknown(tmp_path: Path) -> None:
    found = thispc.platform(tmp_path, sysfs=tmp_path / "sys", proc=tmp_path / "proc")

    assert found == Platform(secure_boot=False, swap=False)  # no UEFI at all; nothing is swapped on


def test_an_installed_machine_is_described_as_its_kernel_shows_it() -> None:
    plain, installed = sysfs.platform("vtd_machine"), sysfs.platform("vtd_machine_installed")

    assert (plain.iommu, plain.tpm, plain.secure_boot, plain.encrypted_state) == ("vtd", None, False, False)
    assert installed.encrypted_state is True


@pytest.mark.parametrize(
    ("vendor", "product", "model"),
    [
        ("LENOVO", "20XW", "LENOVO 20XW"),
        ("HP", "HP EliteBook 840", "HP EliteBook 840"),
        ("To Be Filled By O.E.M.", "System Product Name", ""),
        ("\x1b[31mEvil", "a" * 10_000, "\ufffd[31mEvil " + "a" * 126),
    ],
)
def test_a_model_is_named_once_and_cleanly(
    board: Callable[[Pc], Platform], vendor: str, product: str, model: str
) -> None:
    pc = Pc()
    pc.entries |= {"sys/class/dmi/id/sys_vendor": vendor, "sys/class/dmi/id/product_name": product}

    assert board(pc).model == model


@pytest.mark.parametrize(
    ("chassis", "is_one"), [("3", False), ("10", True), ("31", True), ("2", None), ("", None), ("x", None)]
)
def test_a_notebook_is_known_by_its_case(
    board: Callable[[Pc], Platform], chassis: str, is_one: bool | None
) -> None:
    assert board(Pc(chassis=chassis)).notebook is is_one


@pytest.mark.parametrize(
    ("unit", "iommu"), [("dmar0", "vtd"), ("ivhd0", "amdvi"), ("", None), ("smmu3", None)]
)
def test_an_iommu_is_known_by_its_unit(board: Callable[[Pc], Platform], unit: str, iommu: str | None) -> None:
    assert board(Pc(iommu=unit)).iommu == iommu


@pytest.mark.parametrize(
    ("version", "told"), [("2", "2.0"), ("1", "1.2"), ("9", None), ("x", None), (None, None)]
)
def test_a_tpm_is_told_by_its_version(
    board: Callable[[Pc], Platform], version: str | None, told: str | None
) -> None:
    pc = Pc()
    pc.tpm(version)

    assert board(pc).tpm == told


@pytest.mark.parametrize(
    ("variable", "on"), [("0600000001", True), ("0600000000", False), ("06000000", None), ("", None)]
)
def test_secure_boot_is_what_the_firmwares_variable_says(
    board: Callable[[Pc], Platform], variable: str, on: bool | None
) -> None:
    pc = Pc()
    path = next(path for path in pc.entries if "SecureBoot" in path)
    pc.entries[path] = {"hex": variable}

    assert board(pc).secure_boot is on


def test_a_state_directory_is_encrypted_only_where_all_that_it_lies_on_is(
    board: Callable[[Pc], Platform], tmp_path: Path
) -> None:
    pc = Pc()
    sata = pc.pci("0000:00:17.0", "010601", "8086:a352", group=3)
    disk = pc.disk("sda", f"{sata}/ata1", partitions=3)
    crypt = pc.stacked("dm-0", f"{disk}/sda1", uuid="CRYPT-LUKS2-0-a", label="a")
    volume = pc.stacked("dm-1", crypt, label="vg-state")
    pc.link("sys/devices/virtual/block/dm-1/slaves/sda2", f"{disk}/sda2")  # the volume grew onto a bare disk
    pc.mount("/", f"{disk}/sda3")
    pc.mount("/var/lib/vrasnode", volume)

    assert board(pc).encrypted_state is False

    (tmp_path / "sys/devices/virtual/block/dm-1/slaves/sda2").unlink()
    root = thispc.platform(sysfs.STATE_DIR, sysfs=tmp_path / "sys", proc=tmp_path / "proc")
    assert root.encrypted_state is True


def test_a_state_directory_in_an_image_file_is_as_safe_as_what_the_file_lies_on(
    board: Callable[[Pc], Platform],
) -> None:
    pc = Pc()
    sata = pc.pci("0000:00:17.0", "010601", "8086:a352", group=3)
    disk = pc.disk("sda", f"{sata}/ata1")
    pc.mount("/", f"{disk}/sda1")
    pc.mount("/data", pc.stacked("dm-0", f"{disk}/sda2", uuid="CRYPT-LUKS2-0-data"))
    loop = pc.stacked("loop3", f"{disk}/sda1")
    del pc.entries[f"{loop}/slaves/sda1"]  # a loop device names its file, and stands on nothing else
    pc.entries[f"{loop}/loop/backing_file"] = "/data/state.img\n"
    pc.mount("/var/lib/vrasnode", loop)

    assert board(pc).encrypted_state is True


def test_swapping_to_a_disk_is_told_and_to_memory_is_not(board: Callable[[Pc], Platform]) -> None:
    pc = Pc()
    pc.entries["proc/swaps"] = f"{pc.entries['proc/swaps']}/dev/zram0 partition 1 0 100\n"
    assert board(pc).swap is False

    pc.entries["proc/swaps"] = f"{pc.entries['proc/swaps']}/dev/sda3 partition 1 0 -2\n"
    assert board(pc).swap is True


def test_whether_the_kernel_hands_devices_out_is_seen_by_its_device_file(tmp_path: Path) -> None:
    sysfs_tree, control = tmp_path / "sys", tmp_path / "dev" / "vfio" / "vfio"
    (tmp_path / "dev").mkdir()
    assert thispc.platform(tmp_path, sysfs=sysfs_tree, proc=tmp_path / "proc").vfio is False

    control.parent.mkdir()
    control.touch()

    assert thispc.platform(tmp_path, sysfs=sysfs_tree, proc=tmp_path / "proc").vfio is True

"""What the PC finds out about itself by trying."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from vrasnode import host
from vrasnode.domainxml import Accelerator
from vrasnode.errors import HostBroken
from vrasnode.wire.clients import HostFacts
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
    facts = host.facts(tmp_path, accelerator=Accelerator.TCG)

    assert decode(encode(facts), HostFacts) == facts
    assert facts.accelerator == "tcg"
    assert facts.cpus >= 1
    assert facts.memory_bytes > 64 << 20
    assert 0 <= facts.state_disk_free_bytes <= facts.state_disk_bytes
    assert facts.hostname
    assert facts.os


def test_a_missing_state_directory_is_said(tmp_path: Path) -> None:
    with pytest.raises(HostBroken) as broken:
        host.facts(tmp_path / "nowhere", accelerator=Accelerator.TCG)

    assert broken.value.code == "state_dir_unusable"


@pytest.mark.parametrize(
    ("flags", "does"), [("fpu vmx sse", True), ("fpu svm", True), ("fpu sse", False), ("avmx svmx", False)]
)
def test_virtualisation_is_read_from_the_cpus_flags(flags: str, does: bool) -> None:
    assert host.virtualizes(f"processor\t: 0\nmodel name\t: vmx\nflags\t\t: {flags}\n") is does


def test_kvm_is_chosen_only_where_the_cpu_virtualises() -> None:
    if host.probe_accelerator() is Accelerator.KVM:
        assert host.virtualizes(Path("/proc/cpuinfo").read_text())
    assert host.probe_accelerator() in Accelerator


@pytest.mark.slow
def test_a_guest_that_ends_as_it_should_was_run() -> None:
    assert host.runs_a_guest(Accelerator.TCG, limit_s=30)


@pytest.mark.slow
def test_a_guest_that_hangs_was_not_run() -> None:
    assert not host.runs_a_guest(Accelerator.TCG, limit_s=0.5, rom=HALTS)


@pytest.mark.slow
def test_a_guest_that_ends_otherwise_was_not_run() -> None:
    assert not host.runs_a_guest(Accelerator.TCG, limit_s=30, rom=ENDS_OTHERWISE)


@pytest.mark.slow
def test_cloning_is_found_where_the_file_system_clones(xfs: Path) -> None:
    assert host.reflinks(xfs)
    assert host.takes_direct_io(xfs)
    assert not list(xfs.iterdir())


def test_cloning_is_not_claimed_where_nothing_clones() -> None:
    assert not host.reflinks(Path("/dev/shm"))  # noqa: S108 - a tmpfs on every Linux
    assert not host.reflinks(Path("/proc"))
    assert not host.takes_direct_io(Path("/proc"))
    assert not host.takes_io_uring(Path("/proc"))


def test_io_uring_is_claimed_where_qemu_reads_by_it(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.write_bytes(bytes(1 << 20))
    by_hand = ["qemu-io", "--format", "raw", "--aio", "io_uring", "--cmd", "read 0 4k", disk]

    works = subprocess.run(by_hand, capture_output=True, check=False).returncode == 0

    assert host.takes_io_uring(tmp_path) == works
    assert [path.name for path in tmp_path.iterdir()] == ["disk"]


def test_a_boot_has_a_name_of_its_own() -> None:
    assert len(host.boot_id()) == 36
    assert host.boot_id() == host.boot_id()
    assert host.uptime_s() > 0

"""Users' data in the real virtual server: encrypted volumes plugged in, shared, shown, granted, locked.

Needs root. The tests use one machine, and most of them one volume.
"""

import os
import shutil
import subprocess
import tempfile
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from config.demo.lan import Lan
from config.demo.pcs import LabPc
from tests.lab.libvirtd import QEMU_CACHE, comes
from tests.vrasnode.service_pc import NAME, STRANGER, Documents, ServicePc, master_key
from vrasnode.errors import Refused
from vrasnode.machines.hypervisor import MachineState
from vrasnode.mydoc.volumes import Volumes
from vrasnode.servicevm.build.cache import default_cache
from vrasnode.servicevm.build.image import build_image

pytestmark = pytest.mark.slow

B, C = 100_007, 100_008
MANY = 100_000


@pytest.fixture(scope="module")
def pc(swept: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServicePc]:
    """The virtual server is up."""
    directory = tmp_path_factory.mktemp("data")
    with Lan() as lan, LabPc(lan.join("pc"), directory / "pc", cache=QEMU_CACHE) as lab:
        pc = ServicePc(directory, lab, build_image(default_cache()).disk)
        try:
            pc.start()
            yield pc
        finally:
            pc.close()
            for volume in (directory / "volumes").glob("*-*"):
                pc.volumes.stop(volume.name)


@pytest.fixture(scope="module")
def documents(pc: ServicePc) -> Documents:
    """A user's volume, made and open; the share too."""
    documents = Documents()
    pc.make(documents)
    pc.open(documents, fresh=True)
    pc.share(documents)
    return documents


def b64(path: str) -> str:
    return b64encode(path.encode()).decode()


def test_files_are_put_and_got_by_the_user(pc: ServicePc, documents: Documents, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(os.urandom(300_000))

    put = pc.smb(documents.password, "mkdir 営業", f'put {tmp_path}/file "営業/見積 2026📊.txt"', "ls 営業/*")
    got = pc.smb(documents.password, f'get "営業/見積 2026📊.txt" {tmp_path}/got')

    assert "見積 2026📊.txt" in put.stdout
    assert got.returncode == 0, got.stdout
    assert (tmp_path / "got").read_bytes() == (tmp_path / "file").read_bytes()
    assert pc.names(documents, b64("営業")) == ["見積 2026📊.txt"]


def test_nobody_else_gets_in(pc: ServicePc, documents: Documents) -> None:
    wrong = pc.smb("not the password", "ls")
    pc.share(documents, client=STRANGER)
    elsewhere = pc.smb(documents.password, "ls")
    pc.share(documents)

    assert "NT_STATUS_LOGON_FAILURE" in wrong.stdout
    assert "NT_STATUS_ACCESS_DENIED" in elsewhere.stdout
    assert pc.smb(documents.password, "ls").returncode == 0


def test_a_folder_is_granted_and_what_the_user_makes_in_it_later_too(
    pc: ServicePc, documents: Documents, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("for B")
    pc.smb(documents.password, "mkdir 共有", "mkdir 私用", f"put {tmp_path}/file 私用/日記.txt")
    grant = {"path": b64("共有"), "uid": B, "access": "read"}

    answer = pc.ask("grants_apply", serial=documents.serial, grants=[grant])
    pc.smb(documents.password, "mkdir 共有/later", f"put {tmp_path}/file 共有/later/new.txt")

    assert (answer["applied"], answer["failed"]) == ([grant], {})
    later = pc.ask("file_read", serial=documents.serial, path=b64("共有/later/new.txt"), length=99, uid=B)
    assert b64decode(later["data"]) == b"for B"
    for path, uid in (("私用/日記.txt", B), ("共有/later/new.txt", C)):
        with pytest.raises(Refused) as refused:
            pc.ask("file_read", serial=documents.serial, path=b64(path), length=99, uid=uid)
        assert refused.value.code == "not_permitted"


def test_four_volumes_find_room_beside_each_other(
    pc: ServicePc, documents: Documents, tmp_path: Path
) -> None:
    served = [f"{number}" * 20 for number in range(3)]
    with serving(tmp_path, *(disk_of(tmp_path / serial) for serial in served)) as socket:
        for serial in (*served, *served):  # twice is once
            pc.plug(serial, socket, serial)
        opened = [pc.ask("volume_open", serial=serial, fresh=True) for serial in served]
        there = {device.key for device in pc.hypervisor.attached(NAME)}
        for serial in served:
            pc.ask("volume_close", serial=serial)
            pc.unplug(serial)
            pc.unplug(serial)

    assert all(one["size_bytes"] > 8 << 20 for one in opened)
    assert there == {*served, documents.serial}
    assert {device.key for device in pc.hypervisor.attached(NAME)} == {documents.serial}


def disk_of(path: Path) -> Path:
    with path.open("wb") as file:
        file.truncate(16 << 20)
    return path


@contextmanager
def serving(directory: Path, *disks: Path) -> Iterator[Path]:
    """A storage daemon for disks that are not encrypted; the export of each has its file's name."""
    socket = directory / "nbd"
    words = ["qemu-storage-daemon", "--nbd-server", f"addr.type=unix,addr.path={socket}"]
    for number, disk in enumerate(disks):
        words += ["--blockdev", f"file,node-name=f{number},filename={disk}"]
        words += ["--export", f"nbd,id=e{number},node-name=f{number},name={disk.name},writable=on"]
    daemon = subprocess.Popen(words)
    try:
        assert comes(socket.exists)
        yield socket
    finally:
        daemon.kill()
        daemon.wait()


@pytest.fixture
def crowded(pc: ServicePc, tmp_path: Path) -> Iterator[str]:
    """A volume with a hundred thousand files in one folder, odd ones and links out of it among them. It is
    not encrypted, as the storage daemon shows it; its serial."""
    serial, disk = "c" * 20, tmp_path / "crowded"
    with disk.open("wb") as file:
        file.truncate(512 << 20)
    subprocess.run(["mke2fs", "-q", "-F", "-t", "ext4", "-i", "4096", disk], check=True)
    with mounted(disk) as root:
        (root / "会計").mkdir()
        here = os.open(root / "会計", os.O_RDONLY)
        for number in range(MANY):
            os.close(os.open(f"伝票 {number:06}.txt", os.O_CREAT | os.O_WRONLY, 0o600, dir_fd=here))
        os.symlink("/etc/openvras", "~外", dir_fd=here)
        os.close(os.open(b"\xff\xfe odd", os.O_CREAT | os.O_WRONLY, dir_fd=here))
        os.close(here)
    with serving(tmp_path, disk) as socket:
        pc.plug(serial, socket, disk.name)
        pc.ask("volume_open", serial=serial)
        yield serial
        pc.ask("volume_close", serial=serial)
        pc.unplug(serial)


@contextmanager
def mounted(disk: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as place:
        subprocess.run(["mount", "-o", "loop", disk, place], check=True)
        try:
            yield Path(place)
        finally:
            subprocess.run(["umount", place], check=True)


def test_a_folder_of_a_hundred_thousand_files_is_seen_page_by_page(pc: ServicePc, crowded: str) -> None:
    folder = {"serial": crowded, "path": b64("会計")}

    pages = [pc.ask("folder_list", **folder, after=after) for after in ("", b64("伝票 054320.txt"))]
    last = pc.ask("folder_list", **folder, after=b64("伝票 099990.txt"))
    found = pc.ask("folder_search", serial=crowded, words="００９９.TXT")

    first, middle = ([b64decode(entry["name"]).decode() for entry in page["entries"]] for page in pages)
    assert [len(first), len(middle), len(last["entries"])] == [1000, 1000, 9 + 1]
    assert (first[0], middle[0], middle[-1]) == ("~外", "伝票 054321.txt", "伝票 055320.txt")
    assert (pages[0]["more"], pages[1]["more"], last["more"]) == (True, True, False)
    assert b64decode(last["entries"][-1]["name"]) == b"\xff\xfe odd"
    assert b64decode(found["entries"][0]["name"]).decode() == "会計/伝票 000099.txt"
    assert found["more"] is True  # it shows what it has rather than look at all
    link = pages[0]["entries"][0]
    assert (link["kind"], b64decode(link["target"])) == ("link", b"/etc/openvras")
    for path in ("会計/~外", "会計/~外/version"):
        with pytest.raises(Refused) as refused:
            pc.ask("file_read", serial=crowded, path=b64(path), length=99)
        assert refused.value.code == "is_a_link"


def test_a_lock_leaves_nothing_in_the_memory_of_the_machine_while_the_user_writes(
    pc: ServicePc, documents: Documents, tmp_path: Path
) -> None:
    canary = f"canary-{os.urandom(16).hex()}"
    (tmp_path / "canary").write_text(f"{canary}\n" * 2000)
    (tmp_path / "large").write_bytes(os.urandom(16 << 20))
    master = master_key(pc.directory / "volumes" / documents.name / "volume.luks", documents.key)
    keys = (documents.key, documents.key.hex().encode(), master[:32], master[32:])
    put = pc.smb(
        documents.password, f"put {tmp_path}/canary {canary}.txt", f"get {canary}.txt {tmp_path}/got"
    )
    read = pc.ask("file_read", serial=documents.serial, path=b64(f"{canary}.txt"), length=512 << 10)
    seen = pc.names(documents)
    while_open = pc.memory_holds(canary.encode(), *keys)
    used = pc.ask("volume_usage", serial=documents.serial)["used_bytes"]

    with pc.smb_aside(documents.password, *(f"put {tmp_path}/large large{number}" for number in range(9))):
        assert comes(lambda: grown(pc, documents) > used + (4 << 20))
        pc.lock(documents)

    assert put.returncode == 0, put.stdout
    assert f"{canary}.txt" in seen
    assert b64decode(read["data"]).startswith(canary.encode())
    assert while_open[0] > 100
    assert not any(while_open[1:])  # they never were there
    pc.channel.overwrite()
    assert pc.ask("ping")
    as_said = b64encode(canary.encode())[:40]
    assert not any(pc.memory_holds(canary.encode(), canary.encode("utf-16-le"), as_said, *keys))
    assert pc.volumes.prove_locked(documents.name)
    with pytest.raises(Refused) as refused:
        pc.ask("folder_list", serial=documents.serial)
    assert refused.value.code == "volume_closed"


def grown(pc: ServicePc, documents: Documents) -> int:
    used: int = pc.ask("volume_usage", serial=documents.serial)["used_bytes"]
    return used


@contextmanager
def room_for(documents: Documents, size: str) -> Iterator[tuple[Path, Path]]:
    """A directory of volumes, and the small file system (tmpfs) in it that this volume lies on. The socket is
    beside that: QEMU has mounts of its own."""
    with tempfile.TemporaryDirectory() as place:
        small = Path(place) / documents.name
        small.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", small], check=True)
        try:
            yield Path(place), small
        finally:
            subprocess.run(["umount", "--lazy", small], check=True)


def test_a_control_base_without_room_costs_what_is_being_written_and_nothing_else(
    pc: ServicePc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "kept").write_bytes(os.urandom(1 << 20))
    (tmp_path / "large").write_bytes(os.urandom(24 << 20))
    documents = Documents()
    with room_for(documents, "24m") as (directory, small):
        monkeypatch.setattr(pc, "volumes", Volumes(directory))
        pc.make(documents, limit_bytes=64 << 20)
        pc.open(documents, fresh=True)
        pc.share(documents)
        pc.smb(documents.password, f"put {tmp_path}/kept kept")
        pc.lock(documents)
        pc.open(documents)
        pc.share(documents)

        pc.smb(documents.password, f"put {tmp_path}/large large")
        pc.lock(documents)
        still = pc.hypervisor.state(NAME)
        room = shutil.disk_usage(small).free
        locked = pc.volumes.prove_locked(documents.name)
        subprocess.run(["mount", "-o", "remount,size=256m", small], check=True)
        pc.open(documents)
        pc.share(documents)
        got = pc.smb(documents.password, f"get kept {tmp_path}/got")
        pc.lock(documents)

    assert room < 1 << 20
    assert still is MachineState.RUNNING  # libvirt's own way would be to stop the machine
    assert locked
    assert got.returncode == 0, got.stdout
    assert (tmp_path / "got").read_bytes() == (tmp_path / "kept").read_bytes()


def test_a_volume_that_grew_has_more_room_when_it_is_opened_again(
    pc: ServicePc, documents: Documents
) -> None:
    before = pc.volumes.size(documents.name)
    pc.volumes.grow(documents.name, 2 * before)

    opened = pc.open(documents)

    assert opened["size_bytes"] > 1.7 * before
    assert "営業" in pc.names(documents)


def test_a_disk_that_goes_without_a_word_costs_the_machine_only_the_volume(
    pc: ServicePc, documents: Documents
) -> None:
    pc.open(documents)
    pc.volumes.stop(documents.name)

    with pytest.raises(Refused) as refused:
        pc.ask("folder_search", serial=documents.serial, words="no such name")
    closed = pc.ask("volume_close", serial=documents.serial)
    pc.unplug(documents.serial)

    assert refused.value.code in {"volume_gone", "volume_damaged"}
    assert closed["ended"] == 0
    assert pc.open(documents)["used_bytes"] > 0


def test_what_was_acknowledged_is_there_after_the_machine_was_switched_off_while_the_user_wrote(
    pc: ServicePc, documents: Documents, tmp_path: Path
) -> None:
    (tmp_path / "large").write_bytes(os.urandom(16 << 20))
    (tmp_path / "kept").write_bytes(os.urandom(2 << 20))
    pc.open(documents)
    pc.share(documents)
    put = pc.smb(documents.password, "mkdir 決算", f"put {tmp_path}/kept 決算/kept")
    pc.ask("volume_close", serial=documents.serial)
    pc.open(documents)
    pc.share(documents)
    used = grown(pc, documents)

    with pc.smb_aside(documents.password, *(f"put {tmp_path}/large cut{number}" for number in range(9))):
        assert comes(lambda: grown(pc, documents) > used + (4 << 20))
        pc.destroy()
    pc.volumes.stop(documents.name)
    pc.start()
    pc.open(documents)
    pc.share(documents)
    got = pc.smb(documents.password, f"get 決算/kept {tmp_path}/got")

    assert (put.returncode, got.returncode) == (0, 0), f"{put.stdout}\n{got.stdout}"
    assert (tmp_path / "got").read_bytes() == (tmp_path / "kept").read_bytes()

import os
import select
import signal
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.vrasnode.chunks.raw import BOOT_SECTOR, raw_file
from vrasnode.chunks.opening import open_image
from vrasnode.errors import HostBroken, Refused, VrasError
from vrasnode.wire.imaging import MAX_IMAGE_BYTES

MIB = 1 << 20


def run(*command: str | Path) -> None:
    subprocess.run([str(word) for word in command], check=True, capture_output=True)


def make(path: Path, size_bytes: int, data: bytes = b"", at: int = 0) -> Path:
    with path.open("wb") as file:
        file.truncate(size_bytes)
        file.seek(at)
        file.write(data)
    return path


def refusal(path: Path, *, scratch: Path | None = None) -> VrasError:
    with pytest.raises(VrasError) as refused, open_image(path, scratch=scratch):
        pass
    return refused.value


@pytest.fixture
def ext4(tmp_path: Path) -> Path:
    """A raw image of 32 MiB that holds one ext4 file system with a file in it."""
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "manual").write_bytes(os.urandom(MIB))
    path = make(tmp_path / "ext4.raw", 32 * MIB)
    run("mkfs.ext4", "-q", "-d", tmp_path / "tree", path)
    return path


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    path = tmp_path / "scratch"
    path.mkdir()
    return path


@pytest.mark.parametrize(
    "options", [[], ["-c"], ["-c", "-o", "compression_type=zstd"], ["-o", "compat=0.10"]]
)
def test_a_qcow2_of_any_kind_reads_like_the_raw_disk_in_it(
    ext4: Path, scratch: Path, options: list[str]
) -> None:
    qcow2 = ext4.with_suffix(".qcow2")
    run("qemu-img", "convert", *options, "-O", "qcow2", ext4, qcow2)

    with open_image(qcow2, scratch=scratch) as image:
        assert (image.format, image.size_bytes) == ("qcow2", 32 * MIB)
        assert os.pread(image.fd, image.size_bytes, 0) == ext4.read_bytes()
        assert os.fstat(image.fd).st_blocks * 512 < 16 * MIB  # holes stay holes
        assert list(scratch.iterdir()) == []  # nothing to leave behind, however we end


def test_a_raw_image_is_read_where_it_lies(ext4: Path) -> None:
    with open_image(ext4) as image:
        assert (image.format, image.size_bytes) == ("raw", 32 * MIB)
        assert os.fstat(image.fd).st_ino == ext4.stat().st_ino


@pytest.mark.parametrize(
    "command", [["mkfs.xfs", "-q", "-d", "size=320m"], ["mkfs.btrfs", "-q"], ["mkfs.fat"]]
)
def test_other_file_systems_pass_for_disks(tmp_path: Path, command: list[str]) -> None:
    path = make(tmp_path / "disk.raw", 320 * MIB)
    run(*command, path)
    with open_image(path) as image:
        assert image.size_bytes == 320 * MIB


@pytest.mark.parametrize("label", ["dos", "gpt"])
def test_a_partitioned_disk_passes_until_its_end_is_missing(tmp_path: Path, label: str) -> None:
    path = make(tmp_path / "disk.raw", 64 * MIB)
    subprocess.run(["sfdisk", "-q", path], input=f"label: {label}\n1M,60M\n", text=True, check=True)
    with open_image(path) as image:
        assert image.size_bytes == 64 * MIB

    os.truncate(path, 60 * MIB)
    assert refusal(path).code == "image_truncated"


@pytest.mark.parametrize(
    "command", [["mkfs.ext4", "-q"], ["mkfs.xfs", "-q", "-d", "size=320m"], ["mkfs.btrfs", "-q"]]
)
def test_a_file_system_whose_end_is_missing_is_refused(tmp_path: Path, command: list[str]) -> None:
    path = make(tmp_path / "disk.raw", 320 * MIB)
    run(*command, path)
    os.truncate(path, 319 * MIB)

    refused = refusal(path)

    assert refused.code == "image_truncated"
    assert str(319 * MIB) in refused.words and "Copy it again" in refused.words


def test_a_disk_with_sectors_of_4096_bytes_is_measured_in_them(tmp_path: Path) -> None:
    header = b"EFI PART" + bytes(24) + (8191).to_bytes(8, "little")
    path = make(tmp_path / "disk.raw", 32 * MIB, header, at=4096)
    with open_image(path):
        pass
    os.truncate(path, 32 * MIB - 1)
    assert refusal(path).code == "image_truncated"


def test_the_boot_code_of_a_volume_is_not_taken_for_a_partition_table(tmp_path: Path) -> None:
    sector = bytearray(BOOT_SECTOR)
    sector[3:11] = b"NTFS    "
    for entry in range(446, 510, 16):
        sector[entry + 4 : entry + 16] = b"\xff" * 12
    with open_image(make(tmp_path / "ntfs.raw", MIB, bytes(sector))):
        pass


@pytest.mark.parametrize("format_", ["vmdk", "vdi", "vhdx", "vpc"])
def test_disks_of_other_products_are_named_with_the_way_to_convert_them(ext4: Path, format_: str) -> None:
    path = ext4.with_suffix("." + format_)
    run("qemu-img", "convert", "-O", format_, ext4, path)

    refused = refusal(path)

    name = {"vpc": "VHD"}.get(format_, format_.upper())
    assert refused.code == "not_an_image"
    assert f"{name} disk" in refused.words and "qemu-img convert" in refused.words


def test_a_fixed_vhd_is_known_by_its_end(ext4: Path) -> None:
    path = ext4.with_suffix(".vhd")
    run("qemu-img", "convert", "-O", "vpc", "-o", "subformat=fixed,force_size", ext4, path)
    assert "VHD disk" in refusal(path).words


@pytest.mark.parametrize(
    ("tool", "name"), [("gzip", "gzip"), ("xz", "xz"), ("zstd", "zstd"), ("bzip2", "bzip2")]
)
def test_a_compressed_image_is_to_be_unpacked_first(ext4: Path, tool: str, name: str) -> None:
    run(tool, "-kf", ext4)
    (packed,) = (path for path in ext4.parent.iterdir() if path.name.startswith("ext4.raw."))
    refused = refusal(packed)
    assert refused.code == "not_an_image" and name in refused.words and "Unpack" in refused.words


@pytest.mark.parametrize(
    ("at", "magic", "said"),
    [
        (0, b"PK\x03\x04", "zip"),
        (257, b"ustar", "tar"),
        (0x8001, b"CD001", "installation medium"),
        (0, b"#!", "Choose"),
    ],
)
def test_what_is_no_disk_at_all_is_refused_with_what_it_is(
    tmp_path: Path, at: int, magic: bytes, said: str
) -> None:
    refused = refusal(make(tmp_path / "file", MIB, magic, at=at))
    assert refused.code == "not_an_image" and said in refused.words


def test_an_empty_file_and_a_disk_of_zeros_are_refused(tmp_path: Path) -> None:
    assert refusal(make(tmp_path / "nothing", 0)).code == "image_empty"
    assert refusal(make(tmp_path / "zeros", MIB)).code == "image_empty"
    run("qemu-img", "create", "-q", "-f", "qcow2", tmp_path / "new.qcow2", "1M")
    assert refusal(tmp_path / "new.qcow2").code == "image_empty"


def test_what_cannot_be_opened_is_refused(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (tmp_path / "missing", tmp_path, pipe, Path("/dev/zero"), Path("a\0b")):
        assert refusal(path).code == "image_unreadable"


def test_a_petabyte_is_refused_at_once(tmp_path: Path) -> None:
    with raw_file(1 << 50, {0: BOOT_SECTOR}) as sparse:
        assert refusal(sparse).code == "image_too_large"
    with raw_file(MAX_IMAGE_BYTES, {0: BOOT_SECTOR}) as largest, open_image(largest) as image:
        assert image.size_bytes == MAX_IMAGE_BYTES
    run("qemu-img", "create", "-q", "-f", "qcow2", tmp_path / "wide.qcow2", "1P")
    assert refusal(tmp_path / "wide.qcow2").code == "image_too_large"


def test_a_backing_file_is_never_followed(ext4: Path) -> None:
    overlay = ext4.with_name("overlay.qcow2")
    run("qemu-img", "create", "-q", "-f", "qcow2", "-b", ext4, "-F", "raw", overlay)
    assert refusal(overlay).code == "image_has_backing_file"


def test_an_external_data_file_is_never_followed(tmp_path: Path) -> None:
    path = tmp_path / "split.qcow2"
    run("qemu-img", "create", "-q", "-f", "qcow2", "-o", f"data_file={tmp_path / 'data'}", path, "1M")
    (tmp_path / "data").unlink()
    os.mkfifo(tmp_path / "data")  # whoever opened it would wait for ever
    assert refusal(path).code == "image_has_data_file"


@pytest.mark.parametrize("file", ["json:{}", "nbd:localhost:10809", "-o"])
def test_a_file_name_is_only_a_name(
    ext4: Path, scratch: Path, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("qemu-img", "convert", "-O", "qcow2", ext4, scratch / file)
    monkeypatch.chdir(scratch)
    with open_image(Path(file)) as image:
        assert image.format == "qcow2"


def patched_qcow2(ext4: Path, at: int, data: bytes) -> Path:
    path = ext4.with_suffix(".qcow2")
    run("qemu-img", "convert", "-O", "qcow2", ext4, path)
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)
    return path


def test_an_encrypted_or_corrupt_qcow2_is_refused(ext4: Path) -> None:
    assert refusal(patched_qcow2(ext4, 32, struct.pack(">I", 2))).code == "image_encrypted"
    assert refusal(patched_qcow2(ext4, 72, struct.pack(">Q", 2))).code == "image_unreadable"
    assert refusal(patched_qcow2(ext4, 40, struct.pack(">Q", 1 << 60))).code == "image_unreadable"
    assert refusal(patched_qcow2(ext4, 4, struct.pack(">I", 9))).code == "not_an_image"


@pytest.mark.parametrize("cut_bytes", [70 << 10, 500 << 10, 0])
def test_a_qcow2_whose_end_is_missing_is_not_read_as_zeros(ext4: Path, cut_bytes: int) -> None:
    path = ext4.with_suffix(".qcow2")
    run("qemu-img", "convert", "-O", "qcow2", ext4, path)
    os.truncate(path, path.stat().st_size - cut_bytes if cut_bytes else 60)
    refused = refusal(path)
    assert refused.code == "image_unreadable"
    assert "/proc/" not in refused.words


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 512 KiB."""
    path = tmp_path / "small"
    path.mkdir()
    run("mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", path)
    try:
        yield path
    finally:
        run("umount", path)


def test_no_room_for_the_raw_copy_is_said_with_the_place(ext4: Path, small_disk: Path) -> None:
    path = ext4.with_suffix(".qcow2")
    run("qemu-img", "convert", "-O", "qcow2", ext4, path)
    for scratch in (small_disk, small_disk / "missing"):
        with pytest.raises(HostBroken, match=str(scratch)) as broken, open_image(path, scratch=scratch):
            pass
        assert broken.value.code == "disk_full"


def test_without_qemu_img_the_package_is_named(ext4: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = ext4.with_suffix(".qcow2")
    run("qemu-img", "convert", "-O", "qcow2", ext4, path)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(HostBroken, match="qemu-utils"), open_image(path):
        pass


@pytest.mark.parametrize("format_", ["raw", "qcow2"])
def test_an_image_that_is_written_meanwhile_is_found_out(ext4: Path, format_: str) -> None:
    path = ext4.with_suffix("." + format_)
    if format_ == "qcow2":
        run("qemu-img", "convert", "-O", "qcow2", ext4, path)
    with open_image(path) as image:
        image.unchanged()
        with path.open("r+b") as file:
            file.seek(MIB)
            file.write(b"x")
        with pytest.raises(Refused) as refused:
            image.unchanged()
        assert refused.value.code == "image_changed"


@pytest.mark.parametrize("format_", ["raw", "qcow2"])
def test_the_disk_of_a_running_machine_is_refused(ext4: Path, tmp_path: Path, format_: str) -> None:
    path = ext4.with_suffix("." + format_)
    if format_ == "qcow2":
        run("qemu-img", "convert", "-O", "qcow2", ext4, path)
    nothing_else = ["-display", "none", "-nodefaults", "-no-user-config", "-accel", "tcg", "-S"]
    pid_file = tmp_path / "pid"
    disk = f"file={path},format={format_},if=virtio"
    run("qemu-system-x86_64", *nothing_else, "-daemonize", "-pidfile", pid_file, "-drive", disk)
    try:
        assert refusal(path).code == "image_in_use"
    finally:
        end(int(pid_file.read_text()))
    with open_image(path) as image:
        assert image.format == format_


def end(pid: int) -> None:
    """Ends a process that is not our child, and waits for it."""
    process = os.pidfd_open(pid)
    signal.pidfd_send_signal(process, signal.SIGTERM)
    select.select([process], [], [], 20)
    os.close(process)

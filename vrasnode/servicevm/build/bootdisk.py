"""A raw disk that boots through firmware, BIOS and UEFI alike, made and changed without root and mounts.

Layout (GPT): a BIOS boot partition with GRUB's core, an EFI system partition with GRUB's EFI program, and one
ext4 root that holds kernel, initramfs and grub.cfg as plain files, so that a new version of a master changes
them like any file. Not for general partitioning: one layout, known here.
"""

import struct
from collections.abc import Iterator
from pathlib import Path

from vrasnode.errors import HostBroken
from vrasnode.servicevm.build.hosttools import GRUB, run

MIB = 1 << 20
SECTOR = 512
DISK_BYTES = 256 * MIB
BIOS_START, BIOS_SIZE = 1 * MIB, 1 * MIB
ESP_START, ESP_SIZE = 2 * MIB, 16 * MIB
ROOT_START = ESP_START + ESP_SIZE
ROOT_SIZE = DISK_BYTES - ROOT_START - MIB  # the last MiB holds the second GPT

# Fixed, so that the same packages give the same bytes.
DISK_UUID = "6f70656e-7672-4173-8000-000000000000"
ROOT_UUID = "6f70656e-7672-4173-8000-000000000003"
BIOS_BOOT_TYPE = "21686148-6449-6E6F-744E-656564454649"
ESP_TYPE = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
LINUX_TYPE = "0FC63DAF-8483-4772-8E79-3D69D8477DE4"

GRUB_READS = ("part_gpt", "ext2", "linux", "normal", "configfile", "boot")
# Where GRUB's own boot.img and diskboot.img keep the first sector of what they load next.
BOOT_IMG_KERNEL_SECTOR = 0x5C
BOOT_IMG_CODE_BYTES = 440  # what follows is the partition table's
DISKBOOT_IMG_BLOCK_LIST = 0x1F4


def create(disk: Path, *, scratch: Path) -> None:
    """An empty root file system and both ways to boot it. `scratch` is a folder for files on the way."""
    with disk.open("xb") as file:
        file.truncate(DISK_BYTES)
    _partition(disk)
    _boot_by_uefi(disk, scratch)
    _boot_by_bios(disk, scratch)
    # 4 KiB blocks (mke2fs takes 1 KiB for a disk this small) and a small journal: a machine that is switched
    # off hard must come up again.
    run(
        *("mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-J", "size=4", "-m", "0", "-O", "^resize_inode"),
        *("-U", ROOT_UUID, "-L", "master"),
        *("-E", f"offset={ROOT_START},hash_seed={ROOT_UUID},root_owner=0:0,lazy_itable_init=0,nodiscard"),
        *(disk, f"{ROOT_SIZE // 1024}k"),
    )


def check(disk: Path) -> None:
    """Raises HostBroken where the root file system is not sound to the last bit."""
    run("e2fsck", "-fn", f"{disk}?offset={ROOT_START}")


class Change:
    """What is written to and removed from the root file system, by debugfs, in one go.

    Blocks that nothing touches stay where they are and removed ones keep their bytes, as after an update on a
    real machine. Everything belongs to root. Paths inside are absolute and hold no spaces.
    """

    def __init__(self) -> None:
        self._commands: list[str] = []

    def put(self, source: Path, at: str) -> None:
        """A file, symbolic link, or folder with all it holds. Folders `at` and above must not exist, or be
        `/`; the one above `at` must."""
        if source.is_symlink():
            self._commands.append(f"symlink {at} {source.readlink()}")
        elif not source.is_dir():
            self._commands.append(f"write {source} {at}")
        else:
            if at != "/":
                self._commands.append(f"mkdir {at}")
            for child in sorted(source.iterdir()):
                self.put(child, f"{at.rstrip('/')}/{child.name}")

    def replace(self, source: Path, at: str) -> None:
        self.remove(source, at)
        self.put(source, at)

    def remove(self, source: Path, at: str) -> None:
        """What `put(source, at)` had put there."""
        self._commands.extend(self._removal(source, at))

    def _removal(self, source: Path, at: str) -> Iterator[str]:
        if source.is_symlink() or not source.is_dir():
            yield f"rm {at}"
            return
        for child in sorted(source.iterdir()):
            yield from self._removal(child, f"{at}/{child.name}")
        yield f"rmdir {at}"

    def apply(self, disk: Path) -> None:
        """Raises HostBroken `image_not_built` at the first thing that debugfs did not like."""
        script = "".join(f"{command}\n" for command in self._commands)
        said = run("debugfs", "-w", "-f", "-", f"{disk}?offset={ROOT_START}", stdin=script).stderr
        # debugfs ends with 0 whatever happens; what it says after its own name and version is trouble.
        if trouble := said.splitlines()[1:]:
            raise HostBroken("image_not_built", f"debugfs could not change {disk.name}: {trouble[0]}")
        self._commands.clear()


def _partition(disk: Path) -> None:
    layout = [
        (BIOS_START, BIOS_SIZE, BIOS_BOOT_TYPE),
        (ESP_START, ESP_SIZE, ESP_TYPE),
        (ROOT_START, ROOT_SIZE, LINUX_TYPE),
    ]
    lines = [
        f"start={start // SECTOR}, size={size // SECTOR}, type={kind}, uuid={DISK_UUID[:-1]}{number}"
        for number, (start, size, kind) in enumerate(layout, start=1)
    ]
    table = "\n".join(["label: gpt", f"label-id: {DISK_UUID}", *lines, ""])
    run("sfdisk", "-q", "--no-reread", "--no-tell-kernel", disk, stdin=table)


def _boot_by_uefi(disk: Path, scratch: Path) -> None:
    """The removable-media path of the UEFI specification (3.5.1.1): firmware finds it without an entry."""
    first = scratch / "uefi.cfg"
    first.write_text(f"search --no-floppy --fs-uuid --set=root {ROOT_UUID}\nconfigfile /boot/grub/grub.cfg\n")
    program = scratch / "BOOTX64.EFI"
    modules = (*GRUB_READS, "fat", "search", "search_fs_uuid")
    run("grub-mkimage", "-O", "x86_64-efi", "-p", "/boot/grub", "-c", first, "-o", program, *modules)
    # -F 16 with 2 KiB clusters: mkfs.vfat would choose by the size of the whole disk.
    partition = ("-F", "16", "-s", "4", "--offset", str(ESP_START // SECTOR), disk, str(ESP_SIZE // 1024))
    run("mkfs.vfat", "--invariant", "-n", "EFI", *partition)
    run("mmd", "-i", f"{disk}@@{ESP_START}", "::EFI", "::EFI/BOOT")
    run("mcopy", "-i", f"{disk}@@{ESP_START}", program, "::EFI/BOOT/BOOTX64.EFI")


def _boot_by_bios(disk: Path, scratch: Path) -> None:
    """Boot code in the first sector, which loads GRUB's core from the BIOS boot partition: what grub-install
    would do, without a mounted file system."""
    image = scratch / "core.img"
    # No drive in the prefix: GRUB takes the one that it was started from.
    prefix = ("-p", "(,gpt3)/boot/grub")
    run("grub-mkimage", "-O", "i386-pc", *prefix, "-o", image, *GRUB_READS, "biosdisk")
    core = bytearray(image.read_bytes())
    struct.pack_into("<Q", core, DISKBOOT_IMG_BLOCK_LIST, BIOS_START // SECTOR + 1)
    boot = bytearray((GRUB / "i386-pc" / "boot.img").read_bytes()[:BOOT_IMG_CODE_BYTES])
    struct.pack_into("<Q", boot, BOOT_IMG_KERNEL_SECTOR, BIOS_START // SECTOR)
    if len(core) > BIOS_SIZE:
        raise HostBroken("image_not_built", f"GRUB's core has {len(core)} bytes: more than its partition")
    with disk.open("r+b") as file:
        file.write(boot)
        file.seek(BIOS_START)
        file.write(core)

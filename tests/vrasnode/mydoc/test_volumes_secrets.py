"""What a thief of the disk, and who looks at files, arguments and memory, learns of a volume: nothing."""

import os
import pwd
import random
import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.vrasnode.volumecast import MIB, Made, qemu_io, write, write_bytes
from vrasnode.errors import Refused
from vrasnode.host.tpm import Tpm
from vrasnode.mydoc.pchalf import Halves
from vrasnode.mydoc.secretpipes import handed
from vrasnode.mydoc.volumes import Slot, Volumes
from vrasnode.sealing import lan_key

pytestmark = pytest.mark.slow

NO_TPM = Tpm("device:/dev/null/none")


@pytest.fixture
def canaries() -> list[bytes]:
    """A hundred strings that are nowhere else."""
    return [f"canary {os.urandom(16).hex()}".encode() for _ in range(100)]


def found_on_disk(made: Made, strings: list[bytes]) -> int:
    """How many of them stand anywhere in what lies on this PC."""
    data = b"".join(path.read_bytes() for path in made.directory.rglob("*") if path.is_file())
    return sum(string in data for string in strings)


def plant(made: Made, strings: list[bytes], scratch: Path) -> None:
    data = bytearray(random.Random(1).randbytes(4 * MIB))
    for number, string in enumerate(strings):
        data[number * 40_000 : number * 40_000 + len(string)] = string
    write_bytes(made, bytes(data), at=0, scratch=scratch)


def in_memory(pid: int, wanted: bytes) -> bool:
    """Whether these bytes stand anywhere in the memory of a process."""
    with Path(f"/proc/{pid}/maps").open() as maps, Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in maps:
            place, rights, *_ = line.split()
            start, end = (int(number, 16) for number in place.split("-"))
            if not rights.startswith("r") or "[v" in line:  # vvar, vsyscall: the kernel's
                continue
            memory.seek(start)
            try:
                if wanted in memory.read(end - start):
                    return True
            except OSError:
                continue
    return False


def master_key(made: Made) -> bytes:
    """What encrypts the data, said by cryptsetup to who has a key."""
    with handed(made.lan_key.hex().encode()) as (handle,):
        said = subprocess.run(
            ["cryptsetup", "luksDump", "-q", "--dump-volume-key", "-d", f"/dev/fd/{handle}", str(made.file)],
            pass_fds=[handle],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    return bytes.fromhex("".join(said.partition("MK dump:")[2].split()))


def test_a_hundred_canaries_are_nowhere_on_the_disk_open_locked_or_crashed(
    made: Made, canaries: list[bytes], tmp_path: Path
) -> None:
    made.serve()
    plant(made, canaries, tmp_path)
    read = qemu_io(made, "read -v 0 4k").stdout
    assert canaries[0][7:15].decode() in read  # they are there, for who may read

    counts = [found_on_disk(made, canaries)]
    made.stop()
    counts.append(found_on_disk(made, canaries))
    made.serve()
    plant(made, canaries, tmp_path)
    made.kill_daemon()
    counts.append(found_on_disk(made, canaries))

    assert counts == [0, 0, 0]


def test_no_key_is_in_the_memory_of_who_reads_the_open_volume(made: Made) -> None:
    """The virtual server's QEMU is such a reader."""
    made.serve()
    write(made, 7)
    key = master_key(made)
    wanted = [made.lan_key, made.lan_key.hex().encode(), key[:32], key[32:]]
    with subprocess.Popen(
        ["stdbuf", "-oL", "qemu-io", "-f", "raw", made.address], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as reader:
        try:
            assert reader.stdin
            assert reader.stdout
            reader.stdin.write(b"read -P 7 0 1M\n")
            reader.stdin.flush()
            assert any(b"read 1048576" in line for line in reader.stdout)

            assert in_memory(made.daemon, key[:32])  # the one place where it must be
            assert [in_memory(reader.pid, secret) for secret in wanted] == [False] * 4
        finally:
            reader.kill()


def test_no_key_is_an_argument_or_in_an_environment(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs, log = tmp_path / "bin", tmp_path / "log"
    programs.mkdir()
    for name in ("cryptsetup", "prlimit", "qemu-io"):
        program = programs / name
        real = shutil.which(name)
        program.write_text(f'#!/bin/sh\n(echo "$0 $*"; env) >> {log}\nexec {real} "$@"\n')
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    lease, other = os.urandom(32), Made(made.directory)

    other.create()
    made.volumes.set_key(made.name, Slot.LEASE, lease, key=made.lan_key)
    made.serve()
    running = (
        Path(f"/proc/{made.daemon}/cmdline").read_bytes() + Path(f"/proc/{made.daemon}/environ").read_bytes()
    )
    made.stop()
    made.volumes.prove_locked(made.name)

    said = log.read_text() + running.decode()
    assert {"luksFormat", "luksAddKey", "--nbd-server", "--read-only"} <= set(said.split())
    keys = [made.lan_key, made.recovery_key, other.lan_key, other.recovery_key, lease]
    assert not [key for key in keys if key.hex() in said or key.hex().upper() in said]
    assert not any(key.hex() in repr(vars(made.volumes)) for key in keys)


def test_a_thief_of_the_disk_reads_nothing_with_everything_but_the_servers_half(
    tmp_path: Path, canaries: list[bytes]
) -> None:
    """All bytes of the PC, older ones, and this source: the server's half is all that is missing."""
    owner = Made(tmp_path / "mydoc")
    server_half, halves = os.urandom(32), Halves(owner.directory, tpm=NO_TPM)
    pc_half = halves.make(owner.name)
    key = lan_key(server_half, pc_half, volume=owner.name)
    owner.volumes.create(owner.name, lan_key=key, recovery_key=owner.recovery_key, limit_bytes=16 * MIB)
    shutil.copytree(owner.directory, tmp_path / "older", ignore=shutil.ignore_patterns("open"))
    owner.volumes.serve(owner.name, key)
    plant(owner, canaries, tmp_path)
    owner.stop()
    shutil.copytree(owner.directory, tmp_path / "stolen", ignore=shutil.ignore_patterns("open"))

    for copy in ("older", "stolen"):
        loot = Made(tmp_path / copy, name=owner.name)
        half = Halves(loot.directory, tpm=NO_TPM).get(loot.name)
        assert half == pc_half  # without a TPM it lies there
        guesses = [half, bytes(32), *(lan_key(guess, half, volume=loot.name) for guess in (half, bytes(32)))]
        for guess in [*guesses, lan_key(os.urandom(32), half, volume=loot.name)]:
            try:
                with pytest.raises(Refused) as refused:
                    loot.volumes.serve(loot.name, guess)
                assert refused.value.code == "wrong_key"
            finally:
                loot.stop()
        assert loot.volumes.prove_locked(loot.name)
        assert found_on_disk(loot, canaries) == 0

    with_both = Volumes(tmp_path / "stolen")
    assert with_both.opens(owner.name, lan_key(server_half, pc_half, volume=owner.name))
    assert not with_both.opens(owner.name, lan_key(server_half, os.urandom(32), volume=owner.name))


def test_an_open_volume_is_for_libvirts_machines_and_nobody_else() -> None:
    with TemporaryDirectory(prefix="vras-") as place:  # pytest's own directories let nobody else in
        Path(place).chmod(0o711)
        made = Made(Path(place) / "mydoc").create()
        try:
            made.serve()
            assert may_read(made, "libvirt-qemu")
            assert not may_read(made, "nobody")
        finally:
            made.stop()


def may_read(made: Made, user: str) -> bool:
    account = pwd.getpwnam(user)
    become = ["setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--init-groups"]
    read = ["qemu-io", "-r", "-f", "raw", made.address, "-c", "read 0 512"]
    return subprocess.run([*become, *read], capture_output=True, check=False).returncode == 0


def test_a_core_file_would_hold_the_key_so_none_is_written(made: Made) -> None:
    made.serve()
    write(made, 7)

    limits = Path(f"/proc/{made.daemon}/limits").read_text()

    (line,) = (line for line in limits.splitlines() if line.startswith("Max core file size"))
    assert line.split()[4:6] == ["0", "0"]

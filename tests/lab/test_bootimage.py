"""The demo's boot images, on real machines: QEMU without KVM, started by firmware from the disk."""

import base64
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from subprocess import PIPE
from typing import Any

import pytest

from config.demo.bootimage import HEALTH_COMMAND, MARKER, BootImages, build_images, default_cache
from vrasnode.errors import HostBroken
from vrasnode.wire.imaging import CHUNK_BYTES

pytestmark = pytest.mark.slow

OVMF = Path("/usr/share/OVMF")
LIMIT_S = 120.0  # for one answer of a machine; a busy test machine is slow, a broken guest is silent
TERMINAL = re.compile(rb"\x1b(?:c|\[[0-9;?]*[A-Za-z])")  # ECMA-48's control sequences
BUILDER = """
import sys
from pathlib import Path
from config.demo.bootimage import build_images
build_images(Path(sys.argv[1]), say=lambda line: print(line, flush=True))
"""


class Machine:
    """A running QEMU and the host's ends of its guest agent channel, serial line and control socket."""

    def __init__(self, disk: Path, work: Path, opened: ExitStack, *, uefi: bool) -> None:
        overlay = work / "overlay.qcow2"
        qcow2 = ("qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", str(disk), str(overlay))
        subprocess.run(qcow2, check=True)
        self._ends: dict[str, socket.socket] = {}
        with ExitStack() as of_qemu:
            theirs: dict[str, socket.socket] = {}
            for name in ("agent", "serial", "control"):
                ours, end = socket.socketpair()
                self._ends[name] = opened.enter_context(ours)
                theirs[name] = of_qemu.enter_context(end)
            command = [*_command(overlay, theirs), *(_uefi(work) if uefi else ())]
            self.process = subprocess.Popen(command, pass_fds=[end.fileno() for end in theirs.values()])
        opened.callback(self.process.wait)
        opened.callback(self.process.kill)
        for end in self._ends.values():
            end.settimeout(LIMIT_S)
        self._answers = opened.enter_context(self._ends["agent"].makefile("rb"))

    def ask(self, command: str, **arguments: Any) -> Any:
        """What the guest agent returns. The first question waits in the channel until the guest is up."""
        self._send("agent", command, arguments)
        return json.loads(self._answers.readline())["return"]

    def run(self, *command: str) -> tuple[int, str]:
        """Exit code and output of a program in the guest."""
        path, *rest = command
        pid = self.ask("guest-exec", path=path, arg=rest, **{"capture-output": True})["pid"]
        status = self.ask("guest-exec-status", pid=pid)
        while not status["exited"]:
            status = self.ask("guest-exec-status", pid=pid)
        return status["exitcode"], base64.b64decode(status.get("out-data", "")).decode()

    def switch_off(self) -> int:
        """Ask the guest to shut down; QEMU's exit code."""
        self._send("agent", "guest-shutdown", {})
        return self.process.wait(LIMIT_S)

    def press_power_button(self) -> int:
        self._send("control", "qmp_capabilities", {})
        self._send("control", "system_powerdown", {})
        return self.process.wait(LIMIT_S)

    def serial_until(self, words: bytes) -> bytes:
        """What the machine prints, up to `words`; firmware moves the cursor in the middle of a word."""
        printed = b""
        while words not in (text := TERMINAL.sub(b"", printed)):
            piece = self._ends["serial"].recv(4096)
            assert piece, printed
            printed += piece
        return text

    def _send(self, channel: str, command: str, arguments: dict[str, Any]) -> None:
        self._ends[channel].sendall(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")


def _command(overlay: Path, ends: dict[str, socket.socket]) -> list[str]:
    return [
        *("qemu-system-x86_64", "-machine", "q35,graphics=off,usb=off,vmport=off", "-cpu", "max"),
        *("-accel", "tcg,tb-size=64", "-nodefaults", "-display", "none", "-no-reboot", "-m", "128"),
        *("-drive", f"file={overlay},if=none,id=disk,cache=unsafe", "-device", "virtio-blk-pci,drive=disk"),
        *(word for name, end in ends.items() for word in ("-chardev", f"socket,id={name},fd={end.fileno()}")),
        *("-device", "virtio-serial-pci"),
        *("-device", "virtserialport,chardev=agent,name=org.qemu.guest_agent.0"),
        *("-serial", "chardev:serial", "-mon", "chardev=control,mode=control"),
    ]


def _uefi(work: Path) -> list[str]:
    variables = work / "variables.fd"
    shutil.copyfile(OVMF / "OVMF_VARS_4M.fd", variables)
    return [
        *("-m", "256", "-drive", f"if=pflash,format=raw,readonly=on,file={OVMF / 'OVMF_CODE_4M.fd'}"),
        *("-drive", f"if=pflash,format=raw,file={variables}"),
    ]


@pytest.fixture(scope="module")
def images() -> BootImages:
    return build_images(default_cache())


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Machine]]:
    """Start a machine on a disk; it is ended with the test."""
    with ExitStack() as opened:
        yield lambda disk, *, uefi=False: Machine(disk, tmp_path, opened, uefi=uefi)


@pytest.fixture
def start_builder() -> Iterator[Callable[[Path], subprocess.Popen[str]]]:
    """Start a process that builds into a cache and prints how far it is; it is ended with the test."""
    root = Path(__file__).parents[2]
    with ExitStack() as opened:

        def start_one(cache: Path) -> subprocess.Popen[str]:
            command = [sys.executable, "-c", BUILDER, str(cache)]
            builder = subprocess.Popen(command, cwd=root, stdout=PIPE, text=True, process_group=0)
            opened.enter_context(builder)
            opened.callback(_kill, builder)
            return builder

        yield start_one


def _kill(builder: subprocess.Popen[str]) -> None:
    """The builder and whatever tool it is running."""
    with suppress(ProcessLookupError):
        os.killpg(builder.pid, signal.SIGKILL)


@pytest.fixture
def empty_cache(images: BootImages, tmp_path: Path) -> Path:
    """A cache without images, but with the packages that the shared one has."""
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / "packages").symlink_to((default_cache() / "packages").resolve())
    return cache


@pytest.mark.parametrize(
    ("version", "uefi"), [("v1", False), ("v2", False), ("v1", True)], ids=["v1-bios", "v2-bios", "v1-uefi"]
)
def test_a_version_boots_from_its_disk_and_proves_from_inside_which_it_is(
    images: BootImages, start: Callable[..., Machine], version: str, uefi: bool
) -> None:
    machine = start(getattr(images, version), uefi=uefi)
    nonce = secrets.token_hex(16)

    machine.ask("guest-ping")
    code, printed = machine.run("/bin/sh", "-c", f"echo {nonce}; sha256sum {MARKER}")
    healthy, complaint = machine.run(*HEALTH_COMMAND)
    kept, _ = machine.run("/bin/sh", "-c", "echo kept >/root/note && sync")

    assert (code, printed) == (0, f"{nonce}\n{images.marker[version]}  {MARKER}\n")
    assert (healthy, complaint) == (0, "")
    assert kept == 0
    assert machine.switch_off() == 0


def test_an_incomplete_version_answers_but_says_what_it_lacks(
    images: BootImages, start: Callable[..., Machine]
) -> None:
    machine = start(images.unhealthy)

    code, complaint = machine.run(*HEALTH_COMMAND)

    assert code != 0
    assert "/opt/bash/bin/bash" in complaint


def test_the_power_button_switches_the_guest_off(images: BootImages, start: Callable[..., Machine]) -> None:
    machine = start(images.v1)

    machine.ask("guest-ping")

    assert machine.press_power_button() == 0


def test_a_version_without_a_kernel_gets_no_further_than_its_boot_loader(
    images: BootImages, start: Callable[..., Machine]
) -> None:
    machine = start(images.unbootable)

    printed = machine.serial_until(b"you need to load the kernel first")

    assert b"file `/boot/vmlinuz' not found" in printed


def test_version_2_changes_a_few_percent_of_the_chunks_as_an_update_does(images: BootImages) -> None:
    filled = changed = 0
    with images.v1.open("rb") as first, images.v2.open("rb") as second:
        while chunk := second.read(CHUNK_BYTES):
            before = first.read(CHUNK_BYTES)
            filled += chunk.count(0) != len(chunk)
            changed += chunk != before

    assert 0.01 < changed / filled < 0.15


def test_every_version_holds_a_marker_of_its_own(images: BootImages) -> None:
    assert len(set(images.marker.values())) == 4


def test_built_images_are_served_without_any_tool_or_network(
    images: BootImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")

    assert build_images(default_cache(), say=pytest.fail) == images


def test_a_killed_build_leaves_nothing_and_of_two_at_once_one_builds(
    images: BootImages, empty_cache: Path, start_builder: Callable[[Path], subprocess.Popen[str]]
) -> None:
    killed = start_builder(empty_cache)
    while "unpacking" not in (line := killed.stdout.readline() if killed.stdout else ""):
        assert line, "the builder ended early"
    _kill(killed)
    killed.communicate()
    assert list(empty_cache.glob("building-*"))
    assert not list(empty_cache.glob("bootimages-*"))

    both = [start_builder(empty_cache), start_builder(empty_cache)]
    said = [builder.communicate(timeout=LIMIT_S)[0] for builder in both]

    assert [builder.returncode for builder in both] == [0, 0]
    assert sorted("version 1" in words for words in said) == [False, True]
    assert not list(empty_cache.glob("building-*"))
    built = build_images(empty_cache, say=pytest.fail)
    assert built.marker.keys() == images.marker.keys()
    assert all(disk.stat().st_size for disk in (built.v1, built.v2, built.unhealthy, built.unbootable))


def test_a_missing_tool_is_named_with_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")

    with pytest.raises(HostBroken) as broken:
        build_images(tmp_path)

    assert broken.value.code == "tool_missing"
    assert "apt-get install" in broken.value.words
    assert "mtools" in broken.value.words


def test_packages_that_cannot_be_had_are_named_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """apt on a machine without sources."""
    (tmp_path / "lists/partial").mkdir(parents=True)
    config = tmp_path / "apt.conf"
    config.write_text(
        'Dir::Etc { SourceList "/dev/null"; SourceParts "/dev/null"; };'
        f' Dir::State {{ Lists "{tmp_path}/lists"; Status "/dev/null"; }}; Dir::Cache "{tmp_path}";'
    )
    monkeypatch.setenv("APT_CONFIG", str(config))

    with pytest.raises(HostBroken) as broken:
        build_images(tmp_path / "cache")

    assert broken.value.code == "packages_unavailable"
    assert "apt-get update" in broken.value.words
    assert not list((tmp_path / "cache").glob("building-*"))

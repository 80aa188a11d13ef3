"""The emulated PC, running: a q35 with VT-d, its devices on root ports, and a way to run commands inside.

Disk and LAN hang on virtio, as the ones that the control base needs itself; network card, NVMe disk, USB
controller and optical drive stand each on a root port of their own, so that each can be passed through.
LPC bridge, SATA and SMBus of the chipset share one IOMMU group, as in many a real PC. All of it is emulation
(TCG) by one QEMU process, which dies with this one. Nothing is written but in `directory`.
"""

import base64
import json
import socket
import subprocess
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.lab.outer import payload
from tests.lab.outer.image import OuterImage

MEMORY_MIB = 2560
BOOT_S = 240.0  # on a busy machine; 30 s are usual
COMMAND_S = 60.0
# no_timer_check: on a busy machine ticks come too late for the kernel's trial of its timer, and it panics.
KERNEL_LINE = "console=ttyS0 quiet panic=-1 no_timer_check intel_iommu=on net.ifnames=0"
HOST = "10.0.2.2"  # where the PC reaches this machine's loopback (QEMU's user network)
DEVICE_DISK_BYTES = 8 << 20

NIC_MAC = "52:54:00:e1:00:0e"
NVME_SERIAL = "OPENVRAS-NVME-7"
NVME_WORDS = b"openvras block 0"  # what its first block begins with
STICK_WORDS = b"openvras stick 0"


@dataclass(frozen=True)
class Done:
    """How a command inside ended."""

    code: int
    output: str
    errors: str


class Outer:
    """One emulated PC. A context manager: booted and ready inside, gone after."""

    def __init__(self, image: OuterImage, directory: Path, *, name: str = "pc-outer") -> None:
        self.name = name
        self.directory = directory
        self._image = image
        self._qemu: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._asked: dict[int, Future[dict[str, Any]]] = {}
        self._lock = threading.Lock()
        self._number = 0

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    @property
    def console(self) -> str:
        """All that its kernel and its start wrote."""
        log = self.directory / "console.log"
        return log.read_text(errors="replace") if log.exists() else ""

    def run(
        self, *argv: str, stdin: bytes = b"", timeout_s: float = COMMAND_S, codes: Sequence[int] = (0,)
    ) -> str:
        """Runs a command inside; returns its output. AssertionError with its words when the code is another
        than `codes`."""
        done = self.ask(argv, stdin=stdin, timeout_s=timeout_s)
        words = f"{' '.join(argv)} ended with {done.code}:\n{done.output[-3000:]}{done.errors[-3000:]}"
        assert done.code in codes, words
        return done.output

    def sh(self, script: str, *arguments: str, timeout_s: float = COMMAND_S) -> str:
        """The same for a shell script; it ends at the first command that fails."""
        return self.run("sh", "-euc", script, "sh", *arguments, timeout_s=timeout_s)

    def ask(self, argv: Sequence[str], *, stdin: bytes = b"", timeout_s: float = COMMAND_S) -> Done:
        """Runs a command inside, whatever it ends with."""
        with self._lock:
            self._number += 1
            number = self._number
            future: Future[dict[str, Any]] = Future()
            self._asked[number] = future
            request = {"id": number, "argv": list(argv), "timeout_s": timeout_s}
            line = json.dumps({**request, "stdin": base64.b64encode(stdin).decode()}) + "\n"
            assert self._control is not None, "the emulated PC does not run"
            self._control.sendall(line.encode())
        reply = future.result(timeout_s + COMMAND_S)
        output, errors = (
            base64.b64decode(reply[key]).decode(errors="replace") for key in ("output", "errors")
        )
        return Done(reply["code"], output, errors)

    def read(self, path: str) -> str:
        """A text file inside."""
        return self.run("cat", path)

    def write(self, path: str, content: bytes) -> None:
        """A file inside, in a folder that there is."""
        self.run("tee", path, stdin=content)

    def spawn(self, log: str, *argv: str) -> int:
        """Starts a program inside that goes on; returns its pid. What it writes goes to the end of `log`."""
        script = 'log=$1; shift; setsid "$@" </dev/null >>"$log" 2>&1 & echo $!'
        return int(self.run("sh", "-c", script, "sh", log, *argv))

    def _start(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        tree = self.directory / "payload"
        tree.mkdir()
        payload.make(self.directory / "payload.img", scratch=tree)
        for name, begins in (
            ("nvme", NVME_WORDS),
            ("stick", STICK_WORDS),
            ("disc", b"openvras disc 0"),
        ):
            with (self.directory / f"{name}.img").open("xb") as disk:
                disk.write(begins)
                disk.truncate(DEVICE_DISK_BYTES)
        with (self.directory / "qemu.log").open("wb") as log:
            self._qemu = subprocess.Popen(
                ["setpriv", "--pdeathsig=KILL", "qemu-system-x86_64", *self._arguments()],
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + BOOT_S
        self._connect(deadline)
        self._await_ready(deadline)

    def _arguments(self) -> list[str]:
        return [
            *("-accel", "tcg,thread=multi,tb-size=512", "-machine", "q35", "-cpu", "max", "-smp", "2"),
            *("-m", str(MEMORY_MIB), "-nodefaults", "-display", "none", "-no-reboot"),
            *("-serial", "file:console.log", "-device", "intel-iommu,intremap=on,caching-mode=on"),
            *("-kernel", str(self._image.kernel), "-initrd", str(self._image.initrd), "-append"),
            f"{KERNEL_LINE} openvras.name={self.name}",
            *_needed(self._image.root),
            *_passable(),
        ]

    def _connect(self, deadline: float) -> None:
        """QEMU opens its end of the control channel before the machine runs."""
        assert self._qemu is not None
        while self._control is None:
            self._check_runs(deadline)
            control = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                # By a short name: a unix socket's path may have 107 bytes (unix(7)).
                control.connect(f"/proc/{self._qemu.pid}/cwd/control.sock")
            except OSError:
                control.close()
                time.sleep(0.05)
                continue
            self._control = control
        threading.Thread(target=self._listen, args=(self._control,), daemon=True).start()

    def _await_ready(self, deadline: float) -> None:
        while "openvras ready" not in self.console:
            self._check_runs(deadline)
            time.sleep(0.1)

    def _check_runs(self, deadline: float) -> None:
        said = (self.directory / "qemu.log").read_text(errors="replace") + self.console[-3000:]
        assert self._qemu is not None and self._qemu.poll() is None, f"the emulated PC ended:\n{said}"
        assert time.monotonic() < deadline, f"the emulated PC is not ready after {BOOT_S} s:\n{said}"

    def _listen(self, control: socket.socket) -> None:
        with control.makefile("rb") as lines:
            for line in lines:
                reply = json.loads(line)
                with self._lock:
                    future = self._asked.pop(reply["id"])
                future.set_result(reply)

    def _end(self) -> None:
        if self._qemu is not None:
            self._qemu.kill()
            self._qemu.wait()
        if self._control is not None:
            self._control.close()


def _disk(name: str, file: str | Path, *more: str) -> list[str]:
    """A disk image of which every change is forgotten."""
    options = f"file={file},format=raw,if=none,id={name},snapshot=on,cache=unsafe"
    return ["-drive", ",".join([options, *more])]


def _needed(root: Path) -> list[str]:
    """What the control base needs itself: disks, LAN, and the channel for commands."""
    return [
        *_disk("root", root),
        *("-device", "virtio-blk-pci,drive=root,bus=pcie.0,addr=2"),
        *_disk("payload", "payload.img"),
        *("-device", "virtio-blk-pci,drive=payload,bus=pcie.0,addr=10"),
        *("-netdev", "user,id=lan,ipv6=off", "-device", "virtio-net-pci,netdev=lan,bus=pcie.0,addr=3"),
        *("-device", "virtio-serial-pci,bus=pcie.0,addr=11"),
        *("-chardev", "socket,id=control,path=control.sock,server=on,wait=off"),
        *("-device", "virtserialport,chardev=control,name=org.openvras.lab"),
    ]


def _passable() -> list[str]:
    """What the user's machine may get: each on a root port, as cards in slots."""
    ports = [
        f"pcie-root-port,id=port{slot},chassis={slot},slot={slot},bus=pcie.0,addr={slot + 3}"
        for slot in (1, 2, 3, 4)
    ]
    return [
        *(word for port in ports for word in ("-device", port)),
        *("-netdev", "user,id=card,restrict=on", "-device", f"e1000e,netdev=card,bus=port1,mac={NIC_MAC}"),
        *_disk("nvme", "nvme.img"),
        *("-device", f"nvme,drive=nvme,serial={NVME_SERIAL},bus=port2"),
        *("-device", "qemu-xhci,id=xhci,bus=port3", "-device", "usb-kbd,bus=xhci.0"),
        *_disk("stick", "stick.img"),
        *("-device", "usb-storage,drive=stick,bus=xhci.0,serial=STICK-BUILT-IN"),
        *("-device", "ahci,id=ahci1,bus=port4"),
        *_disk("disc", "disc.img", "media=cdrom", "readonly=on"),
        *("-device", "ide-cd,drive=disc,bus=ahci1.0"),
        *("-device", "ich9-intel-hda,bus=pcie.0,addr=8", "-audiodev", "none,id=sound"),
        *("-device", "hda-duplex,audiodev=sound", "-device", "bochs-display,bus=pcie.0,addr=9"),
    ]

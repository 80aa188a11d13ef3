"""A company LAN on one machine, for the demo and the tests: a bridge and PCs in namespaces of their own.

Nothing is added to the machine's own network. The bridge lives in one network namespace, each PC in another;
addresses are from 198.18.0.0/15, set aside for such benches (RFC 2544 §C.2.2). A server takes part by a
listening socket that was opened inside the LAN (`Lan.open_listener`): the socket stays where it was made,
the process stays where it was.

Names tell who owns them (process id and start time), so several LANs live side by side, and `sweep_stale`
finds what a killed process left. Needs root. Not for anything but demo and tests.
"""

import ctypes
import ipaddress
import json
import os
import secrets
import select
import signal
import socket
import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from config.demo.standing import Standing
from vrasnode.errors import HostBroken

T = TypeVar("T")

NETWORK = ipaddress.IPv4Network("198.18.0.0/15")
SERVER_ADDRESS = str(NETWORK[1])
LAN_BRIDGE = "br-lan"  # on each PC
FIRST_PC = 256  # PCs get NETWORK[257], NETWORK[258] …
NAMESPACES = Path("/run/netns")
PREFIX = "openvras"
GRACE_S = 10.0
DIAL_S = 5.0
ROUNDS = 2  # what is ended first may have been starting another (libvirtd, QEMU)

_CLONE_NEWNET = 0x40000000  # <linux/sched.h>
_libc = ctypes.CDLL(None, use_errno=True)


class LanPc:
    """One PC's place in the LAN: its network namespace, its address and the cable to it."""

    def __init__(self, name: str, *, namespace: str, switch: str, number: int) -> None:
        self.name = name
        self.namespace = namespace
        self.address = str(NETWORK[FIRST_PC + number])
        self._switch = switch
        self._port = f"port{number}"

    def command(self, argv: Sequence[str]) -> list[str]:
        """`argv`, wrapped so that it runs on this PC's network (and sees the same files)."""
        return ["nsenter", f"--net={NAMESPACES / self.namespace}", "--", *argv]

    def run_inside(self, act: Callable[[], T]) -> T:
        """What `act` returns, called on this PC's network: a socket it makes stays there."""
        return _inside(self.namespace, act)

    def answers(self, port: int) -> bool:
        """Whether something on this PC takes connections at a TCP port of its address."""

        def connects() -> bool:
            try:
                socket.create_connection((self.address, port), timeout=DIAL_S).close()
            except OSError:
                return False
            return True

        return self.run_inside(connects)

    def received_bytes(self) -> int:
        """Bytes that came to this PC over the LAN since it was joined, with their Ethernet headers."""
        return self._counter("rx")

    def sent_bytes(self) -> int:
        """Bytes that this PC sent over the LAN since it was joined, with their Ethernet headers."""
        return self._counter("tx")

    def cut(self) -> None:
        """Pulls the cable: the PC sees no carrier, what is under way is lost."""
        _ip("-n", self._switch, "link", "set", self._port, "down")

    def mend(self) -> None:
        """Plugs the cable in again."""
        _ip("-n", self._switch, "link", "set", self._port, "up")

    def processes(self) -> list[int]:
        """Ids of the processes that run on this PC's network."""
        return _processes(self.namespace)

    def end_processes(self) -> None:
        """Ends every process on this PC's network: asked first, killed after `GRACE_S` seconds."""
        _end_processes(self.namespace)

    def _counter(self, direction: str) -> int:
        link = json.loads(_ip("-n", self.namespace, "-s", "-j", "link", "show", "eth0"))[0]
        return int(link["stats64"][direction]["bytes"])


class Lan(Standing):
    """A bridge that PCs join. A context manager: after it everything is gone, what ran on the PCs' networks
    too, also after an exception.

    Raises HostBroken(lan_failed) when the kernel or a missing right says no.
    """

    def __init__(self) -> None:
        self.tag = owner_tag()
        self.address = SERVER_ADDRESS
        self.namespace = f"{PREFIX}-{self.tag}-lan"
        self.pcs: list[LanPc] = []

    def _stand_up(self, undo: ExitStack) -> None:
        undo.enter_context(_namespace(self.namespace))
        _ip("-n", self.namespace, "link", "add", "br0", "type", "bridge")
        _quiet_up(self.namespace, "br0")
        _ip("-n", self.namespace, "address", "add", f"{self.address}/{NETWORK.prefixlen}", "dev", "br0")

    def command(self, argv: Sequence[str]) -> list[str]:
        """`argv`, wrapped so that it runs on the LAN itself, at `address` (and sees the same files)."""
        return ["nsenter", f"--net={NAMESPACES / self.namespace}", "--", *argv]

    def join(self, name: str) -> LanPc:
        """A new PC in this LAN, plugged in. `name` is for people; two PCs may share one."""
        number = len(self.pcs) + 1
        namespace = f"{PREFIX}-{self.tag}-pc{number}"
        pc = LanPc(name, namespace=namespace, switch=self.namespace, number=number)
        self._undo.enter_context(_namespace(namespace))
        self._undo.callback(pc.end_processes)
        port = f"port{number}"
        peer = ["peer", "name", "eth0", "netns", namespace]
        _ip("-n", self.namespace, "link", "add", port, "type", "veth", *peer)
        _ip("-n", self.namespace, "link", "set", port, "master", "br0")
        # The control base has its address on a bridge: its machines are in the same LAN.
        _ip("-n", namespace, "link", "add", LAN_BRIDGE, "type", "bridge")
        _ip("-n", namespace, "link", "set", "eth0", "master", LAN_BRIDGE)
        _ip("-n", namespace, "address", "add", f"{pc.address}/{NETWORK.prefixlen}", "dev", LAN_BRIDGE)
        _quiet_up(namespace, "eth0")
        _quiet_up(namespace, LAN_BRIDGE)
        _quiet_up(self.namespace, port)
        self.pcs.append(pc)
        return pc

    def open_listener(self, port: int) -> socket.socket:
        """A TCP socket that listens at (`address`, `port`) in the LAN, for use by this process.

        Port 0 takes a free one. Close it before the LAN ends. Raises OSError when the port is taken.
        """
        return _inside(self.namespace, lambda: socket.create_server((self.address, port), backlog=1024))


def sweep_stale() -> list[str]:
    """Removes LANs whose owner was killed, with the processes still in them; returns the names removed."""
    gone = [path.name for path in stale(NAMESPACES, prefix=f"{PREFIX}-")]
    for namespace in gone:
        _end_processes(namespace)
        with suppress(HostBroken):  # another sweep was quicker
            _ip("netns", "delete", namespace)
    return gone


def owner_tag() -> str:
    """A name no one else has, that tells which process owns what it names."""
    return f"{os.getpid()}-{_started(os.getpid())}-{secrets.token_hex(3)}"


def stale(directory: Path, *, prefix: str = "") -> Iterator[Path]:
    """The entries of `directory` called `prefix` + `owner_tag` + anything, whose owner runs no more."""
    for path in sorted(directory.glob(f"{prefix}*")) if directory.is_dir() else []:
        pid, _, rest = path.name.removeprefix(prefix).partition("-")
        started, _, _ = rest.partition("-")
        if pid.isdecimal() and started.isdecimal() and _started(int(pid)) != int(started):
            yield path


def _started(pid: int) -> int | None:
    """When a process began, in clock ticks since boot (`stat` field 22, proc(5)); None when it ended."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if state in "ZX" else int(fields[18])


@contextmanager
def _namespace(name: str) -> Iterator[None]:
    _ip("netns", "add", name)
    try:
        _ip("-n", name, "link", "set", "lo", "up")
        yield
    finally:
        _ip("netns", "delete", name)


def _quiet_up(namespace: str, link: str) -> None:
    """Up, without IPv6 chatter of the kernel: what is counted is what the PC asked for."""
    _ip("-n", namespace, "link", "set", link, "addrgenmode", "none", "up")


def _ip(*arguments: str) -> str:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        words = f"`ip {' '.join(arguments)}` failed: {done.stderr.strip()}. The LAN needs root."
        raise HostBroken("lan_failed", words)
    return done.stdout


def _inside(namespace: str, act: Callable[[], T]) -> T:
    """Calls `act` in a namespace: by a thread made for it, so no other thread is ever in the wrong one."""

    def enter_and_act() -> T:
        with (NAMESPACES / namespace).open() as handle:
            if _libc.setns(handle.fileno(), _CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), f"cannot enter network namespace {namespace}")
        return act()

    with ThreadPoolExecutor(max_workers=1) as passer_by:
        return passer_by.submit(enter_and_act).result()


def _processes(namespace: str) -> list[int]:
    target = (NAMESPACES / namespace).stat()
    return [
        int(process.name)
        for process in Path("/proc").iterdir()
        if process.name.isdecimal() and _in_namespace(int(process.name), target)
    ]


def _in_namespace(pid: int, target: os.stat_result) -> bool:
    try:
        return os.path.samestat(Path(f"/proc/{pid}/ns/net").stat(), target)
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return False  # ended meanwhile


def _end_processes(namespace: str) -> None:
    try:
        target = (NAMESPACES / namespace).stat()
    except FileNotFoundError:
        return  # the LAN is over, and ended them
    for _ in range(ROUNDS):
        end(_processes(namespace), still_ours=lambda pid: _in_namespace(pid, target))


def end(pids: Iterable[int], *, still_ours: Callable[[int], bool], grace_s: float = GRACE_S) -> None:
    """Asks processes to end, kills those that do not within `grace_s`, and returns when all have ended.

    `still_ours` is asked again once a process is pinned, so that a reused id is never hit.
    """
    with ExitStack() as handles:
        pinned = [handle for pid in pids if (handle := _pin(pid, handles)) is not None and still_ours(pid)]
        for sent, wait_s in ((signal.SIGTERM, grace_s), (signal.SIGKILL, grace_s)):
            for handle in pinned:
                with suppress(ProcessLookupError):
                    signal.pidfd_send_signal(handle, sent)
            pinned = _await_end(pinned, wait_s)


def _pin(pid: int, handles: ExitStack) -> int | None:
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return None
    handles.callback(os.close, handle)
    return handle


def _await_end(pinned: list[int], wait_s: float) -> list[int]:
    """Those that still run after `wait_s` without a change. A handle is readable once its process ended."""
    poller = select.poll()
    for handle in pinned:
        poller.register(handle, select.POLLIN)
    running = set(pinned)
    while running and (ended := poller.poll(wait_s * 1000)):
        for handle, _ in ended:
            poller.unregister(handle)
            running.discard(handle)
    return sorted(running)

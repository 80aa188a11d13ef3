"""A PC for the demo and the tests: a place in the LAN and a libvirtd of its own.

Each PC's libvirtd is the real system daemon, run by hand in the PC's network namespace and in a mount
namespace where its state, its cache and its configuration are those of this PC. So three run on one machine
beside the machine's own, and nothing outside the PC's directory is written. Except for its run directory:
that lies under `RUN`, because a unix socket's path may not be longer than 107 bytes (unix(7)).

libvirtd owns the machines: `end_libvirtd` and `start` again is what a PC sees when the package is upgraded,
and the machines run on meanwhile. Needs root. Not the agent's code: `vrasnode` knows none of this.
"""

import fcntl
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from config.demo import lan
from vrasnode.errors import HostBroken

RUN = Path("/run/openvras")
PARTS = ("lib", "cache", "log", "etc", "tpm-ca", "tpm-log")  # of a PC's directory
START_LIMIT_S = 120.0  # the first start on a machine asks each QEMU binary what it can do

# `sh -c SCRIPT libvirtd RUN LIB CACHE LOG ETC TPM_CA TPM_LOG`. Slave propagation: a file system that is
# mounted on the machine later (a volume for disks) is seen by this PC too; what is mounted here stays here.
_SCRIPT = """
set -e
mkdir -p /run/libvirt /var/lib/libvirt /var/cache/libvirt /var/log/libvirt /etc/libvirt \
    /var/lib/swtpm-localca /var/log/swtpm
mount --bind "$1" /run/libvirt
mount --bind "$2" /var/lib/libvirt
mount --bind "$3" /var/cache/libvirt
mount --bind "$4" /var/log/libvirt
mount --bind "$5" /etc/libvirt
mount --bind "$6" /var/lib/swtpm-localca
mount --bind "$7" /var/log/swtpm
exec libvirtd --pid-file /run/libvirt/libvirtd.pid
"""

_LIBVIRTD_CONF = """\
auth_unix_ro = "none"
auth_unix_rw = "none"
unix_sock_rw_perms = "0700"
log_level = 3
log_outputs = "3:file:/var/log/libvirt/libvirtd.log"
"""

# No virtlogd, no cgroup tree, no security module: QEMU runs as root, in the PC's namespaces.
_QEMU_CONF = """\
user = "root"
group = "root"
swtpm_user = "root"
swtpm_group = "root"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
stdio_handler = "file"
cgroup_controllers = []
namespaces = []
"""


class LabPc:
    """One PC. `directory` keeps what libvirt keeps; `cache` is shared by PCs that ask the same QEMU.

    A context manager: started inside, switched off after. `uri` is for `vrasnode run --hypervisor`.
    """

    def __init__(self, place: lan.LanPc, directory: Path, *, cache: Path) -> None:
        self.name = place.name
        self.place = place
        self.directory = directory.resolve()
        self._cache = cache
        self._run = RUN / lan.owner_tag()
        self._libvirtd: subprocess.Popen[bytes] | None = None
        self.uri = f"qemu:///system?socket={self._run / 'libvirt-sock'}"

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def command(self, argv: Sequence[str]) -> list[str]:
        """`argv`, wrapped so that it runs on this PC: on its network, with the same files."""
        return self.place.command(argv)

    def start(self) -> None:
        """Starts libvirtd where it does not run and returns when it can start machines.

        Machines that ran when an earlier libvirtd of this object ended are found again. Raises
        HostBroken(libvirtd_failed) with the end of its log.
        """
        if self._libvirtd is not None and self._libvirtd.poll() is None:
            return
        self._lay_out()
        with _lent(self._cache, self._qemu_cache):
            self._libvirtd = self._spawn()
            self._await_answer()

    def end_libvirtd(self) -> None:
        """Ends libvirtd alone, as an upgrade of its package does; machines go on running."""
        if self._libvirtd is None:
            return
        libvirtd = self._libvirtd
        lan.end([libvirtd.pid], still_ours=lambda _: libvirtd.poll() is None)
        libvirtd.wait()
        self._libvirtd = None

    def stop(self) -> None:
        """Switches the PC off: libvirtd, its machines and all else that runs on the PC's network end."""
        self.end_libvirtd()
        self.place.end_processes()
        shutil.rmtree(self._run, ignore_errors=True)

    @property
    def log(self) -> Path:
        """Where libvirtd and its start write."""
        return self.directory / "log" / "start.log"

    @property
    def _qemu_cache(self) -> Path:
        return self.directory / "cache" / "qemu" / "capabilities"

    def _lay_out(self) -> None:
        for part in PARTS:
            (self.directory / part).mkdir(parents=True, exist_ok=True)
        self._run.mkdir(parents=True, exist_ok=True)
        (self.directory / "etc" / "libvirtd.conf").write_text(_LIBVIRTD_CONF)
        (self.directory / "etc" / "qemu.conf").write_text(_QEMU_CONF)

    def _spawn(self) -> subprocess.Popen[bytes]:
        parts = [str(self.directory / part) for part in PARTS]
        own_mounts = ["unshare", "--mount", "--propagation", "slave"]
        argv = self.command([*own_mounts, "sh", "-c", _SCRIPT, "libvirtd", str(self._run), *parts])
        with self.log.open("ab") as log:
            # A session of its own: Ctrl-C in the demo's terminal reaches the demo, which stops PCs in order.
            return subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def _await_answer(self) -> None:
        """Returns when libvirtd has asked QEMU what it can do, so that nobody waits for that later."""
        deadline = time.monotonic() + START_LIMIT_S
        while not self._answers():
            if self._libvirtd is None or self._libvirtd.poll() is not None or time.monotonic() > deadline:
                words = f"libvirtd of {self.name} did not start; see {self.log}: {_tail(self.log)}"
                raise HostBroken("libvirtd_failed", words)
            time.sleep(0.05)

    def _answers(self) -> bool:
        if not (self._run / "libvirt-sock").exists():
            return False
        ask = ["virsh", "--connect", self.uri, "domcapabilities", "--virttype", "qemu"]
        done = subprocess.run(ask, capture_output=True, timeout=START_LIMIT_S, check=False)
        return done.returncode == 0


def sweep_stale() -> list[str]:
    """Switches off PCs whose owner was killed, and removes their LANs; returns the names removed."""
    gone = lan.sweep_stale()
    for run in lan.stale(RUN):
        shutil.rmtree(run, ignore_errors=True)
        gone.append(run.name)
    return gone


@contextmanager
def _lent(common: Path, own: Path) -> Iterator[None]:
    """Lends a PC what is known of QEMU and keeps what it learns. One PC at a time, for learning takes all
    processors for seconds, and the next need not do it again. libvirt itself drops what is out of date."""
    common.mkdir(parents=True, exist_ok=True)
    with (common / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        own.mkdir(parents=True, exist_ok=True)
        for known in common.glob("*.xml"):
            shutil.copy2(known, own)
        yield
        for learnt in own.glob("*.xml"):
            part = common / f"{learnt.name}.part"
            shutil.copy2(learnt, part)
            part.replace(common / learnt.name)


def _tail(log: Path) -> str:
    return log.read_text(errors="replace")[-2000:].strip() if log.exists() else "(no log)"

"""The file server (Samba's smbd): runs while this program does, and is started again when it dies.

It shares nothing until the control base says so (`shares`), and listens only on the machine itself until the
control base has said which network card leads to the client VM.
"""

import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from vrasnode.servicevm.guest.answering import Refusal
from vrasnode.servicevm.guest.processes import kill, of_session

FOLDERS = ("private", "state", "cache", "lock", "ncalrpc")
AGAIN_S = 1.0
SMBD = (
    *("smbd", "--foreground", "--no-process-group"),
    *("--log-basename={run}", "--configfile={run}/smb.conf"),
)

GLOBAL = """[global]
server role = standalone server
netbios name = VRAS
disable netbios = yes
smb ports = 445
interfaces = {interfaces}
bind interfaces only = yes
server min protocol = SMB3_00
server smb encrypt = required
server signing = mandatory
map to guest = never
restrict anonymous = 2
load printers = no
printing = bsd
printcap name = /dev/null
disable spoolss = yes
passdb backend = tdbsam
private dir = {run}/private
state directory = {run}/state
cache directory = {run}/cache
lock directory = {run}/lock
pid directory = {run}
ncalrpc dir = {run}/ncalrpc
logging = file
log file = {run}/log
max log size = 1000
"""

# Rights are the kernel's (`grants`), so Samba keeps no lists of its own and hands none to the client VM. What
# is made in a folder inherits its list whole: the bits of the "group", which nobody else is in, are its mask.
# A file is on the disk when its client was told so (strict sync).
SHARE = """
[{name}]
path = {path}
valid users = {user}
hosts allow = {client}
hosts deny = ALL
read only = no
browseable = no
follow symlinks = no
wide links = no
veto files = /lost+found/.openvras/.openvras-put-*/
nt acl support = no
inherit acls = yes
create mask = 0770
force create mode = 0770
directory mask = 0770
force directory mode = 0770
map archive = no
map readonly = no
store dos attributes = yes
vfs objects = streams_xattr
strict sync = yes
"""


@dataclass(frozen=True)
class Share:
    """A folder, for one user from one address. What is in here is checked: it goes into a configuration."""

    serial: str
    name: str
    user: str
    client: str
    path: Path


class FileServer:
    """`run` is the directory for everything that smbd writes (tmpfs). `command` starts it, with {run} in its
    words for that directory; `pause` lets seconds pass."""

    def __init__(
        self,
        run: Path,
        *,
        command: Sequence[str] = SMBD,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self.run = run
        self._command = command
        self._pause = pause
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped = threading.Event()
        self._interfaces = ["lo"]
        self._shares: list[Share] = []
        self.starts = 0

    @property
    def pid(self) -> int | None:
        """Of the running smbd; None while it does not run."""
        process = self._process
        return process.pid if process and process.poll() is None else None

    def start(self) -> None:
        """From now on it runs. Returns at once. One that an earlier run of this program left is ended."""
        kill(self._left_over())
        self._lay_out()
        self._configure()
        threading.Thread(target=self._keep_running, name="fileserver", daemon=True).start()

    def listen(self, interfaces: Sequence[str]) -> None:
        """Serves on these interfaces, and on the machine itself, from a fresh start on. Where it does so
        already nobody is disturbed."""
        if self._interfaces == ["lo", *interfaces]:
            return
        self._interfaces = ["lo", *interfaces]
        self._configure()
        with self._lock:
            if self._process and self._process.poll() is None:
                self._process.terminate()

    def share(self, shares: Sequence[Share]) -> None:
        """Serves these and no others to whoever comes now; who is connected stays."""
        self._shares = list(shares)
        self._configure()
        if (pid := self.pid) is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGHUP)

    def begin_anew(self) -> int:
        """Ends all that it does for anyone, at once, and forgets all that it wrote; it starts again without
        shares. Returns how many processes were ended, once they are gone."""
        self._shares = []
        with self._lock:
            process = self._process
            ended = kill(of_session(process.pid)) if process and process.poll() is None else 0
            for folder in FOLDERS:
                shutil.rmtree(self.run / folder, ignore_errors=True)
            for log in self.run.glob("log*"):
                log.unlink(missing_ok=True)
            self._lay_out()
            self._configure()
        return ended

    def stop(self) -> None:
        self._stopped.set()
        with self._lock:
            if self._process and self._process.poll() is None:
                self._process.terminate()
                self._process.wait()

    def _lay_out(self) -> None:
        for folder in FOLDERS:
            (self.run / folder).mkdir(parents=True, exist_ok=True)
        (self.run / "private").chmod(0o700)

    def _configure(self) -> None:
        text = GLOBAL.format(run=self.run, interfaces=" ".join(self._interfaces))
        shares = (SHARE.format(**vars(share)) for share in self._shares)
        part = self.run / "smb.conf.part"
        part.write_text("".join([text, *shares]))
        part.replace(self.run / "smb.conf")

    def _left_over(self) -> list[int]:
        try:
            pid = int((self.run / "smbd.pid").read_text())
        except (OSError, ValueError):
            return []
        return of_session(pid)

    def _keep_running(self) -> None:
        while True:
            with self._lock:
                if self._stopped.is_set():
                    return
                # A session of its own: when it ends, smbd ends its whole process group.
                self._process = subprocess.Popen(
                    [word.format(run=self.run) for word in self._command],
                    stdin=subprocess.DEVNULL,
                    start_new_session=True,
                )
            self.starts += 1
            code = self._process.wait()
            print(f"openvras: smbd ended with {code}", flush=True)
            self._pause(AGAIN_S)


def interface_of(mac: str, *, interfaces: Path = Path("/sys/class/net")) -> str:
    """The name of the network card with this address. Raises Refusal(no_such_card)."""
    for address in sorted(interfaces.glob("*/address")):
        if address.read_text().strip().lower() == mac.lower():
            return address.parent.name
    raise Refusal("no_such_card", f"This virtual server has no network card {mac}.")

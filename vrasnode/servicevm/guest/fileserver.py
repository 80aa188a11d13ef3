"""The file server (Samba's smbd): runs while this program does, and is started again when it dies.

It shares nothing until the control base says so, and listens only on the machine itself until the control
base has said which network card leads to the client VM.
"""

import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from vrasnode.servicevm.guest.answering import Refusal

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
        self._run = run
        self._command = command
        self._pause = pause
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped = threading.Event()
        self.starts = 0

    @property
    def pid(self) -> int | None:
        """Of the running smbd; None while it does not run."""
        process = self._process
        return process.pid if process and process.poll() is None else None

    def start(self) -> None:
        """From now on it runs. Returns at once."""
        for folder in FOLDERS:
            (self._run / folder).mkdir(parents=True, exist_ok=True)
        (self._run / "private").chmod(0o700)
        self._configure(["lo"])
        threading.Thread(target=self._keep_running, name="fileserver", daemon=True).start()

    def listen(self, interfaces: Sequence[str]) -> None:
        """Serves on these interfaces, and on the machine itself, from a fresh start on."""
        self._configure(["lo", *interfaces])
        with self._lock:
            if self._process and self._process.poll() is None:
                self._process.terminate()

    def stop(self) -> None:
        self._stopped.set()
        with self._lock:
            if self._process and self._process.poll() is None:
                self._process.terminate()
                self._process.wait()

    def _configure(self, interfaces: Sequence[str]) -> None:
        part = self._run / "smb.conf.part"
        part.write_text(GLOBAL.format(run=self._run, interfaces=" ".join(interfaces)))
        part.replace(self._run / "smb.conf")

    def _keep_running(self) -> None:
        while True:
            with self._lock:
                if self._stopped.is_set():
                    return
                # A session of its own: when it ends, smbd ends its whole process group.
                self._process = subprocess.Popen(
                    [word.format(run=self._run) for word in self._command],
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

"""A company's file server on a LAN of the lab: Samba as a member of the directory, a share for replicas.

It joins once (`net ads join`), together with the directory that is kept; each session runs a copy of both.
Who logs on is asked of the domain controller (winbindd), by Kerberos or by password; SMB 3, always encrypted.
The account of replicas alone has a user of this machine here (its files are root's), so nobody else comes in;
libnss-winbind, which would know everybody, writes into a machine's own nsswitch.conf. Needs root.
"""

from contextlib import ExitStack
from pathlib import Path

from config.demo.domaincontroller import ADMINISTRATOR_PASSWORD, REALM, DomainController
from config.demo.lan import LanPc
from config.demo.processes import Child, run, wait_for
from config.demo.standing import Standing

NAS = f"nas1.{REALM.lower()}"
SHARE = "replicas"
ACCOUNT = "svc-replicas"  # of the directory, for the management server
ACCOUNT_NAME = f"{ACCOUNT}@{REALM}"
SMB_PORT = 445
UP_S = 120.0
# `sh -c SCRIPT sh RUN RESOLV COMMAND …`: Samba's programs meet each other at one place that is compiled into
# them, and find controllers by DNS.
_AT_HOME = 'mount --bind "$1" /run/samba && mount --bind "$2" /etc/resolv.conf && shift 2 && exec "$@"'


class MemberServer(Standing):
    """One that runs. A context manager: afterwards its processes are gone, and what is in `share` stays.

    `archive` holds the state of one that has joined the directory which `controller` runs; None: it joins.
    """

    def __init__(
        self, controller: DomainController, directory: Path, *, share: Path, archive: Path | None
    ) -> None:
        self.machine: LanPc = controller.lan.join("nas1")
        self.directory = directory
        self.share = share
        self._controller = controller
        self._archive = archive

    def _stand_up(self, undo: ExitStack) -> None:
        self._lay_out()
        undo.callback(self.machine.end_processes)
        children = []
        for name in ("winbindd", "smbd"):
            argv = [name, "-F", "--no-process-group", "-s", str(self._config), "--debug-stdout"]
            log = self.directory / f"{name}.log"
            children.append(undo.enter_context(Child(name, self._command(argv), log=log)))
        wait_for("the file server", self._answers, children=children, timeout_s=UP_S)

    @property
    def url(self) -> str:
        """As the management server on this LAN is told of it."""
        return f"smb://{NAS}/{SHARE}"

    @property
    def state(self) -> Path:
        """What is kept of it when it has ended: what makes it a member."""
        return self.directory / "state"

    @property
    def _config(self) -> Path:
        return self.directory / "smb.conf"

    def krb5(self, file: Path) -> Path:
        """What a machine on this LAN knows of the realm."""
        file.write_text(
            f"[libdefaults]\ndefault_realm = {REALM}\ndns_lookup_kdc = false\nrdns = false\n"
            f"dns_canonicalize_hostname = false\nudp_preference_limit = 1\n"
            f"[realms]\n{REALM} = {{\n kdc = {self._controller.machine.address}\n}}\n"
            f"[domain_realm]\n.{REALM.lower()} = {REALM}\n"
        )
        return file

    def _lay_out(self) -> None:
        Path("/run/samba").mkdir(parents=True, exist_ok=True)
        self.share.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.state.mkdir(parents=True)
        for name in ("run", "lock", "cache", "ncalrpc"):
            (self.directory / name).mkdir()
        (self.directory / "resolv.conf").write_text(
            f"nameserver {self._controller.machine.address}\nsearch {REALM.lower()}\n"
        )
        (self.directory / "people").write_text(f"root = CORP\\{ACCOUNT} {ACCOUNT_NAME} {ACCOUNT}\n")
        self._config.write_text(self._words())
        if self._archive is not None:
            run(["tar", "--extract", "--xattrs", "--file", str(self._archive), "-C", str(self.state)])
            return
        joining = ["net", "ads", "join", "-s", str(self._config), "-U", "Administrator", "--no-dns-updates"]
        run(self._command(joining), env={"PASSWD": ADMINISTRATOR_PASSWORD})

    def _command(self, argv: list[str]) -> list[str]:
        own = ["unshare", "--mount", "--propagation", "private", "sh", "-c", _AT_HOME, "sh"]
        places = [str(self.directory / "run"), str(self.directory / "resolv.conf")]
        return self.machine.command([*own, *places, *argv])

    def _words(self) -> str:
        places = {
            "private dir": self.state,
            "state directory": self.state,
            "cache directory": self.directory / "cache",
            "lock directory": self.directory / "lock",
            "pid directory": self.directory / "run",
            "ncalrpc dir": self.directory / "ncalrpc",
            "username map": self.directory / "people",
        }
        lines = [
            "[global]",
            f"netbios name = {NAS.partition('.')[0].upper()}",
            f"realm = {REALM}",
            "workgroup = CORP",
            "security = ADS",
            f"interfaces = {self.machine.address}",
            "bind interfaces only = yes",
            f"smb ports = {SMB_PORT}",
            "server min protocol = SMB3_00",
            "server smb encrypt = required",
            "idmap config * : backend = autorid",
            "idmap config * : range = 1000000-1999999",
            "min domain uid = 0",  # that of the user below whose the files are
            "load printers = no",
            *(f"{name} = {place}" for name, place in places.items()),
            f"[{SHARE}]",
            f"path = {self.share}",
            "read only = no",
        ]
        return "\n".join(lines) + "\n"

    def _answers(self) -> bool:
        """Files are served, and the controller knows this machine."""
        return self.machine.answers(SMB_PORT) and self._is_member()

    def _is_member(self) -> bool:
        return "succeeded" in run(self._command(["sh", "-c", "wbinfo --ping-dc 2>&1 || true"]))

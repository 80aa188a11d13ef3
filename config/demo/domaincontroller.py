"""A Samba domain controller on a LAN of its own, with a small cast: an Active Directory for one test session.

Provisioned once, with the cast, and kept as one archive by what it is made from; each session runs a copy.
Nothing is added to this machine's network: a relay on loopback carries connections into the LAN, so that a
test can also pull the cable. Needs root. Tested against Samba alone, no Windows server took part.
"""

import hashlib
import os
import signal
from contextlib import ExitStack, suppress
from pathlib import Path

from config.demo.authority import Authority
from config.demo.lan import Lan, LanPc
from config.demo.processes import Child, run, wait_for
from config.demo.relay import Relay
from config.demo.standing import Standing
from vrasnode.servicevm.build import cache as cache_of

REALM = "CORP.OPENVRAS.TEST"
HOST = f"dc1.{REALM.lower()}"
BASE = ",".join(f"DC={part}" for part in REALM.lower().split("."))
ADMINISTRATOR = f"CN=Administrator,CN=Users,{BASE}"
ADMINISTRATOR_PASSWORD = "Provisioned-for-one-session-1"  # noqa: S105 - of a lab that no network reaches
LDAPS_PORT = 636
KERBEROS_PORT = 88
NEW_S = 300.0  # to provision on a busy machine; about 20 s are usual
UP_S = 120.0
# What the tests ask for, and what a file server needs that is a member: it speaks SMB with its controller.
SERVICES = "s3fs, rpc, ldap, cldap, kdc, dns, winbindd"
# `sh -c SCRIPT sh RUN COMMAND …`: Samba's programs meet each other at one place that is compiled into them.
_AT_HOME = 'mount --bind "$1" /run/samba && shift && exec "$@"'


class DomainController(Standing):
    """One controller that runs. A context manager: afterwards its LAN, processes and files are gone."""

    def __init__(self, lan: Lan, directory: Path, authority: Authority, *, archive: Path | None) -> None:
        self.directory = directory
        self.authority = authority
        self.lan = lan
        self.machine: LanPc = lan.join("dc1")
        self._archive = archive
        self._server = lan.join("server")

    def _stand_up(self, undo: ExitStack) -> None:
        self._lay_out()
        own = ["unshare", "--mount", "--propagation", "private", "sh", "-c", _AT_HOME, "sh"]
        argv = ["samba", "-i", "-s", str(self._config), "--debug-stdout", "--no-process-group"]
        command = self.machine.command([*own, str(self.directory / "run"), *argv])
        log = self.directory / "samba.log"
        self._samba = undo.enter_context(Child("samba", command, log=log))
        undo.callback(self.machine.end_processes)
        wait_for("LDAPS", self._answers, children=[self._samba], timeout_s=UP_S)
        self.relay = undo.enter_context(Relay(self._server, self.machine.address, LDAPS_PORT))
        self.kdc = undo.enter_context(Relay(self._server, self.machine.address, KERBEROS_PORT))

    @property
    def url(self) -> str:
        """LDAPS from this process: the relay's address, which the certificate names too."""
        return f"ldaps://127.0.0.1:{self.relay.port}"

    def export_keytab(self, file: Path, principal: str) -> None:
        """The keys of an account, as a server keeps them to check tickets."""
        where = ["-s", str(self._config), f"--principal={principal}"]
        run(["samba-tool", "domain", "exportkeytab", str(file), *where])

    def kill(self) -> None:
        """kill -9 to all of it, as a power cut would."""
        for pid in self.machine.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._samba.kill()

    def start_again(self) -> None:
        """On what the kill left; returns when it answers."""
        self._samba.start()
        wait_for("LDAPS", self._answers, children=[self._samba], timeout_s=UP_S)

    @property
    def state(self) -> Path:
        """What is kept of it when it has ended."""
        return self.directory / "state"

    @property
    def _config(self) -> Path:
        return self.directory / "smb.conf"

    def _lay_out(self) -> None:
        Path("/run/samba").mkdir(parents=True, exist_ok=True)
        self.state.mkdir(parents=True)
        if self._archive is None:
            self._provision()
        else:
            run(["tar", "--extract", "--xattrs", "--file", str(self._archive), "-C", str(self.state)])
        for name in ("run", "lock", "ncalrpc", "cache", "signd"):
            (self.directory / name).mkdir()
        (self.directory / "signd").chmod(0o750)
        names = [HOST, self.machine.address, "127.0.0.1"]
        key, certificate = self.authority.issue(self.directory, *names)
        self._config.write_text(self._words(key, certificate))

    def _provision(self) -> None:
        """A new forest. `-s` names an empty file: this machine's own smb.conf has no say."""
        empty = self.directory / "empty.conf"
        empty.touch()
        run(
            [
                *("samba-tool", "domain", "provision", "-s", str(empty), f"--realm={REALM}"),
                *("--domain=CORP", "--server-role=dc", "--dns-backend=SAMBA_INTERNAL", "--use-rfc2307"),
                f"--adminpass={ADMINISTRATOR_PASSWORD}",
                *(f"--host-name={HOST.partition('.')[0]}", f"--host-ip={self.machine.address}"),
                *(f"--targetdir={self.state}", f"--option=interfaces={self.machine.address}"),
                "--option=bind interfaces only=yes",
            ],
            timeout_s=NEW_S,
        )

    def _words(self, key: Path, certificate: Path) -> str:
        places = {
            "private dir": self.state / "private",
            "binddns dir": self.state / "bind-dns",
            "state directory": self.state / "state",
            "cache directory": self.directory / "cache",
            "lock directory": self.directory / "lock",
            "pid directory": self.directory / "run",
            "ncalrpc dir": self.directory / "ncalrpc",
            "ntp signd socket directory": self.directory / "signd",
            "log file": self.directory / "log.samba",
            "tls keyfile": key,
            "tls certfile": certificate,
            "tls cafile": self.authority.file,
        }
        lines = [
            "[global]",
            f"netbios name = {HOST.partition('.')[0].upper()}",
            f"realm = {REALM}",
            "workgroup = CORP",
            "server role = active directory domain controller",
            f"server services = {SERVICES}",
            f"interfaces = {self.machine.address}",
            "bind interfaces only = yes",
            "idmap_ldb:use rfc2307 = yes",
            *(f"{name} = {place}" for name, place in places.items()),
        ]
        return "\n".join(lines) + "\n"

    def _answers(self) -> bool:
        return self.machine.answers(LDAPS_PORT)


def recipe(*sources: Path) -> str:
    """Names what a kept controller is made from: these files and this Samba."""
    version = run(["samba", "--version"])
    digest = hashlib.sha256(f"{version}{cache_of.recipe([Path(__file__), *sources])}".encode())
    return digest.hexdigest()[:16]

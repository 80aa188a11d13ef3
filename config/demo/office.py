"""The demo's office: a server, a LAN and PCs that joined it, driven only as a company would drive them.

Everything an administrator does is done by `vrasctl`, everything a PC does by its own `vrasnode`.
"""

import json
import secrets
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import urllib3
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from config.demo import lan, pcs
from config.demo.bootimage import MARKER
from config.demo.company import SERVER_NAME, Company
from config.demo.processes import Child, run
from config.demo.server import ADMIN, ROOT, DemoServer
from config.demo.standing import Standing
from config.demo.workplace import SESSION
from vrasnode.errors import HostBroken
from vrasnode.machines.hypervisor import Answer, Hypervisor

GROUP = "sales"
IMAGE = "office-desktop"
CLIENT_VM = "client-vm"
SERVICE_IMAGE = "virtual-server"
AGENT = (sys.executable, "-m", "vrasnode")
SIMULATED = "simulated"  # their group, and the beginning of their names
ASK_LIMIT_S, SESSION_LIMIT_S = 30.0, 150.0
CUSTODIANS = ("Legal", "Information security")
PORT = 8000  # of the server inside the LAN
GATEWAY_PORT = 8443
# `… HOSTS COMMAND …`: a machine finds others by their names, as in a company.
_WITH_HOSTS = 'mount --bind "$1" /etc/hosts && shift && exec "$@"'
_KNOWING = ("unshare", "--mount", "--propagation", "slave", "sh", "-c", _WITH_HOSTS, "sh")


@dataclass(frozen=True)
class Proof:
    """What a guest answered: our nonce, and the SHA-256 (hex) of the file that only one version holds."""

    nonce: str
    sha256: str


class DemoPc:
    """A PC of the demo: its place in the LAN, its libvirtd, its state directory and its agent.

    `hosts` is a file with the names that it knows.
    """

    def __init__(
        self,
        name: str,
        lab: pcs.LabPc,
        directory: Path,
        *,
        server_url: str,
        hosts: Path | None = None,
        agent: Sequence[str] = AGENT,
    ) -> None:
        self.name = name
        self.lab = lab
        self.directory = directory
        self._server_url = server_url
        self._hosts = hosts
        self.agent = Child(
            f"agent of {name}",
            self._command(
                [
                    *(*agent, "run", "--state", str(self.state)),
                    *("--hypervisor", lab.uri, "--lan-bridge", lan.LAN_BRIDGE),
                    "--allow-unencrypted-state",  # a demo's disk is whatever it is; every screen says so
                ]
            ),
            log=directory / "agent.log",
            env={"PYTHONPATH": str(ROOT)},
        )

    @property
    def state(self) -> Path:
        """The agent's state directory."""
        return self.directory / "state"

    @property
    def enrolled(self) -> bool:
        return (self.state / "installation.json").exists()

    def enrol(self, token_file: Path) -> None:
        """Joins the installation as a PC would."""
        command = [sys.executable, "-m", "vrasnode", "enroll", "--server", self._server_url]
        more = ["--token-file", str(token_file), "--state", str(self.state), "--name", self.name]
        run(self._command([*command, *more]), env={"PYTHONPATH": str(ROOT)})

    def run_in_desktop(self, *command: str, stdin: bytes = b"") -> Answer:
        """How a command ended inside the client VM. Raises VrasError."""
        hypervisor = Hypervisor(self.lab.uri)
        try:
            return hypervisor.ask(CLIENT_VM, command, timeout_s=SESSION_LIMIT_S, stdin=stdin)
        finally:
            hypervisor.close()

    def log_on(self, user: str, password: str) -> str:
        """A user logs on in the client VM; what their logon script said. Raises HostBroken(no_documents)."""
        answer = self.run_in_desktop(SESSION, user, stdin=f"{password}\n".encode())
        said = answer.errors.decode(errors="replace").strip()
        if answer.exit_code:
            raise HostBroken("no_documents", f"{user} has no documents on {self.name}: {said}")
        return said

    def as_user(self, user: str, command: str, *, stdin: bytes = b"") -> Answer:
        """How a shell command of this user ended inside the client VM. Raises VrasError."""
        return self.run_in_desktop(SESSION, user, command, stdin=stdin)

    def shut_down_desktop(self) -> None:
        """What the user does at the end of the day: shuts the client VM down."""
        hypervisor = Hypervisor(self.lab.uri)
        try:
            hypervisor.shut_down(CLIENT_VM)
        finally:
            hypervisor.close()

    def desktop_answers(self) -> bool:
        """Whether the client VM is up."""
        hypervisor = Hypervisor(self.lab.uri)
        try:
            return hypervisor.ping(CLIENT_VM)
        finally:
            hypervisor.close()

    def guest_boot_id(self) -> str:
        """Names the guest's present start: another one after each boot."""
        hypervisor = Hypervisor(self.lab.uri)
        try:
            answer = hypervisor.ask(
                CLIENT_VM, ["cat", "/proc/sys/kernel/random/boot_id"], timeout_s=ASK_LIMIT_S
            )
        finally:
            hypervisor.close()
        return answer.output.decode().strip()

    def _command(self, argv: Sequence[str]) -> list[str]:
        if self._hosts is None:
            return self.lab.command(argv)
        return self.lab.command([*_KNOWING, str(self._hosts), *argv])

    def prove(self, *, hypervisor: Hypervisor | None = None) -> Proof:
        """Asks the guest for a fresh nonce back, with the hash of its marker file. Raises VrasError."""
        asked = hypervisor or Hypervisor(self.lab.uri)
        nonce = secrets.token_hex(16)
        try:
            script = f'echo "$0"; sha256sum {MARKER}'
            answer = asked.ask(CLIENT_VM, ["/bin/sh", "-c", script, nonce], timeout_s=ASK_LIMIT_S)
        finally:
            if hypervisor is None:
                asked.close()
        words = answer.output.decode(errors="replace").split()
        if answer.exit_code or len(words) < 2 or words[0] != nonce:
            raise HostBroken("not_proven", f"{self.name}: the guest answered {answer.output[:200]!r}.")
        return Proof(nonce=nonce, sha256=words[1])


class Office(Standing):
    """Server, LAN and `count` PCs, running inside the context, gone after it; state stays in `data`.

    `full`: a company with a directory, and user data on the PCs; else local accounts, and none. `agent` is
    the command of the PCs' agents.
    """

    def __init__(
        self,
        data: Path,
        *,
        port: int,
        count: int,
        cache: Path,
        say: Callable[[str], None],
        simulated: int = 0,
        full: bool = False,
        server_env: Mapping[str, str] | None = None,
        agent: Sequence[str] = AGENT,
    ) -> None:
        self.data = data.resolve()
        self._full = full
        self._server_env = server_env or {}
        self._agent = agent
        self.company: Company | None = None
        self._simulated = simulated
        self.cache = cache
        self._say = say
        self._count = count
        self._port = port
        self.pcs: list[DemoPc] = []
        self.crowd: Child | None = None  # the process in which the simulated PCs are
        self.server: DemoServer
        self.network: lan.Lan

    def _stand_up(self, undo: ExitStack) -> None:
        for sweep in (pcs.sweep_stale, lan.sweep_stale):
            for name in sweep():
                self._say(f"Removed what an earlier run left: {name}")
        self.data.mkdir(parents=True, exist_ok=True, mode=0o700)
        network = self.network = undo.enter_context(lan.Lan())
        env = dict(self._server_env)
        if self._full:
            company = Company(network, cache=self.cache, share=self.data / "nas")
            self.company = undo.enter_context(company)
            self._hosts.write_text(_hosts_text(company.hosts))
            env = {**company.server_env(), **_replicas(network.address), **env}
        # PCs keep the address that they enrolled with, so the port inside the LAN is always the same.
        listener = network.open_listener(PORT)
        self.server = undo.enter_context(
            DemoServer(
                self.data / "server",
                port=self._port,
                listeners=[listener],
                env=env,
                wrap=partial(self._on_lan, network) if self._full else list,
            )
        )
        self._join_all(network, undo)

    @property
    def children(self) -> list[Child]:
        crowd = [self.crowd] if self.crowd else []
        return [*self.server.children, *(pc.agent for pc in self.pcs), *crowd]

    def ctl(self, *arguments: str) -> Any:
        """What `vrasctl -o json …` answers. Raises HostBroken with its words."""
        output = run([sys.executable, "-m", "vrasctl", "-o", "json", *arguments], env=self._ctl_env)
        return json.loads(output) if output.strip() else None

    def furnish(self) -> None:
        """What an administrator does once: log in, group, image, publisher's key, PCs."""
        password = str(self.server.password_file)
        self.ctl("login", "--server", self.server.url, "--username", ADMIN, "--password-file", password)
        key = self.ctl("key", "register")
        if key["state"] != "endorsed":
            self.server.manage("keys", "endorse", key["fingerprint"])
        if GROUP not in [group["name"] for group in self.ctl("group", "list")]:
            self.ctl("group", "create", GROUP)
        if IMAGE not in [image["name"] for image in self.ctl("image", "list")]:
            self.ctl("image", "create", IMAGE, "--health-command", "/usr/sbin/openvras-healthy")
        if self._full:
            self._appoint_custodians()
        for pc in self.pcs:
            if not pc.enrolled:
                self.enrol(pc)
            self._undo.enter_context(pc.agent)
        if self._simulated:
            self.crowd = self._undo.enter_context(self._simulate(self._simulated))

    def rest(self, method: str, path: str, body: object = None, *, revision: str = "") -> Any:
        """One REST call as the administrator; `revision` is what If-Match says. Raises
        HostBroken(rest_refused)."""
        kept = json.loads((self.data / "administrator" / "openvras" / "vrasctl.json").read_text())
        answer = urllib3.request(
            method,
            self.server.url + path,
            json=body,
            headers={
                "Authorization": f"Bearer {kept['token']}",
                **({"If-Match": revision} if revision else {}),
            },
            timeout=30,
            retries=False,
        )
        if answer.status >= 400:
            raise HostBroken("rest_refused", f"{method} {path}: {answer.status} {answer.data.decode()}")
        return answer.json() if answer.data else None

    def give_virtual_servers(self, disk: Path) -> None:
        """Every PC gets a virtual server, once."""
        if SERVICE_IMAGE in [image["name"] for image in self.ctl("image", "list")]:
            return
        self.ctl("image", "create", SERVICE_IMAGE, "--machine", "virtual-server")
        self.ctl("image", "publish", str(disk), "--name", SERVICE_IMAGE, "--note", "first version")
        self.ctl("distribute", SERVICE_IMAGE, "--group", GROUP, "--now", "--wait")

    def _appoint_custodians(self) -> None:
        """Two people who could recover data together; each keeps a key of their own."""
        if self.rest("GET", "/api/v1/custodians/")["results"]:
            return
        place = self.data / "custodians"
        place.mkdir(exist_ok=True, mode=0o700)
        for number, name in enumerate(CUSTODIANS, start=1):
            key = X25519PrivateKey.generate()
            file = place / f"{number}.key"
            file.touch(mode=0o600)
            file.write_bytes(key.private_bytes_raw())
            public_key = key.public_key().public_bytes_raw().hex()
            custodian = {"name": name, "place": number, "public_key": public_key}
            self.rest("POST", "/api/v1/custodians/", custodian)

    def received_bytes(self) -> int:
        """Bytes that came to all PCs over their network cables."""
        return sum(pc.lab.place.received_bytes() for pc in self.pcs)

    def enrol(self, pc: DemoPc) -> None:
        """Lets a PC join, approved beforehand."""
        token = self.data / f"{pc.name}.token"
        self.ctl("pc", "token", "--group", GROUP, "--approved", "--output", str(token))
        pc.enrol(token)
        token.unlink()

    @property
    def _hosts(self) -> Path:
        """What the company's machines find under which name."""
        return self.data / "hosts"

    def _on_lan(self, network: lan.Lan, argv: Sequence[str]) -> list[str]:
        return network.command([*_KNOWING, str(self._hosts), *argv])

    def _simulate(self, count: int) -> Child:
        """PCs that are programs, in a group of their own; they keep no image bytes."""
        if SIMULATED not in [group["name"] for group in self.ctl("group", "list")]:
            self.ctl("group", "create", SIMULATED, "--note", "simulated PCs: programs, no hardware")
        place = self.data / "simulated"
        place.mkdir(exist_ok=True, mode=0o700)
        command = ["simulate", "--server", self.server.url, "--state", str(place), "--prefix", SIMULATED]
        more = ["--pcs", str(count), "--images", "none", "--fail-rate", "0.05"]
        new = count - len(list(place.glob(f"{SIMULATED}-*/identity/certificate.pem")))
        if new > 0:
            tokens = place / "tokens"
            tokens.unlink(missing_ok=True)
            joining = ["--group", SIMULATED, "--approved", "--count", str(new), "--output", str(tokens)]
            self.ctl("pc", "token", *joining)
            more += ["--token-file", str(tokens)]
        log = self.data / "simulated.log"
        return Child(
            "simulated PCs",
            [sys.executable, "-m", "vrasnode", *command, *more],
            log=log,
            env={"PYTHONPATH": str(ROOT)},
        )

    def _join_all(self, network: lan.Lan, undo: ExitStack) -> None:
        url, hosts = f"http://{network.address}:{PORT}", None
        if self._full:
            url, hosts = f"http://{SERVER_NAME}:{PORT}", self._hosts
        for number in range(1, self._count + 1):
            name = f"pc-{number}"
            lab = pcs.LabPc(network.join(name), self.data / name / "libvirt", cache=self.cache / "qemu")
            self.pcs.append(
                DemoPc(name, lab, self.data / name, server_url=url, hosts=hosts, agent=self._agent)
            )
        with ThreadPoolExecutor(max_workers=4) as crew:
            for pc in self.pcs:
                undo.callback(pc.lab.stop)
            list(crew.map(lambda pc: pc.lab.start(), self.pcs))

    @property
    def _ctl_env(self) -> dict[str, str]:
        return {
            "XDG_CONFIG_HOME": str(self.data / "administrator"),
            "PYTHONPATH": str(ROOT),
            "OPENVRAS_SERVER": self.server.url,
        }


def _replicas(address: str) -> dict[str, str]:
    """The gateway makes its certificate itself."""
    return {
        "OPENVRAS_GATEWAY_URL": f"https://{address}:{GATEWAY_PORT}",
        "OPENVRAS_REPLICA_SPREAD_MIN": "0",
    }


def _hosts_text(addresses: Mapping[str, str]) -> str:
    return "".join(f"{at} {name}\n" for name, at in {"localhost": "127.0.0.1", **addresses}.items())


def ended(children: Sequence[Child]) -> list[str]:
    """What to tell of children that ended, with the end of their logs."""
    return [
        f"{child.name} ended with {code}. {child.log}:\n{child.tail()}"
        for child in children
        if (code := child.exited()) is not None
    ]

"""The demo's office: a server, a LAN and PCs that joined it, driven only as a company would drive them.

Everything an administrator does is done by `vrasctl`, everything a PC does by its own `vrasnode`.
"""

import json
import secrets
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from config.demo import lan, pcs
from config.demo.bootimage import MARKER
from config.demo.processes import Child, run
from config.demo.server import ADMIN, ROOT, DemoServer
from vrasnode.errors import HostBroken
from vrasnode.hypervisor import Hypervisor

GROUP = "sales"
IMAGE = "office-desktop"
CLIENT_VM = "client-vm"
SIMULATED = "simulated"  # their group, and the beginning of their names
ASK_LIMIT_S = 30.0


@dataclass(frozen=True)
class Proof:
    """What a guest answered: our nonce, and the SHA-256 (hex) of the file that only one version holds."""

    nonce: str
    sha256: str


class DemoPc:
    """A PC of the demo: its place in the LAN, its libvirtd, its state directory and its agent."""

    def __init__(self, name: str, lab: pcs.LabPc, directory: Path, *, server_url: str) -> None:
        self.name = name
        self.lab = lab
        self.directory = directory
        self._server_url = server_url
        self.agent = Child(
            f"agent of {name}",
            lab.command(
                [
                    *(sys.executable, "-m", "vrasnode", "run", "--state", str(self.state)),
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
        run(self.lab.command([*command, *more]), env={"PYTHONPATH": str(ROOT)})

    def shut_down_desktop(self) -> None:
        """What the user does at the end of the day: shuts the client VM down."""
        hypervisor = Hypervisor(self.lab.uri)
        try:
            hypervisor.shut_down(CLIENT_VM)
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


class Office:
    """Server, LAN and `count` PCs, running inside the context, gone after it; state stays in `data`."""

    def __init__(
        self,
        data: Path,
        *,
        port: int,
        count: int,
        cache: Path,
        say: Callable[[str], None],
        simulated: int = 0,
    ) -> None:
        self.data = data.resolve()
        self._simulated = simulated
        self.cache = cache
        self._say = say
        self._count = count
        self._port = port
        self._undo = ExitStack()
        self.pcs: list[DemoPc] = []
        self.crowd: Child | None = None  # the process in which the simulated PCs are
        self.server: DemoServer

    def __enter__(self) -> Self:
        for sweep in (pcs.sweep_stale, lan.sweep_stale):
            for name in sweep():
                self._say(f"Removed what an earlier run left: {name}")
        with ExitStack() as undo:
            self.data.mkdir(parents=True, exist_ok=True, mode=0o700)
            network = undo.enter_context(lan.Lan())
            # PCs keep the address that they enrolled with, so the port inside the LAN is always the same.
            listener = network.open_listener(8000)
            self.server = undo.enter_context(
                DemoServer(self.data / "server", port=self._port, listeners=[listener])
            )
            self._join_all(network, undo)
            self._undo = undo.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._undo.close()

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
        for pc in self.pcs:
            if not pc.enrolled:
                self._enrol(pc)
            self._undo.enter_context(pc.agent)
        if self._simulated:
            self.crowd = self._undo.enter_context(self._simulate(self._simulated))

    def received_bytes(self) -> int:
        """Bytes that came to all PCs over their network cables."""
        return sum(pc.lab.place.received_bytes() for pc in self.pcs)

    def _enrol(self, pc: DemoPc) -> None:
        token = self.data / f"{pc.name}.token"
        self.ctl("pc", "token", "--group", GROUP, "--approved", "--output", str(token))
        pc.enrol(token)
        token.unlink()

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
        url = f"http://{network.address}:8000"
        for number in range(1, self._count + 1):
            name = f"pc-{number}"
            lab = pcs.LabPc(network.join(name), self.data / name / "libvirt", cache=self.cache / "qemu")
            self.pcs.append(DemoPc(name, lab, self.data / name, server_url=url))
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


def ended(children: Sequence[Child]) -> list[str]:
    """What to tell of children that ended, with the end of their logs."""
    return [
        f"{child.name} ended with {code}. {child.log}:\n{child.tail()}"
        for child in children
        if (code := child.exited()) is not None
    ]

"""The emulated PC as a member of a real installation: its agent, its machines, what the server knows of it.

The administrator works with vrasctl and REST, the PC with its own `vrasnode`; what is true the guest says.
"""

import json
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import urllib3

from tests.lab.outer import probe
from tests.lab.outer.machine import HOST, Outer
from tests.lab.server import Server
from tests.vrasctl.conftest import administrator_of
from vrasnode.localpage import part

STATE = "/var/lib/openvras"
AGENT_LOG = "/var/log/openvras.log"
CLIENT_VM, VIRTUAL_SERVER = "client-vm", "virtual-server"
GROUP = "laboratory"
PROBE = "probe"  # the client VM's image
WITHIN_S = 90.0  # for anything in the emulated PC, on a busy machine
LOOK_S = 0.3

Rules = Sequence[dict[str, Any]]


class Member:
    """One emulated PC and the server that it belongs to."""

    def __init__(self, server: Server, outer: Outer, directory: Path) -> None:
        self.server = server
        self.outer = outer
        self._directory = directory
        self.administrator = administrator_of(server, directory)
        self._token = server.new_token()
        self._agent: int | None = None
        self._policies = 0
        self._policy: tuple[Rules, dict[str, str]] = ((), {})
        self._id = ""

    def enrol(self) -> None:
        """The PC joins, approved, in a group of its own."""
        self.administrator.must("group", "create", GROUP)
        file = self._directory / "enrolment"
        self.administrator.must("pc", "token", "--group", GROUP, "--approved", "--output", str(file))
        url = f"http://{HOST}:{urllib3.util.parse_url(self.server.url).port}"
        joining = ["vrasnode", "enroll", "--state", STATE, "--server", url, "--name", self.outer.name]
        self.outer.run(*joining, "--token-file", "-", stdin=file.read_bytes(), timeout_s=WITHIN_S)
        file.unlink()
        self._id = self.administrator.json("pc", "show", self.outer.name)["id"]

    def publish(self, name: str, disk: Path, *more: str) -> None:
        """A new image with this disk as its first version; `more` are options of `image create`."""
        self.administrator.must("image", "create", name, *more)
        self.administrator.must("image", "publish", str(disk), "--name", name)

    def publish_probe(self) -> None:
        """The guest that looks at its own devices, as the client VM's image."""
        disk = self._directory / "probe.raw"
        probe.make_disk(disk)
        self.publish(PROBE, disk, "--no-agent", "--health-within", "5")

    def distribute(self, name: str) -> int:
        """Brings the first version of an image to the PC, at once; the distribution's id."""
        return int(self.administrator.json("distribute", f"{name}@1", "--group", GROUP, "--now")["id"])

    def delivered(self, distribution: int) -> bool:
        """Whether that version runs; a delivery that failed is an AssertionError."""
        path = f"/api/v1/deliveries/?distribution={distribution}"
        (delivery,) = self._rest("GET", path)["results"]
        assert delivery["state"] not in ("failed", "superseded"), delivery
        return bool(delivery["state"] == "booted")

    def start_agent(self) -> None:
        """Starts `vrasnode run`, as the PC's init would."""
        shape = ["--lan-bridge", "lan0", "--memory-mib", "160"]
        self._agent = self.outer.spawn(AGENT_LOG, "vrasnode", "run", "--state", STATE, *shape)

    def kill_agent(self) -> None:
        """kill -9."""
        assert self._agent is not None
        self.outer.sh('kill -9 "$1"; while kill -0 "$1" 2>/dev/null; do sleep 0.1; done', str(self._agent))
        self._agent = None

    def set_policy(self, rules: Rules, **more: str) -> None:
        """Replaces the device policy of the PC's group; returns when it lies on the PC. Sleep is allowed: in
        there is nothing that could forbid it."""
        told = self.put_policy(rules, **more)
        if self._agent is not None:
            look = ["grep", "-rqs", told, f"{STATE}/slices"]
            self.wait("the policy's arrival", lambda: self.outer.ask(look).code == 0)

    def put_policy(self, rules: Rules, **more: str) -> str:
        """What the administrator's click does; returns words that the PC's copy will hold."""
        self._policies += 1
        told = f"policy {self._policies} of this run"  # by which the PC's copy is recognised
        mark = {"verdict": "hide", "bus": "optical", "port": "sr99", "note": told}
        body = {"rules": [*rules, mark], "suspend": "allowed", **more}
        self._rest("PUT", f"/api/v1/groups/{GROUP}/device-policy/", body)
        self._policy = rules, more
        return told

    def bring(self, rules: Rules, **more: str) -> None:
        """Has the client VM run as it does when started under this policy, whatever was before."""
        self.bring_up()
        if (rules, more) != self._policy:
            self.set_policy(rules, **more)
            self.restart_client_vm()
        self.wait("a look of the guest at its devices", lambda: self.last_scan() >= 1)

    def bring_up(self) -> None:
        """Agent and client VM run, whatever was before."""
        if self._agent is None:
            self.start_agent()
        self.wait("the client VM", lambda: self.on(CLIENT_VM))

    def restart_client_vm(self) -> None:
        """The user shuts it down; the agent starts it again."""
        # A power button pressed while the firmware still works is heard by nobody.
        self.wait("a guest that listens", lambda: self.last_scan() >= 0)
        before = self.process(CLIENT_VM)
        self.outer.run("virsh", "shutdown", CLIENT_VM)
        self.wait("the client VM's next start", lambda: self.process(CLIENT_VM) not in ("", before))

    def devices(self) -> dict[str, dict[str, Any]]:
        """What the server shows of the PC's devices, by PCI address, USB port or optical node."""
        found = self._rest("GET", f"/api/v1/clients/{self._id}/devices/")["devices"]
        return {device["key"]: device for device in found}

    def set_wifi(self, wish: dict[str, Any] | None) -> None:
        """The Wi-Fi of the PC's group; None: it has none."""
        self._rest("DELETE" if wish is None else "PUT", f"/api/v1/groups/{GROUP}/wifi/", wish)

    def wifi(self) -> dict[str, Any]:
        """How its Wi-Fi stands, as the server knows it."""
        found: dict[str, Any] = self._rest("GET", f"/api/v1/clients/{self._id}/devices/")["wifi"] or {}
        return found

    def plan(self) -> dict[str, dict[str, Any]]:
        """What the PC itself says of them."""
        found = json.loads(self.outer.run("vrasnode", "plan", "--state", STATE, "--json"))["devices"]
        return {device["key"]: device for device in found}

    def told_at(self) -> datetime:
        """When the PC last said how its devices stand."""
        return datetime.fromisoformat(
            self._rest("GET", f"/api/v1/clients/{self._id}/devices/")["reported_at"]
        )

    def events(self, verb: str) -> list[dict[str, Any]]:
        """What the audit log says of that, newest first."""
        found = self.administrator.json("events")
        return [event["after"] for event in found if event["verb"] == verb]

    def on(self, name: str) -> bool:
        """Whether a machine runs."""
        return self.outer.ask(["virsh", "domstate", name]).output.strip() == "running"

    def process(self, name: str) -> str:
        """The pid of a machine's QEMU; "" when it is off."""
        return self.outer.ask(["cat", f"/run/libvirt/qemu/{name}.pid"]).output.strip()

    def driver(self, address: str) -> str:
        """Which driver of the control base has a PCI function."""
        return Path(self.outer.run("readlink", f"/sys/bus/pci/devices/{address}/driver").strip()).name

    def seen(self) -> list[str]:
        """What the probe guest said since it was started last."""
        return self.console().rpartition("probe begins\n")[2].splitlines()

    def console(self) -> str:
        """What the client VM wrote to its serial line since it was started last."""
        return self.outer.ask(["cat", f"{STATE}/desktop/console.log"]).output.replace("\r\n", "\n")

    def last_scan(self) -> int:
        """The number of the guest's last look at all that it can find; -1 before the first."""
        return next((int(line.split()[1]) for line in reversed(self.seen()) if line.startswith("scan ")), -1)

    def usb_count(self) -> int:
        """How many USB devices hang on the guest's controllers now, as it sees it."""
        whole = self.seen()[:-1]  # the last line may be half written
        lines = [line.split() for line in whole if line.startswith("xhci ")]
        return sum(int(bits, 16).bit_count() for bits in {words[1]: words[3] for words in lines}.values())

    def look_again(self) -> int:
        """Lets the guest look at everything once more; how many USB devices it found."""
        after = self.last_scan()
        self.wait("another look of the guest", lambda: self.last_scan() >= after + 2)
        return self.usb_count()

    def ping_virtual_server(self) -> str:
        """Asks the program in the virtual server, while no agent does; names its run."""
        script = (
            "import sys; from pathlib import Path\n"
            "from vrasnode.machines.controlchannel import ControlChannel\n"
            "print(ControlChannel(Path(sys.argv[1])).call('ping', timeout_s=30)['session'])"
        )
        asking = ["env", "PYTHONPATH=/payload/packages", "python3", "-c", script, f"{STATE}/service/control"]
        return self.outer.run(*asking)

    def serves_files(self) -> bool:
        """Whether the virtual server takes connections for files, on the network inside the PC."""
        script = "import socket, sys; socket.create_connection((sys.argv[1], 445), 10)"
        return self.outer.ask(["python3", "-c", script, str(part.VIRTUAL_SERVER)]).code == 0

    def agent_log(self) -> str:
        """The end of what the agents said."""
        return self.outer.ask(["tail", "-n", "40", AGENT_LOG]).output

    def wait(self, what: str, so: Callable[[], bool], *, within_s: float = WITHIN_S) -> float:
        """Returns when it is so, with the seconds that it took. Fails with the agent's last words."""
        begun = time.monotonic()
        while not so():
            late = time.monotonic() - begun > within_s
            assert not late, f"{what}: not within {within_s} s\n{self.agent_log()}"
            time.sleep(LOOK_S)
        return time.monotonic() - begun

    def _rest(self, method: str, path: str, body: object = None) -> Any:
        headers = {"Authorization": f"Bearer {self._token}", "If-Match": "*"}
        answer = urllib3.request(
            method, self.server.url + path, json=body, headers=headers, retries=False, timeout=30
        )
        assert answer.status < 400, f"{method} {path}: {answer.status} {answer.data.decode()}"
        return json.loads(answer.data) if answer.data else None

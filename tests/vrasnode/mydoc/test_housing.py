"""The virtual server as volumes need it, and the client VM that is told: the hypervisor follows a script."""

import json
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from vrasnode.domainxml import Attached, Profile, attached_of
from vrasnode.errors import HostBroken, Refused, Unreachable
from vrasnode.machines.controlchannel import ControlChannel
from vrasnode.machines.guestagent import Answer
from vrasnode.mydoc.housing import VirtualServerHousing

VOLUME = "0b6f5c1e-6a63-4c3e-9d4e-3f4bb1a7a001"
SECRET = {"server": "100.127.255.242", "password": "s3cret", "owner": "アリス"}


class Machines:
    """What was done; `answer` is the client VM's."""

    def __init__(self) -> None:
        self.plugged: list[str] = []
        self.said: list[tuple[tuple[str, ...], bytes]] = []
        self.links: list[bool] = []
        self.off: list[str] = []
        self.answer: Answer | Exception = Answer(exit_code=0, output=b"")
        self.hangs: threading.Event | None = None
        self.fails: Exception | None = None

    def destroy(self, name: str) -> None:
        self.off.append(name)

    def attached(self, name: str) -> Sequence[Attached]:
        assert name == "virtual-server"
        return attached_of(f"<domain><devices>{''.join(self.plugged)}</devices></domain>")

    def attach(self, name: str, device_xml: str) -> None:
        self.plugged.append(device_xml)

    def detach(self, name: str, alias: str, *, wait_s: float) -> None:
        self.plugged = [one for one in self.plugged if alias not in one]

    def set_link(self, name: str, mac: str, *, up: bool) -> None:
        if self.hangs is not None:
            self.hangs.wait()
        if self.fails:
            raise self.fails
        self.links.append(up)

    def ask(self, name: str, command: Sequence[str], *, timeout_s: float, stdin: bytes = b"") -> Answer:
        assert name == "client-vm"
        self.said.append((tuple(command), stdin))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def machines() -> Iterator[Machines]:
    machines = Machines()
    yield machines
    if machines.hangs:
        machines.hangs.set()


def housing_of(machines: Machines, tmp_path: Path, profile: Profile = Profile.LINUX) -> VirtualServerHousing:
    return VirtualServerHousing(
        machines=machines,
        channel=ControlChannel(tmp_path / "control"),
        virtual_server="virtual-server",
        client_vm="client-vm",
        mac="02:00:00:00:00:07",
        get_profile=lambda: profile,
    )


def test_a_volume_is_plugged_in_and_out_by_its_name(machines: Machines, tmp_path: Path) -> None:
    housing = housing_of(machines, tmp_path)
    assert not housing.holds(VOLUME)

    housing.plug(VOLUME, tmp_path / "socket")
    held = housing.holds(VOLUME)
    other = housing.holds(VOLUME.replace("0b", "1b"))
    housing.unplug(VOLUME, wait_s=1)

    assert (held, other, housing.holds(VOLUME)) == (True, False, False)


@pytest.mark.parametrize("profile", list(Profile))
def test_the_client_vm_is_told_by_stdin_alone(profile: Profile, machines: Machines, tmp_path: Path) -> None:
    housing_of(machines, tmp_path, profile).tell(SECRET)

    ((command, said),) = machines.said
    assert json.loads(said) == SECRET
    assert "s3cret" not in " ".join(command)


@pytest.mark.parametrize(
    ("errors", "code"),
    [
        (b"mount_failed: No route to host\n", "mount_failed"),
        (b"sh: 1: not found", "client_vm_refused"),
        (b"", "client_vm_refused"),
        (b"\xff\xff: \xff", "client_vm_refused"),
    ],
)
def test_a_no_of_the_client_vm_has_its_code(
    errors: bytes, code: str, machines: Machines, tmp_path: Path
) -> None:
    machines.answer = Answer(exit_code=1, output=b"", errors=errors)

    with pytest.raises(Refused) as refused:
        housing_of(machines, tmp_path).tell(SECRET)

    assert refused.value.code == code
    assert "s3cret" not in str(refused.value)


def test_a_client_vm_that_is_off_is_said(machines: Machines, tmp_path: Path) -> None:
    machines.answer = Unreachable("guest_silent", "Off.")

    with pytest.raises(Unreachable):
        housing_of(machines, tmp_path).tell(SECRET)


def test_a_cable_that_hangs_or_fails_holds_nobody_up(machines: Machines, tmp_path: Path) -> None:
    housing = housing_of(machines, tmp_path)
    machines.hangs = threading.Event()

    housing.pull_cable()

    machines.hangs.set()
    machines.fails = HostBroken("link_failed", "No.")
    housing.push_cable()

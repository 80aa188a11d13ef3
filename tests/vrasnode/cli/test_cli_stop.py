"""The PC shuts down: who ends when."""

from pathlib import Path

import pytest

from vrasnode import statelock
from vrasnode.cli.main import main
from vrasnode.cli.stop import ORDER, end
from vrasnode.machines.hypervisor import MachineState


class Machines:
    """Machines that end so many seconds after they were asked; None: never."""

    def __init__(self, **ends_after: float | None) -> None:
        self.now = 0.0
        self.ends_after = ends_after
        self.asked: dict[str, float] = {}
        self.calls: list[str] = []
        self.off: set[str] = set()

    def shut_down(self, name: str) -> None:
        self.calls.append(f"ask {name}")
        self.asked.setdefault(name, self.now)

    def destroy(self, name: str) -> None:
        self.calls.append(f"switch off {name}")
        self.off.add(name)

    def state(self, name: str) -> MachineState:
        if name not in self.ends_after:
            return MachineState.ABSENT
        after = self.ends_after[name]
        if after is not None and name in self.asked and self.now >= self.asked[name] + after:
            self.off.add(name)
        return MachineState.STOPPED if name in self.off else MachineState.RUNNING

    def pause(self, seconds: float) -> None:
        self.now += seconds

    def end(self, name: str) -> bool:
        return end(self, name, timeout_s=60, clock=lambda: self.now, pause=self.pause)


def test_the_virtual_server_ends_last() -> None:
    assert ORDER == ("client-vm", "virtual-server")


def test_a_machine_is_asked_and_waited_for() -> None:
    machines = Machines(desktop=5)

    assert machines.end("desktop")
    assert machines.calls == ["ask desktop"]


def test_one_that_did_not_hear_is_asked_again_and_switched_off_in_the_end() -> None:
    machines = Machines(desktop=None)

    assert not machines.end("desktop")
    assert machines.calls == ["ask desktop"] * 6 + ["switch off desktop"]
    assert machines.now == 60


def test_what_is_not_there_is_not_waited_for() -> None:
    machines = Machines()

    assert machines.end("desktop")
    assert (machines.calls, machines.now) == ([], 0)


def test_while_the_agent_runs_it_is_refused_for_that_starts_them_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with statelock.held(tmp_path / "lock"):
        assert main(["stop", "--state", str(tmp_path)]) == 5

    assert "agent_running" in capsys.readouterr().err

"""The PC is held awake where its policy says so. What stands for systemd-inhibit is a program on PATH that
does as it does: it runs its command, and ends with it."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from vrasnode.errors import HostBroken
from vrasnode.machines.sleeping import AGAIN_S, SETTLED_S, Sleeping
from vrasnode.wire.devices import Suspend

INHIBIT = """#!/bin/sh
echo "$@" >> "$HELD.args"
while [ "${1#--}" != "$1" ]; do shift; done
echo $$ > "$HELD.new" && mv "$HELD.new" "$HELD"
"$@"
rm "$HELD"
"""
REFUSE = """#!/bin/sh
echo "$@" >> "$HELD.args"
echo "Failed to inhibit: no bus" >&2
exit 1
"""
WAIT_S = 30.0  # for what comes at once


class Logind:
    """What the program on PATH tells."""

    def __init__(self, directory: Path) -> None:
        self.program = directory / "bin" / "systemd-inhibit"
        self.held = directory / "held"
        self.program.parent.mkdir()

    def does(self, script: str) -> None:
        self.program.write_text(script)
        self.program.chmod(0o755)

    def is_blocking(self) -> bool:
        return self.held.exists()

    def pid(self) -> int:
        return int(self.held.read_text())

    def asked(self) -> list[str]:
        log = self.held.with_suffix(".args")
        return log.read_text().splitlines() if log.exists() else []


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def until(condition: Callable[[], bool]) -> None:
    """Waits for another process, which has until WAIT_S."""
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, "that did not happen"
        time.sleep(0.01)


@pytest.fixture
def logind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Logind:
    found = Logind(tmp_path)
    monkeypatch.setenv("PATH", f"{found.program.parent}:/usr/bin:/bin")
    monkeypatch.setenv("HELD", str(found.held))
    found.does(INHIBIT)
    return found


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sleeping(clock: Clock) -> Iterator[Sleeping]:
    made = Sleeping(clock=clock)
    yield made
    made.close()


@pytest.mark.parametrize("suspend", [Suspend.BLOCKED, Suspend.HIBERNATE])
def test_a_pc_that_may_not_sleep_is_held_awake(logind: Logind, sleeping: Sleeping, suspend: Suspend) -> None:
    sleeping.enforce(suspend)

    until(logind.is_blocking)
    assert "handle-lid-switch" in logind.asked()[0]
    assert "--mode=block" in logind.asked()[0]


def test_a_pc_that_may_sleep_is_not(logind: Logind, sleeping: Sleeping) -> None:
    sleeping.enforce(Suspend.ALLOWED)

    assert logind.asked() == []


def test_it_is_asked_for_once(logind: Logind, sleeping: Sleeping, clock: Clock) -> None:
    for _ in range(5):
        sleeping.enforce(Suspend.BLOCKED)
        clock.seconds += AGAIN_S

    until(logind.is_blocking)
    assert len(logind.asked()) == 1


def test_a_policy_that_allows_it_again_lets_the_pc_sleep(logind: Logind, sleeping: Sleeping) -> None:
    sleeping.enforce(Suspend.BLOCKED)
    until(logind.is_blocking)

    sleeping.enforce(Suspend.ALLOWED)

    assert not logind.is_blocking()


def test_what_held_it_awake_and_died_is_replaced(logind: Logind, sleeping: Sleeping, clock: Clock) -> None:
    sleeping.enforce(Suspend.BLOCKED)
    until(logind.is_blocking)
    first = logind.pid()
    os.kill(first, 9)

    def is_said() -> bool:
        try:
            sleeping.enforce(Suspend.BLOCKED)
        except HostBroken:
            return True
        return False

    until(is_said)
    clock.seconds += AGAIN_S
    with pytest.raises(HostBroken):  # until the next one has shown that it stays
        sleeping.enforce(Suspend.BLOCKED)
    until(lambda: logind.pid() != first)
    clock.seconds += SETTLED_S
    sleeping.enforce(Suspend.BLOCKED)


def test_without_the_program_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sleeping: Sleeping
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(HostBroken, match="systemd-inhibit cannot be started") as broken:
        sleeping.enforce(Suspend.BLOCKED)

    assert broken.value.code == "no_inhibitor"


def test_where_logind_says_no_its_words_are_told_and_it_is_asked_again_in_a_minute(
    logind: Logind, sleeping: Sleeping, clock: Clock
) -> None:
    logind.does(REFUSE)
    words = []

    def is_said() -> bool:
        try:
            sleeping.enforce(Suspend.BLOCKED)
        except HostBroken as broken:
            words.append(broken.words)
        return bool(words)

    until(is_said)
    assert "no bus" in words[0]

    with pytest.raises(HostBroken):  # still
        sleeping.enforce(Suspend.BLOCKED)
    assert len(logind.asked()) == 1
    clock.seconds += AGAIN_S
    with pytest.raises(HostBroken):
        sleeping.enforce(Suspend.BLOCKED)
    until(lambda: len(logind.asked()) == 2)


def test_a_trouble_is_over_when_the_policy_allows_sleep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sleeping: Sleeping
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(HostBroken):
        sleeping.enforce(Suspend.BLOCKED)

    sleeping.enforce(Suspend.ALLOWED)


def test_an_agent_that_is_killed_does_not_keep_the_pc_awake(logind: Logind) -> None:
    agent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import time; from vrasnode.machines.sleeping import Sleeping\n"
            "from vrasnode.wire.devices import Suspend\n"
            "held = Sleeping(clock=time.monotonic); held.enforce(Suspend.BLOCKED); input()",
        ],
        stdin=subprocess.PIPE,
    )
    until(logind.is_blocking)

    agent.kill()
    agent.communicate()

    until(lambda: not logind.is_blocking())

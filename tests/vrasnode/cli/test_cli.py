"""The command as a person, a script or systemd uses it: a process with arguments, output and an exit code."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.vrasnode.conftest import member_of
from tests.vrasnode.office import CLIENT_ID, Keys, Office, Published
from vrasnode.wire.clients import ClientState

HYPERVISOR = ["--hypervisor", "test:///default"]
LIMIT_S = 180.0


def vrasnode(*arguments: str | Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "vrasnode", *map(str, arguments)],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


@contextmanager
def running(state: Path) -> Iterator[subprocess.Popen[str]]:
    """An agent as a process, until the end of the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", "vrasnode", "run", "--state", str(state), *HYPERVISOR],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def comes(what: Callable[[], bool]) -> bool:
    """Whether it becomes true before nobody would wait longer."""
    deadline = time.monotonic() + LIMIT_S
    while not what() and time.monotonic() < deadline:
        time.sleep(0.02)
    return what()


@pytest.fixture
def token_file(keys: Keys, tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(keys.token + "\n")
    return path


@pytest.fixture
def state(office: Office, tmp_path: Path) -> Path:
    """The state directory of a PC that is a member."""
    member_of(office, tmp_path / "state" / "identity")
    return tmp_path / "state"


def test_a_pc_enrols_with_a_token_from_a_file(office: Office, token_file: Path, tmp_path: Path) -> None:
    done = vrasnode(
        "enroll",
        "--server",
        office.url,
        "--token-file",
        token_file,
        "--state",
        tmp_path / "state",
        "--name",
        "pc-7",
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout == f"pc-7: approved at {office.url} as {CLIENT_ID}\n"
    assert office.enrolled[0].name == "pc-7"
    assert office.enrolled[0].facts.cpus >= 1
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o711


def test_a_token_comes_by_stdin_as_well_and_is_used_once(office: Office, keys: Keys, tmp_path: Path) -> None:
    command: list[str | Path] = [
        "enroll",
        "--server",
        office.url,
        "--token-file",
        "-",
        "--state",
        tmp_path / "state",
    ]

    first = vrasnode(*command, stdin=keys.token)
    second = vrasnode(*command, stdin=keys.token)

    assert (first.returncode, second.returncode) == (0, 0)
    assert first.stdout == second.stdout
    assert len(office.enrolled) == 1


def test_pending_is_said_and_waiting_has_an_end(office: Office, token_file: Path, tmp_path: Path) -> None:
    office.state = ClientState.PENDING
    command: list[str | Path] = [
        "enroll",
        "--server",
        office.url,
        "--token-file",
        token_file,
        "--state",
        tmp_path / "state",
    ]

    asked = vrasnode(*command)
    waited = vrasnode(*command, "--wait", "--timeout", "0.2")
    office.state = ClientState.APPROVED
    approved = vrasnode(*command, "--wait", "--timeout", "30")

    assert (asked.returncode, waited.returncode, approved.returncode) == (0, 6, 0)
    assert ": pending at" in asked.stdout
    assert ": approved at" in approved.stdout


def test_another_installation_is_refused_before_the_token_is_sent(office: Office, tmp_path: Path) -> None:
    done = vrasnode(
        "enroll", "--server", office.url, "--token-file", "-", "--state", tmp_path / "s", stdin=Keys().token
    )

    assert done.returncode == 3
    assert "wrong_installation" in done.stderr
    assert office.enrolled == []
    assert not (tmp_path / "s" / "identity").exists()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["enroll", "--server", "http://127.0.0.1:9", "--token-file", "{token}"], 4),
        (["enroll", "--server", "nonsense", "--token-file", "{token}"], 3),
        (["enroll", "--server", "http://127.0.0.1:9", "--token-file", "/nowhere"], 3),
        (["enroll"], 3),
        (["run"], 3),
        (["run", "--vcpus", "many"], 2),
    ],
)
def test_each_kind_of_no_has_its_exit_code(
    arguments: list[str], code: int, token_file: Path, tmp_path: Path
) -> None:
    given = [argument.format(token=token_file) for argument in arguments]

    done = vrasnode(*given, "--state", tmp_path / "state")

    assert done.returncode == code
    assert "Traceback" not in done.stderr


def test_a_state_directory_that_cannot_be_made_is_this_pcs_trouble(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    assert vrasnode("run", "--state", tmp_path / "file" / "state").returncode == 5


def test_no_secret_is_in_what_is_printed_or_logged(office: Office, keys: Keys, tmp_path: Path) -> None:
    office.refuse["/node/v1/enrol"] = (403, "token_used")

    done = vrasnode(
        "enroll", "--server", office.url, "--token-file", "-", "--state", tmp_path / "s", stdin=keys.token
    )

    assert done.returncode == 3
    assert "token_used" in done.stderr
    assert "s3cret" not in done.stderr + done.stdout


def test_status_of_a_machine_that_is_nobodys(tmp_path: Path) -> None:
    done = vrasnode("status", "--state", tmp_path / "state", "--json", *HYPERVISOR)

    assert done.returncode == 0
    found = json.loads(done.stdout)
    assert (found["enrolment"], found["agent"], found["current"]) == ("none", "stopped", None)
    assert found["desktop"]["manifest"] is None
    assert not (tmp_path / "state").exists()


def test_status_tells_the_same_while_the_agent_runs_and_after_it(
    office: Office, state: Path, old: Published
) -> None:
    office.assign(old, serial=1)
    with running(state) as agent:
        assert comes((state / "images" / "a.raw").exists)
        during = json.loads(vrasnode("status", "--state", state, "--json", *HYPERVISOR).stdout)
        second = vrasnode("run", "--state", state, *HYPERVISOR)
        agent.send_signal(signal.SIGTERM)
        assert agent.wait(LIMIT_S) == 0
    after = vrasnode("status", "--state", state, *HYPERVISOR).stdout

    assert during["agent"] == "running"
    assert (during["name"], during["client_id"], during["serial"]) == ("pc-1", CLIENT_ID, 1)
    assert second.returncode == 5
    assert "already_running" in second.stderr
    assert "agent: stopped\n" in after
    assert f"server: {office.url}\n" in after


def test_a_killed_agent_leaves_no_lock(office: Office, state: Path) -> None:
    with running(state) as agent:
        assert comes(lambda: bool(office.beats))
        os.kill(agent.pid, signal.SIGKILL)
        agent.wait(LIMIT_S)
    beats = len(office.beats)

    with running(state):
        assert comes(lambda: len(office.beats) > beats)


def test_status_without_libvirt_still_tells_what_is_on_the_disk(state: Path) -> None:
    done = vrasnode(
        "status", "--state", state, "--json", "--hypervisor", "qemu+unix:///system?socket=/nowhere"
    )

    assert done.returncode == 0
    found = json.loads(done.stdout)
    assert found["enrolment"] == "approved"
    assert found["desktop"]["state"] == "unknown"


def test_its_log_lines_begin_with_the_pc_and_the_part(office: Office, state: Path, old: Published) -> None:
    office.assign(old, serial=1)
    with running(state) as agent:
        assert agent.stderr is not None
        lines: list[str] = []
        while not any("staged" in line for line in lines):
            lines.append(agent.stderr.readline())
            assert lines[-1], "it ended before"

    assert any(" pc-1 imaging: accepted Office desktop v1 (serial 1)" in line for line in lines)
    assert any(" pc-1 imaging: staged Office desktop v1 (" in line for line in lines)

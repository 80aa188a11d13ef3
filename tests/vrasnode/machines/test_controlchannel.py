"""The control base's end of the line to the virtual server: a real socket, and a guest that behaves badly."""

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from vrasnode.errors import Refused, Unreachable
from vrasnode.machines.controlchannel import MAX_LINE_BYTES, RECEIVE_BYTES, SILENT_S, ControlChannel, Pulse

LIMIT_S = 180.0
SHORT_S = 0.05


class Guest:
    """What QEMU's socket leads to: takes one connection at a time."""

    def __init__(self, path: Path) -> None:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._listener.settimeout(LIMIT_S)
        self._connection: socket.socket | None = None

    def accept(self) -> None:
        """Takes the next connection, which begins with an empty line."""
        self._connection, _ = self._listener.accept()
        self._connection.settimeout(LIMIT_S)
        self._lines = self._connection.makefile("rb")
        assert self._lines.readline() == b"\n"

    def hear(self) -> dict[str, Any]:
        request: dict[str, Any] = json.loads(self._lines.readline())
        return request

    def line(self) -> bytes:
        return self._lines.readline()

    def say(self, data: bytes) -> None:
        assert self._connection is not None
        self._connection.sendall(data)

    def answer(self, request: dict[str, Any], **answer: Any) -> None:
        self.say(json.dumps({"id": request["id"], **({"ok": True} | answer)}).encode() + b"\n")

    def hang_up(self) -> None:
        if self._connection is not None:
            self._connection.shutdown(socket.SHUT_RDWR)
            self._connection.close()
            self._lines.close()
            self._connection = None

    def close(self) -> None:
        self.hang_up()
        self._listener.close()


@pytest.fixture
def guest(tmp_path: Path) -> Iterator[Guest]:
    guest = Guest(tmp_path / "control")
    yield guest
    guest.close()


@pytest.fixture
def channel(tmp_path: Path) -> Iterator[ControlChannel]:
    channel = ControlChannel(tmp_path / "control")
    yield channel
    channel.close()


def test_what_was_asked_is_overwritten_by_what_nobody_answers(
    guest: Guest, channel: ControlChannel, tmp_path: Path
) -> None:
    asked = channel.begin("status")
    guest.accept()
    guest.answer(guest.hear())
    asked.result(LIMIT_S)
    overwriting = threading.Thread(target=channel.overwrite)
    overwriting.start()

    blank = [guest.line() for _ in range(RECEIVE_BYTES // 4096 + 8)]
    overwriting.join()
    again = channel.begin("ping")
    guest.answer(guest.hear())

    assert {line.strip() for line in blank} == {b""}
    assert sum(map(len, blank)) > RECEIVE_BYTES
    assert again.result(LIMIT_S) == {}


def test_a_request_that_waits_in_the_socket_is_answered_later(guest: Guest, channel: ControlChannel) -> None:
    asked = channel.begin("status", detail=1)
    assert not asked.done()

    guest.accept()
    request = guest.hear()
    guest.answer(request, uptime_s=3.5)

    assert (request["op"], request["args"]) == ("status", {"detail": 1})
    assert asked.result(LIMIT_S) == {"uptime_s": 3.5}


def test_answers_find_their_askers_in_any_order(guest: Guest, channel: ControlChannel) -> None:
    asked = [channel.begin("n", number=number) for number in range(5)]
    guest.accept()
    requests = [guest.hear() for _ in asked]

    for request in reversed(requests):
        guest.answer(request, number=request["args"]["number"])

    assert [future.result(LIMIT_S)["number"] for future in asked] == [0, 1, 2, 3, 4]


def test_a_no_of_the_virtual_server_has_its_code_and_words(guest: Guest, channel: ControlChannel) -> None:
    asked = channel.begin("nonsense")
    guest.accept()
    guest.answer(guest.hear(), ok=False, code="unknown_op", words="cannot do that")

    with pytest.raises(Refused) as refused:
        asked.result(LIMIT_S)

    assert (refused.value.code, refused.value.words) == ("unknown_op", "cannot do that")


def test_nobody_there_is_said_at_once(channel: ControlChannel) -> None:
    with pytest.raises(Unreachable) as silent:
        channel.call("ping", timeout_s=LIMIT_S)

    assert silent.value.code == "service_silent"


def test_a_virtual_server_that_does_not_answer_holds_nobody_up(guest: Guest, channel: ControlChannel) -> None:
    with pytest.raises(Unreachable) as silent:
        channel.call("ping", timeout_s=SHORT_S)

    assert silent.value.code == "service_silent"


def test_the_answer_to_an_earlier_question_is_not_taken_for_this_one(
    guest: Guest, channel: ControlChannel
) -> None:
    with pytest.raises(Unreachable):
        channel.call("ping", timeout_s=SHORT_S)
    asked = channel.begin("ping")
    guest.accept()
    late, now = guest.hear(), guest.hear()

    guest.answer(late, session="late")
    guest.answer(now, session="now")

    assert asked.result(LIMIT_S)["session"] == "now"


@pytest.mark.parametrize(
    "nonsense", [b"half a li\n", b"\xff\xff\n", b"[]\n", b'{"id": 1, "ok": true}\n', b'{"id": "x"}\n', b"\n"]
)
def test_nonsense_between_answers_is_left_out(guest: Guest, channel: ControlChannel, nonsense: bytes) -> None:
    asked = channel.begin("ping")
    guest.accept()
    request = guest.hear()

    guest.say(nonsense)
    guest.answer(request)

    assert asked.result(LIMIT_S) == {}


def test_a_machine_that_ends_fails_what_was_asked_and_the_next_one_is_reached(
    guest: Guest, channel: ControlChannel
) -> None:
    asked = channel.begin("long")
    guest.accept()
    request = guest.hear()
    guest.say(json.dumps({"id": request["id"], "ok": True}).encode()[:9])  # half an answer
    guest.hang_up()
    with pytest.raises(Unreachable):
        asked.result(LIMIT_S)

    again = channel.begin("ping")
    guest.accept()
    guest.answer(guest.hear(), session="new")

    assert again.result(LIMIT_S) == {"session": "new"}


def test_a_line_without_end_ends_the_connection(guest: Guest, channel: ControlChannel) -> None:
    asked = channel.begin("ping")
    guest.accept()
    guest.hear()

    def flood() -> None:
        try:
            guest.say(b"x" * (2 * MAX_LINE_BYTES))
        except OSError:
            return  # hung up on, as it should be

    flooding = threading.Thread(target=flood)
    flooding.start()
    with pytest.raises(Unreachable):
        asked.result(LIMIT_S)
    flooding.join()


def test_closing_ends_what_was_asked(guest: Guest, channel: ControlChannel) -> None:
    asked = channel.begin("ping")

    channel.close()

    with pytest.raises(Unreachable):
        asked.result(LIMIT_S)


def test_a_pulse_greets_each_program_once_and_ends_in_silence(guest: Guest, channel: ControlChannel) -> None:
    time, greeted = [0.0], []
    pulse = Pulse(channel, clock=lambda: time[0], greet=lambda: greeted.append(time[0]))

    def beat(session: str) -> None:
        guest.answer(guest.hear(), session=session)
        assert pulse._asked is not None
        pulse._asked.exception(LIMIT_S)
        pulse.feel()

    pulse.feel()
    assert not pulse.up
    guest.accept()
    for session in ("a", "a", "b"):
        time[0] += 1
        beat(session)

    assert pulse.up
    assert greeted == [1.0, 3.0]
    time[0] += SILENT_S
    assert not pulse.up


def test_a_pulse_asks_again_when_an_answer_does_not_come(guest: Guest, channel: ControlChannel) -> None:
    time = [0.0]
    pulse = Pulse(channel, clock=lambda: time[0], greet=lambda: None)
    pulse.feel()
    guest.accept()
    first = guest.hear()
    time[0] += 11

    pulse.feel()

    assert guest.hear()["id"] != first["id"]

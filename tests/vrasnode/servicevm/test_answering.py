"""What the program inside the virtual server makes of requests, good and bad."""

import json
import threading
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from tests.vrasnode.servicevm.conftest import LIMIT_S, Host
from vrasnode.servicevm.guest.answering import Answering, Ops, Refusal
from vrasnode.servicevm.guest.port import LinePort


class Sheet:
    """A port that has these lines and keeps the answers."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.came = threading.Event()

    def lines(self) -> Iterable[bytes]:
        return []

    def send(self, line: bytes) -> bool:
        self.sent.append(json.loads(line))
        self.came.set()
        return True


@pytest.fixture
def ops() -> Ops:
    ops = Ops()
    ops.add("echo", lambda **args: args, quick=True)
    return ops


@pytest.fixture
def sheet() -> Sheet:
    return Sheet()


def request(op: object, request_id: object = "1", **more: Any) -> bytes:
    return json.dumps({"id": request_id, "op": op, **more}).encode()


def test_an_answer_carries_the_id_of_its_request(ops: Ops, sheet: Sheet) -> None:
    Answering(sheet, ops).take(request("echo", "a7", args={"words": "日本語"}))

    assert sheet.sent == [{"id": "a7", "ok": True, "words": "日本語"}]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (request("format_c"), "unknown_op"),
        (request(["echo"]), "unknown_op"),
        (request("echo", args=[1]), "bad_args"),
        (b'{"id": "1"}', "unknown_op"),
    ],
)
def test_what_cannot_be_done_is_refused_with_a_code(ops: Ops, sheet: Sheet, line: bytes, code: str) -> None:
    Answering(sheet, ops).take(line)

    (answer,) = sheet.sent
    assert (answer["id"], answer["ok"], answer["code"]) == ("1", False, code)


@pytest.mark.parametrize(
    "line",
    [b"half a li", b"\xff\xfe", b"[1]", b"null", request("echo", 7), request("echo", None), b"[" * 9000],
)
def test_what_is_no_request_gets_no_answer_and_the_next_one_does(ops: Ops, sheet: Sheet, line: bytes) -> None:
    answering = Answering(sheet, ops)

    answering.take(line)
    answering.take(request("echo", "next"))

    assert [answer["id"] for answer in sheet.sent] == ["next"]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Refusal("no_such_card", "none"), "no_such_card"),
        (OSError("disk"), "guest_failed"),
        (ZeroDivisionError(), "guest_bug"),
    ],
)
def test_an_op_that_fails_is_answered_and_ends_nothing_else(
    ops: Ops, sheet: Sheet, error: Exception, code: str
) -> None:
    def fail() -> dict[str, Any]:
        raise error

    ops.add("fail", fail, quick=True)
    answering = Answering(sheet, ops)

    answering.take(request("fail"))
    answering.take(request("echo"))

    assert [answer.get("code") for answer in sheet.sent] == [code, None]


def test_arguments_that_an_op_does_not_know_are_refused(ops: Ops, sheet: Sheet) -> None:
    ops.add("plain", lambda: {}, quick=True)

    Answering(sheet, ops).take(request("plain", args={"volume": 1}))

    assert sheet.sent[0]["code"] == "bad_args"


def test_a_long_op_does_not_hold_up_a_ping_and_too_many_are_refused(ops: Ops, sheet: Sheet) -> None:
    go_on = threading.Event()

    def long() -> dict[str, Any]:
        assert go_on.wait(LIMIT_S)
        return {}

    ops.add("long", long)
    answering = Answering(sheet, ops, max_at_once=2)

    for number in range(3):
        answering.take(request("long", f"long {number}"))
    answering.take(request("echo", "ping"))
    meanwhile = [(answer["id"], answer.get("code")) for answer in sheet.sent]
    sheet.came.clear()
    go_on.set()

    assert meanwhile == [("long 2", "busy"), ("ping", None)]
    assert sheet.came.wait(LIMIT_S)


def test_requests_and_answers_go_over_a_port_whose_host_reconnects(
    ends: tuple[LinePort, Host], ops: Ops, aside: Callable[..., Any]
) -> None:
    guest, host = ends
    aside(Answering(guest, ops).run)

    host.connect()
    host.ask("echo", "1", n=1)
    first = host.hear()
    host.say(b'{"id": "2", "op": "ec')
    host.disconnect()
    host.connect()
    host.say(b"\n")  # as the control channel begins
    host.ask("echo", "3", n=3)

    assert first == {"id": "1", "ok": True, "n": 1}
    assert host.hear() == {"id": "3", "ok": True, "n": 3}


def test_a_flood_is_answered_to_the_last(
    ends: tuple[LinePort, Host], ops: Ops, aside: Callable[..., Any]
) -> None:
    guest, host = ends
    aside(Answering(guest, ops).run)
    host.connect()

    aside(lambda: [host.ask("echo", str(number)) for number in range(3000)])

    assert [host.hear()["id"] for _ in range(3000)] == [str(number) for number in range(3000)]

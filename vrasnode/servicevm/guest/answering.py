"""Requests and answers: `{"id", "op", "args"}` in, `{"id", "ok", …}` out, in the order in which they end.

What can be asked is registered by `op`; each answer is a JSON object. A quick one is done at once, by the
thread that reads; all others get a thread of their own, so that nothing waits for them.
"""

import json
import threading
import traceback
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol, TypeAlias

MAX_AT_ONCE = 16

Act: TypeAlias = Callable[..., Mapping[str, Any]]


class Refusal(Exception):
    """The asked thing cannot be done: `code` is stable, `words` say why."""

    def __init__(self, code: str, words: str) -> None:
        super().__init__(words)
        self.code = code
        self.words = words


class Port(Protocol):
    def lines(self) -> Iterable[bytes]: ...
    def send(self, line: bytes) -> bool: ...


class Ops:
    """What can be asked, by name."""

    def __init__(self) -> None:
        self._ops: dict[str, tuple[Act, bool]] = {}

    def add(self, name: str, act: Act, *, quick: bool = False) -> None:
        """`act` is called with the request's args as keywords, `quick` for what never waits."""
        self._ops[name] = act, quick

    def find(self, name: object) -> tuple[Act, bool]:
        """Raises Refusal(unknown_op)."""
        found = self._ops.get(name) if isinstance(name, str) else None
        if found is None:
            raise Refusal("unknown_op", f"This virtual server cannot do {name!r}.")
        return found


class Answering:
    """Answers what comes in by a port."""

    def __init__(self, port: Port, ops: Ops, *, max_at_once: int = MAX_AT_ONCE) -> None:
        self._port = port
        self._ops = ops
        self._room = threading.Semaphore(max_at_once)

    def run(self) -> None:
        """Until there are no more lines, which for a real port is never."""
        for line in self._port.lines():
            self.take(line)

    def take(self, line: bytes) -> None:
        """Answers one line, now or, by a thread, later. What is no request gets no answer: nobody waits."""
        try:
            request = json.loads(line)
        except (ValueError, RecursionError):
            return
        if not isinstance(request, dict) or not isinstance(request.get("id"), str):
            return
        try:
            act, quick = self._ops.find(request.get("op"))
            args = _args(request)
        except Refusal as refusal:
            self._answer(request["id"], _refused(refusal.code, refusal.words))
            return
        if quick:
            self._do(request["id"], act, args)
        elif self._room.acquire(blocking=False):
            threading.Thread(target=self._do_aside, args=(request["id"], act, args), daemon=True).start()
        else:
            self._answer(request["id"], _refused("busy", "Too much is asked of this virtual server at once."))

    def _do_aside(self, request_id: str, act: Act, args: dict[str, Any]) -> None:
        try:
            self._do(request_id, act, args)
        finally:
            self._room.release()

    def _do(self, request_id: str, act: Act, args: dict[str, Any]) -> None:
        try:
            answer = {"ok": True, **act(**args)}
        except Refusal as refusal:
            answer = _refused(refusal.code, refusal.words)
        except OSError as error:
            answer = _refused("guest_failed", str(error))
        except Exception as error:  # the one broad except: a bug in one request must not end all others
            code = "bad_args" if _is_of_the_call(error) else "guest_bug"
            if code == "guest_bug":
                traceback.print_exc()
            answer = _refused(code, repr(error))
        self._answer(request_id, answer)

    def _answer(self, request_id: str, answer: Mapping[str, Any]) -> None:
        self._port.send(json.dumps({"id": request_id, **answer}).encode())


def _args(request: Mapping[str, Any]) -> dict[str, Any]:
    args = request.get("args", {})
    if not isinstance(args, dict):
        raise Refusal("bad_args", "args has to be an object.")
    return args


def _is_of_the_call(error: Exception) -> bool:
    """Whether arguments did not fit: nothing of what was called has run then."""
    return isinstance(error, TypeError) and bool(error.__traceback__ and not error.__traceback__.tb_next)


def _refused(code: str, words: str) -> dict[str, Any]:
    return {"ok": False, "code": code, "words": words[:500]}

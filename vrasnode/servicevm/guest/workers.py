"""Work on a volume, each piece in a process of its own.

So it runs with the rights of the person for whom it is done, and the kernel decides; it ends at once when the
volume has to go, whatever it waits for; and what it read is gone from memory with it. The processes are
forked from a program with threads: a piece of work calls the system and builds an answer, and takes no lock.
"""

import json
import os
import select
import signal
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, NoReturn

from vrasnode.servicevm.guest.answering import Refusal
from vrasnode.servicevm.guest.errnos import refusal_of

WORK_S = 120.0
READ_BYTES = 64 << 10
FIRST_PERSON = 100_000  # uids below are the guest's own

Work = Callable[[], Mapping[str, Any]]


class Workers:
    """The processes that work on volumes. On a volume that is not admitted nothing is begun.

    `clock` counts seconds and never goes back.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._running: dict[str, set[int]] = {}  # of admitted volumes; none of these is waited for yet

    def admit(self, serial: str) -> None:
        """The volume is mounted."""
        with self._lock:
            self._running.setdefault(serial, set())

    def end(self, serial: str) -> int:
        """Ends all work on the volume and lets none begin; returns how many pieces, once they are gone."""
        with self._lock:
            ended = self._running.pop(serial, set())
            for pid in ended:
                os.kill(pid, signal.SIGKILL)
        for pid in ended:
            with suppress(ChildProcessError):
                os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        return len(ended)

    def run(self, serial: str, work: Work, *, uid: int = 0, limit_s: float = WORK_S) -> Mapping[str, Any]:
        """What `work` returns, done as this person (0: an administrator, who may read everything).

        Raises the Refusal that it raises, and Refusal: volume_closed, too_slow, bad_args.
        """
        if not isinstance(uid, int) or (uid and not FIRST_PERSON <= uid < 1 << 31):
            raise Refusal("bad_args", f"{uid!r} is nobody's uid.")
        reading, writing = os.pipe2(os.O_CLOEXEC)
        try:
            try:
                pid = self._fork(serial, work, uid, writing)
            finally:
                os.close(writing)
            said, in_time = _read_all(reading, until=self._clock() + limit_s, clock=self._clock)
            self._reap(serial, pid)
        finally:
            os.close(reading)
        if not in_time:
            raise Refusal("too_slow", f"That took more than {limit_s:.0f} s.")
        return _answer(said)

    def _fork(self, serial: str, work: Work, uid: int, writing: int) -> int:
        with self._lock:
            if serial not in self._running:
                raise Refusal("volume_closed", "The volume is not open.")
            pid = os.fork()
            if pid == 0:
                _work(work, uid, writing)
            self._running[serial].add(pid)
            return pid

    def _reap(self, serial: str, pid: int) -> None:
        """It has said what it had to say, or took too long."""
        with self._lock:
            self._running.get(serial, set()).discard(pid)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _work(work: Work, uid: int, writing: int) -> NoReturn:
    """The life of such a process."""
    try:
        _say(writing, _done(work, uid))
    finally:
        os._exit(0)


def _done(work: Work, uid: int) -> Mapping[str, Any]:
    try:
        if uid:
            _become(uid)
        return {"done": dict(work())}
    except Refusal as refusal:
        return {"code": refusal.code, "words": refusal.words}
    except OSError as error:
        said = refusal_of(error)
        return {"code": said.code, "words": said.words}
    except Exception as error:  # as in `answering`, from which this process is cut off
        return {"code": "guest_bug", "words": repr(error)}


def _become(uid: int) -> None:
    """Gives up all that root may, for good."""
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


def _say(writing: int, answer: Mapping[str, Any]) -> None:
    left = memoryview(json.dumps(answer).encode())
    while left:
        left = left[os.write(writing, left) :]


def _read_all(reading: int, *, until: float, clock: Callable[[], float]) -> tuple[bytearray, bool]:
    """All that is said, and whether the end of it came in time."""
    said, poll = bytearray(), select.poll()
    poll.register(reading, select.POLLIN)
    while poll.poll(max(0.0, until - clock()) * 1000):
        piece = os.read(reading, READ_BYTES)
        if not piece:
            return said, True
        said += piece
    return said, False


def _answer(said: bytearray) -> Mapping[str, Any]:
    if not said:
        raise Refusal("volume_closed", "The volume was closed meanwhile.")
    try:
        answer = json.loads(said)
    except ValueError as error:
        raise Refusal("volume_closed", "The volume was closed meanwhile.") from error
    if "code" in answer:
        raise Refusal(answer["code"], answer["words"])
    done: Mapping[str, Any] = answer["done"]
    return done

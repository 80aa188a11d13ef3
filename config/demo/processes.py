"""Child processes with a log each, ended by pid. Their death is noticed and told with the end of the log."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from vrasnode.errors import HostBroken

GRACE_S = 15.0
TAIL_BYTES = 2000


class Child:
    """One process. A context manager: started inside, ended after.

    It has a session of its own, so that Ctrl-C in the terminal reaches us, who end children in order.
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        pass_fds: Sequence[int] = (),
    ) -> None:
        self.name = name
        self.argv = list(argv)
        self.log = log
        self._env = {**os.environ, **(env or {})}
        self._fds = pass_fds
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    @property
    def pid(self) -> int:
        """The process id. Raises HostBroken(not_running) before the start."""
        if self._process is None:
            raise HostBroken("not_running", f"{self.name} was not started.")
        return self._process.pid

    def start(self) -> None:
        """Starts the process; its output goes to the end of the log. It ends with us, however we end."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig=TERM", *self.argv],
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=self._fds,
            )

    def exited(self) -> int | None:
        """The exit code, or None while it runs."""
        return self._process.poll() if self._process else None

    def kill(self) -> None:
        """kill -9, as a power cut would, and nothing else."""
        if self._process and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def end(self) -> None:
        """Asks it to end; kills it after `GRACE_S` seconds."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def tail(self) -> str:
        """The last lines of the log."""
        try:
            text = self.log.read_bytes()[-TAIL_BYTES:].decode(errors="replace")
        except OSError:
            return ""
        return "\n".join(text.splitlines()[-12:])


def run(argv: Sequence[str], *, env: Mapping[str, str] | None = None, timeout_s: float = 600) -> str:
    """Runs a command and returns its output. Raises HostBroken(command_failed) with what it said."""
    done = subprocess.run(
        argv,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    if done.returncode:
        said = (done.stderr or done.stdout).strip()[-TAIL_BYTES:]
        raise HostBroken("command_failed", f"`{' '.join(argv[:4])} …` ended with {done.returncode}: {said}")
    return done.stdout


def wait_for(
    what: str, ready: Callable[[], bool], *, children: Sequence[Child] = (), timeout_s: float = 60
) -> None:
    """Returns when `ready()` is true. Raises HostBroken when a child dies first or the time is over."""
    deadline = time.monotonic() + timeout_s
    while not ready():
        for child in children:
            if (code := child.exited()) is not None:
                raise HostBroken("child_died", f"{child.name} ended with {code}: {child.tail()}")
        if time.monotonic() > deadline:
            raise HostBroken("too_slow", f"{what} did not happen within {timeout_s:.0f} s.")
        time.sleep(0.05)

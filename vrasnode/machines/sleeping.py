"""Whether the control base itself may go to sleep: not by its lid or keys where the policy of the PC says no.

What the client VM may do is in its definition (`domainxml`); here is the PC around it. logind is asked by
`systemd-inhibit`, which blocks for as long as its child lives: one that ends with our end of its pipe, so the
PC can sleep again as soon as no agent runs, also after a kill. Shutting down is always possible.
"""

import logging
import subprocess
import tempfile
from collections.abc import Callable
from typing import IO

from vrasnode.errors import HostBroken
from vrasnode.wire.devices import Suspend

log = logging.getLogger("vrasnode.sleeping")

AGAIN_S = 60.0  # between tries where logind does not answer
SETTLED_S = 2.0  # logind says no at once
END_S = 5.0

_WHAT = "sleep:handle-lid-switch:handle-suspend-key:handle-hibernate-key"
_COMMAND = (
    "systemd-inhibit",
    f"--what={_WHAT}",
    "--who=OpenVRAS",
    "--why=The device policy of this PC forbids sleep",
    "--mode=block",
    "cat",  # until its standard input ends
)


class Sleeping:
    """Holds the PC awake or lets it sleep. `clock` counts seconds and never goes back."""

    def __init__(self, *, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._held: subprocess.Popen[bytes] | None = None
        self._said: IO[bytes] | None = None  # what the child says of why it cannot
        self._since = clock()
        self._trouble: str | None = None

    def enforce(self, suspend: Suspend) -> None:
        """Makes it so; to be called again and again, for what holds the PC awake can die. The control base
        cannot hibernate (it has no swap), so `hibernate` is about the client VM alone and blocks here.

        Raises HostBroken(no_inhibitor) each time for as long as the PC could sleep and should not.
        """
        if suspend is Suspend.ALLOWED:
            self._release()
            return
        if self._held is not None and self._held.poll() is not None:
            self._trouble = self._last_words(self._held.returncode)
            self._release(keep_trouble=True)
        if self._held is None and (self._trouble is None or self._clock() - self._since >= AGAIN_S):
            self._hold()
        elif self._held is not None and self._clock() - self._since >= SETTLED_S:
            self._trouble = None
        if self._trouble is not None:
            raise HostBroken("no_inhibitor", self._trouble)

    def close(self) -> None:
        """The PC may sleep again."""
        self._release()

    def _hold(self) -> None:
        self._since = self._clock()
        said = tempfile.TemporaryFile()  # noqa: SIM115  closed when it is released
        try:
            self._held = subprocess.Popen(
                _COMMAND,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=said,
                start_new_session=True,  # a key pressed in the agent's terminal is not for it
            )
        except OSError as error:
            said.close()
            self._trouble = _words(f"{_COMMAND[0]} cannot be started: {error}")
            return
        self._said = said

    def _last_words(self, status: int) -> str:
        if self._said is None:
            return _words(f"{_COMMAND[0]} ended")
        self._said.seek(0)
        said = self._said.read(1024).decode(errors="replace").strip()
        return _words(f"{_COMMAND[0]} ended ({status}): {said}")

    def _release(self, *, keep_trouble: bool = False) -> None:
        held, self._held = self._held, None
        if not keep_trouble:
            self._trouble = None
        if held is None:
            return
        if held.stdin is not None:
            held.stdin.close()
        try:
            held.wait(END_S)
        except subprocess.TimeoutExpired:
            held.kill()
            held.wait()
        if self._said is not None:
            self._said.close()
            self._said = None


def _words(what: str) -> str:
    return (
        f"The policy forbids this PC to sleep, and nothing holds it awake: {what}. Install systemd and see"
        " that systemd-logind runs."
    )

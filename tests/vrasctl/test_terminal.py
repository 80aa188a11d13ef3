"""The command line as somebody at a terminal has it: asked for the password, shown how far it is."""

import contextlib
import fcntl
import os
import pty
import subprocess
import sys
import termios
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lab.server import Server
from tests.vrasctl.conftest import Administrator

pytestmark = pytest.mark.slow


def at_a_terminal(
    somebody: Administrator, *arguments: str, typed: dict[str, str] | None = None
) -> tuple[int, str]:
    """Runs `vrasctl` at a terminal of its own, types an answer to each question; its code, and the screen."""
    ours, its = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "vrasctl", *arguments],
        env={**somebody._environment(), "TERM": "xterm", "COLUMNS": "120"},
        stdin=its,
        stdout=its,
        stderr=its,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509  (no thread of ours holds a lock)
    )
    os.close(its)
    screen, waiting = "", dict(typed or {})
    with contextlib.suppress(OSError):  # the terminal's other end is closed: it has ended
        while piece := os.read(ours, 4096):
            screen += piece.decode(errors="replace")
            for question in [question for question in waiting if question in screen]:
                os.write(ours, waiting.pop(question).encode() + b"\n")
    os.close(ours)
    return process.wait(), screen


def test_the_password_is_asked_for_and_not_shown(server: Server, stranger: Administrator) -> None:
    typed = {"Name": server.username, "Password": server.password}

    code, screen = at_a_terminal(stranger, "login", "--server", server.url, typed=typed)

    assert (code, server.password in screen) == (0, False), screen
    assert f"as {server.username} until" in screen
    assert stranger.run("group", "list").code == 0


def test_a_publication_draws_how_far_it_is(administrator: Administrator, disk: Callable[..., Path]) -> None:
    file = disk("drawn", mib=8)

    code, screen = at_a_terminal(administrator, "image", "publish", str(file), "--name", "drawn")

    assert code == 0, screen
    for words in ("opening", "━", "8.4/8.4 MB", "sent 8.4 MB"):
        assert words in screen, screen

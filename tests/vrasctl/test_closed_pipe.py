"""Whoever reads what a command prints may stop at any time, as `head -1` does: no verb complains of it."""

import subprocess
import sys

import pytest

from tests.lab.server import ROOT
from vrasnode.outputs import until_seen

VRASNODE, VRASCTL = ("-m", "vrasnode"), ("-c", "import vrasctl; vrasctl.main()")


@pytest.mark.parametrize(
    "command",
    [
        (*VRASNODE, "--help"),
        (*VRASNODE, "preflight", "--json"),
        (*VRASCTL, "--help"),
        (*VRASCTL, "--version"),
    ],
    ids=lambda command: " ".join(command[1:4]),
)
def test_a_command_whose_reader_has_gone_ends_without_a_word_of_that(command: tuple[str, ...]) -> None:
    child = subprocess.Popen(
        [sys.executable, *command], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert child.stdout
    assert child.stderr

    child.stdout.close()
    said = child.stderr.read()

    assert "pipe" not in said.lower()
    assert "Traceback" not in said
    assert child.wait() in (0, 5)  # as it would have been, never 1 (a bug) or 120 (Python's)
    child.stderr.close()


def test_other_connections_that_break_are_no_reader_who_has_gone() -> None:
    with pytest.raises(BrokenPipeError), until_seen():
        raise BrokenPipeError("of a socket")

"""docs/vrasctl.md: its examples are commands that exist, and its tables are what the program does."""

import re
import shlex
from pathlib import Path

import click
import pytest

from vrasctl.cli import root
from vrasctl.outcome import Exit
from vrasctl.session import Session

TEXT = (Path(__file__).parents[2] / "docs" / "vrasctl.md").read_text()
EXAMPLES = [line for block in re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL) for line in block.splitlines()]


def _commands(group: click.Group, *before: str) -> set[str]:
    found = set()
    for name, command in group.commands.items():
        path = (*before, name)
        found |= _commands(command, *path) if isinstance(command, click.Group) else {" ".join(path)}
    return found


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_is_understood(example: str) -> None:
    program, *arguments = shlex.split(example)
    assert program == "vrasctl"
    command: click.Command = root
    context = None
    while True:
        context = command.make_context(command.name, arguments, parent=context, obj=Session())
        if not isinstance(command, click.Group):
            return
        rest = [*context._protected_args, *context.args]
        _, found, arguments = command.resolve_command(context, rest)
        assert found is not None
        command = found


def test_every_command_has_an_example() -> None:
    missing = {
        name
        for name in _commands(root)
        if not any(
            f"vrasctl {name}"
            in each.replace("vrasctl --server https://vras.example --token-file /run/secrets/vras", "vrasctl")
            for each in EXAMPLES
        )
    }

    assert not missing


def test_every_exit_code_is_told_in_the_docs_and_in_the_help() -> None:
    told = {int(code) for code in re.findall(r"^\| (\d+) \|", TEXT, re.MULTILINE)}
    helped = {int(code) for code in re.findall(r"^  (\d+) +\w", root.epilog or "", re.MULTILINE)}

    assert told == helped == {int(code) for code in Exit}


def test_every_variable_is_told_in_the_docs() -> None:
    variables = {param.envvar for param in root.params if isinstance(param, click.Option) and param.envvar}

    assert variables == set(re.findall(r"`(OPENVRAS_\w+)`", TEXT))

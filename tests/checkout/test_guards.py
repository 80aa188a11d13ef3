"""Each attack of docs/checkout.md is refused by the guards that it names: without them its test fails, by its
own assertion."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.checkout.guards import Guard
from tests.checkout.guards.attacks import ATTACKS, FILES, Attack
from tests.lab.server import ROOT

PATIENCE_S = 600
ASSERTED = {"AssertionError", "Failed"}  # the latter: what had to be refused was not
GUARDS = tuple(dict.fromkeys(guard for attack in ATTACKS for guard in attack.guards))


def run(place: str, *nodes: str) -> Mapping[str, list[str]]:
    """How these tests end without the guards of the attack at `place`: the exception and its words."""
    with TemporaryDirectory(prefix="openvras-guards-") as scratch:
        told = Path(scratch) / "told.json"
        own = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
        done = subprocess.run(
            [
                *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
                *("-p", "tests.checkout.guards.out", *nodes),
            ],
            cwd=ROOT,
            env={**own, "OPENVRAS_WITHOUT_GUARDS_OF": place, "OPENVRAS_TELL": str(told)},
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert told.exists(), done.stdout + done.stderr
        found: dict[str, list[str]] = json.loads(told.read_text())
        return found


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.words)
def test_a_guard_stands_where_the_list_says_and_can_be_taken_out(guard: Guard) -> None:
    source = (ROOT / guard.file).read_text()

    assert source.count(guard.text) == 1
    compile(source.replace(guard.text, guard.without), guard.file, "exec")


def test_each_test_of_the_files_of_attacks_leans_on_guards() -> None:
    for letter in "ks":
        source = (ROOT / FILES[letter]).read_text()
        tests = {line[9:].partition("(")[0] for line in source.splitlines() if line.startswith("def test_")}
        assert tests == {attack.test for attack in ATTACKS if attack.file == letter}


@pytest.mark.slow
@pytest.mark.soak
def test_with_its_guards_in_place_each_attack_is_refused() -> None:
    nodes = [attack.node for attack in ATTACKS]

    ended = run("", *dict.fromkeys(nodes))

    assert {node: ended.get(node) for node in nodes} == {node: ["", ""] for node in nodes}


@pytest.mark.slow
@pytest.mark.soak
@pytest.mark.parametrize("place", range(len(ATTACKS)), ids=lambda place: ATTACKS[place].id)
def test_without_its_guards_an_attack_gets_through(place: int) -> None:
    attack: Attack = ATTACKS[place]

    kind, words = run(str(place), attack.node)[attack.node]

    print(f"{attack.node} without {attack.words}: {words.splitlines()[0][:160]}")
    assert kind in ASSERTED, words

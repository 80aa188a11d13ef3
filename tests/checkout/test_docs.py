"""docs/checkout.md: each attack that it names is a test, and so are the guards the test's."""

import re

from tests.checkout.guards.attacks import ATTACKS, FILES
from tests.lab.server import ROOT

TEXT = (ROOT / "docs" / "checkout.md").read_text()
ROW = re.compile(
    r"^\| ([^|]+) \| ([^|]*`[a-z_]+`[^|]*) \| ([a-z, ]+) \| ([^|]+) \|$",
    re.MULTILINE,
)


def leaned_on(test: str) -> list[str]:
    """The guards of a test, case by case."""
    return [attack.words for attack in ATTACKS if attack.test == test]


def test_each_attack_of_the_list_is_a_test_in_the_file_that_it_names() -> None:
    rows = ROW.findall(TEXT)

    assert len(rows) >= 25
    for attack, tests, files, _guards in rows:
        there = "".join((ROOT / FILES[name.strip()]).read_text() for name in files.split(","))
        for name in re.findall(r"`([a-z_]+)`", tests):
            assert f"def test_{name}(" in there, attack


def test_each_attack_of_the_list_names_the_guards_that_were_taken_out() -> None:
    named = set()

    for attack, tests, _files, guards in ROW.findall(TEXT):
        names = re.findall(r"`([a-z_]+)`", tests)
        named |= set(names)
        assert guards == "; ".join(dict.fromkeys(word for name in names for word in leaned_on(name))), attack

    assert named == {attack.test for attack in ATTACKS}

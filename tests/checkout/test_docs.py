"""docs/checkout.md: each attack that it names is a test."""

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
TEXT = (TESTS.parent / "docs" / "checkout.md").read_text()
FILES = {
    "k": TESTS / "vrasnode/checkout/test_attacks.py",
    "s": TESTS / "checkout/test_attacks.py",
    "a": TESTS / "checkout/test_checkout_api.py",
    "d": TESTS / "checkout/test_directory_chains.py",
    "r": TESTS / "checkout/test_races.py",
}
ROW = re.compile(r"^\| ([^|]+) \| ([^|]*`[a-z_]+`[^|]*) \| ([a-z, ]+) \|$", re.MULTILINE)


def test_each_attack_of_the_list_is_a_test_in_the_file_that_it_names() -> None:
    rows = ROW.findall(TEXT)

    assert len(rows) >= 25
    for attack, tests, files in rows:
        there = "".join(FILES[name.strip()].read_text() for name in files.split(","))
        for name in re.findall(r"`([a-z_]+)`", tests):
            assert f"def test_{name}(" in there, attack

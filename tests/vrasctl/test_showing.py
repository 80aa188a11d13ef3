"""What people read."""

import pytest

from vrasctl import showing
from vrasctl.account import Login
from vrasctl.images import parse_version
from vrasctl.terms import Rate
from vrasnode.errors import Refused


@pytest.mark.parametrize(
    ("count", "shown"),
    [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (473_000_000, "473 MB"), (3_100_000_000, "3.1 GB"),
     (999_600, "1.0 MB"), (16 << 40, "17.6 TB")],
)  # fmt: skip
def test_sizes_are_shown_in_the_units_of_disks(count: int, shown: str) -> None:
    assert showing.amount(count) == shown


def test_text_that_would_steer_a_terminal_is_made_visible() -> None:
    assert showing.clean("a\x1b[2Jb\u202ec") == "a\ufffd[2Jb\ufffdc"
    assert showing.cell({"note": "a\rb"}, "note") == "a\ufffdb"


def test_fields_are_found_inside_others_and_may_be_missing() -> None:
    row = {"latest": {"size_bytes": 2_000_000, "ready_at": "2026-11-23T01:02:03+00:00"}, "present": False}

    assert showing.cell(row, "latest.size_bytes") == "2.0 MB"
    assert "T" not in showing.cell(row, "latest.ready_at")
    assert showing.cell(row, "present") == "no"
    assert showing.cell(row, "latest.note.more") == "-"


@pytest.mark.parametrize(
    ("text", "rate"), [("500000", 500_000), ("10M", 10_000_000), ("1Gi", 1 << 30), ("2k", 2000)]
)
def test_a_rate_is_written_in_units(text: str, rate: int) -> None:
    assert Rate().convert(text, None, None) == rate


def test_a_version_is_written_behind_the_name() -> None:
    assert parse_version("office desktop@12") == ("office desktop", 12)
    assert parse_version("office") == ("office", None)
    for wrong in ("office@", "office@0", "office@two"):
        with pytest.raises(Refused):
            parse_version(wrong)


def test_a_token_is_in_no_representation() -> None:
    assert "secret" not in repr(Login("https://vras.example", "vras_x.secret"))

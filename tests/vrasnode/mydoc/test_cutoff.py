"""When an open volume has to be locked."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from vrasnode.mydoc.cutoff import LINK_S, SERVER_S, Cut, Heard, in_doubt, locks_at, must_lock

times = st.floats(min_value=0, max_value=1e7)
OPEN = Heard(named=True, same_boot=True, server_at=1000.0)


@st.composite
def heard(draw: st.DrawFn) -> tuple[Heard, float]:
    """Something that was heard, and a moment after it."""
    server_at, controller_at, after = draw(times), draw(times | st.just(float("-inf"))), draw(times)
    return Heard(True, True, server_at, controller_at), max(server_at, controller_at) + after


def test_an_explicit_no_cuts_at_once() -> None:
    assert must_lock(replace(OPEN, named=False), now=1000.0) is Cut.SERVER_SAID


def test_after_a_restart_of_the_machine_nothing_counts() -> None:
    assert must_lock(replace(OPEN, same_boot=False), now=1000.0) is Cut.MACHINE_OFF


def test_off_the_lan_a_volume_stays_open_for_seventy_seconds() -> None:
    assert must_lock(OPEN, now=1069.9) is None
    assert must_lock(OPEN, now=1070.0) is Cut.LEFT_THE_LAN


def test_a_domain_controller_that_answers_buys_fifteen_minutes_and_no_more() -> None:
    for now in range(1000, 1900, 10):
        assert must_lock(replace(OPEN, controller_at=now - 5.0), now=now) is None

    assert must_lock(replace(OPEN, controller_at=1895.0), now=1900.0) is Cut.SERVER_SILENT


def test_a_domain_controller_that_falls_silent_too_buys_no_more_than_the_server() -> None:
    gone = replace(OPEN, controller_at=1200.0)

    assert must_lock(gone, now=1269.9) is None
    assert must_lock(gone, now=1270.0) is Cut.LEFT_THE_LAN


def test_a_pc_that_slept_past_its_time_is_locked_for_the_clock_went_on() -> None:
    assert must_lock(replace(OPEN, controller_at=1010.0), now=1000.0 + 8 * 3600) is Cut.LEFT_THE_LAN


def test_a_server_that_never_answered_opens_nothing() -> None:
    assert must_lock(replace(OPEN, server_at=float("-inf")), now=0.0) is Cut.LEFT_THE_LAN


def test_domain_controllers_are_asked_only_when_the_server_is_silent() -> None:
    assert not in_doubt(OPEN, now=1020.0)
    assert in_doubt(OPEN, now=1030.0)


@given(heard())
def test_nothing_stays_open_longer_than_its_time_after_the_server(case: tuple[Heard, float]) -> None:
    known, now = case

    if must_lock(known, now=now) is None:
        assert now < known.server_at + SERVER_S
        assert now < max(known.server_at, known.controller_at) + LINK_S


@given(heard())
def test_what_has_to_be_locked_has_to_be_at_every_later_moment(case: tuple[Heard, float]) -> None:
    known, now = case

    assert (must_lock(known, now=now) is not None) == (now >= locks_at(known))
    assert must_lock(known, now=locks_at(known) + now) is not None


@given(heard(), st.booleans(), st.booleans())
def test_no_answer_of_anybody_holds_open_what_the_server_closed(
    case: tuple[Heard, float], named: bool, same_boot: bool
) -> None:
    known, now = case

    reason = must_lock(replace(known, named=named, same_boot=same_boot), now=now)

    assert (named and same_boot) or reason is not None

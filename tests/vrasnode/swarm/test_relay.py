"""Who gives which piece to whom: always to an end, and the server sends each piece about once."""

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.swarmsim import Simulation
from vrasnode.swarm.known import Ask, Side
from vrasnode.swarm.masks import bits, mask_of
from vrasnode.swarm.places import depth_of, neighbours, side_of
from vrasnode.swarm.relay import CREDIT_PIECES, FIRST_CREDIT, Relay
from vrasnode.wire.swarm import CELL_PCS, SwarmMember

PIECES = 150


def simulation(pcs: int, *, pieces: int = PIECES, seed: int = 1) -> Simulation:
    return Simulation(pcs, pieces, seed=seed)


def ideal(one: Simulation) -> float:
    return one.pieces * one.piece_s


def relay(*, have: int = 0, sends: bool = True) -> Relay:
    return Relay(PIECES, have=have, want=(1 << PIECES) - 1, random=Random(1), sends=sends)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    pcs=st.integers(1, 12),
    seed=st.integers(0, 1000),
    gone=st.sets(st.integers(0, 11), max_size=5),
    silent=st.sets(st.integers(0, 11), max_size=4),
    when=st.floats(0, 1),
)
def test_whoever_stays_gets_everything_whoever_leaves_or_never_sends(
    pcs: int, seed: int, gone: set[int], silent: set[int], when: float
) -> None:
    one = simulation(pcs, seed=seed)
    for number in silent & set(range(1, pcs)):
        one.pcs[number].relay.sends = False
    for number in gone & set(range(1, pcs)):
        one.at(when * ideal(one), lambda pc=one.pcs[number]: one.stop(pc))  # type: ignore[misc]

    assert one.run(limit_s=40 * ideal(one) + 20)

    assert all(not pc.relay.lacks for pc in one.pcs if pc.alive)


@settings(max_examples=10, deadline=None, derandomize=True)
@given(pcs=st.integers(2, 20), seed=st.integers(0, 1000))
def test_where_nothing_goes_wrong_the_server_sends_each_piece_about_once(pcs: int, seed: int) -> None:
    one = simulation(pcs, seed=seed)

    assert one.run(limit_s=20 * ideal(one))

    assert one.sent <= 1.1 * PIECES


def test_a_pc_that_comes_late_gets_everything_from_the_others() -> None:
    one = simulation(6)
    late = one.pcs[5]
    late.joined = True  # it does not begin with the others
    one.at(0.5 * ideal(one), lambda: one.start(late))

    assert one.run(limit_s=20 * ideal(one))
    one.start(late) if late.done_at is None and not late.met else None
    assert one.run(limit_s=20 * ideal(one))

    assert one.sent <= 1.1 * PIECES


def test_a_pc_that_was_away_comes_back_and_gets_the_rest() -> None:
    one = simulation(6)
    away = one.pcs[3]
    one.at(0.3 * ideal(one), lambda: one.stop(away))
    one.at(0.8 * ideal(one), lambda: one.start(away))

    assert one.run(limit_s=20 * ideal(one))

    assert away.done_at is not None
    assert one.sent <= 1.3 * PIECES


def test_whoever_sends_wrong_bytes_is_left_and_the_others_finish() -> None:
    one = simulation(6)
    one.pcs[2].lies = True

    finished = one.run(limit_s=20 * ideal(one))

    assert finished
    assert all(not pc.relay.lacks for pc in one.pcs)


def test_the_bytes_reach_cells_below_without_the_server() -> None:
    one = simulation(CELL_PCS + 8)

    assert one.run(limit_s=20 * ideal(one))

    assert all(pc.fetched <= PIECES // 10 for pc in one.pcs[CELL_PCS:])
    assert one.sent <= 1.1 * PIECES


def test_a_piece_from_the_server_goes_to_everybody_who_lacks_it_and_to_nobody_else() -> None:
    one = relay()
    one.joined("lacks", 0, now=0.0)
    one.joined("has", 1 << 5, now=0.0)
    one.taken([5], now=0.0)

    one.fetched(5, now=0.1)

    assert one.next_for("lacks", now=0.2) == (5, False)
    assert one.next_for("has", now=0.2) is None


def test_nothing_more_is_taken_while_what_was_taken_is_not_passed_on() -> None:
    one = relay()
    one.joined("peer", 0, now=0.0)
    credit = one.credit(now=0.0)
    one.taken(list(range(credit)), now=0.0)
    for piece in range(credit):
        one.fetched(piece, now=0.1)

    assert one.credit(now=0.1) == 0

    one.next_for("peer", now=0.2)
    assert one.credit(now=0.2) == 1


def test_a_peer_that_drains_nothing_is_not_waited_for() -> None:
    one = relay()
    one.joined("stuck", 0, now=0.0)
    credit = one.credit(now=0.0)
    one.taken(list(range(credit)), now=0.0)
    for piece in range(credit):
        one.fetched(piece, now=0.1)

    assert one.credit(now=30.0) == credit


def test_on_battery_a_pc_takes_nothing_for_others_and_gives_nothing() -> None:
    one = relay(have=0b11, sends=False)
    one.joined("peer", 0, now=0.0)

    one.asked("peer", 1)

    assert one.credit(now=0.0) == 0
    assert one.next_for("peer", now=0.0) is None


def test_what_was_given_out_and_is_nowhere_is_missed_only_after_a_while() -> None:
    one = relay()
    one.joined("peer", 0, now=0.0)
    one.frontier(3, now=0.0)

    assert one.lost(now=0.1) == []
    assert one.lost(now=5.0) == [0, 1, 2]
    assert one.lost(now=5.1) == []


def test_what_is_nowhere_is_missed_however_often_the_server_says_that_all_was_given_out() -> None:
    one = relay()
    one.depth = 2
    one.joined("peer", 0, now=0.0)
    for moment in range(600):
        one.frontier(3, now=moment / 10)

    assert one.lost(now=60.0) == [0, 1, 2]


@given(st.sets(st.integers(0, 299)))
def test_bits_and_mask_are_each_others_inverse(numbers: set[int]) -> None:
    assert set(bits(mask_of(numbers, 300))) == numbers


@given(pcs=st.integers(1, 200))
@settings(max_examples=20, deadline=None, derandomize=True)
def test_both_ends_of_a_line_want_it(pcs: int) -> None:
    members = [SwarmMember(client_id=f"{n:03}", address="", port=1, key="", slot=n) for n in range(pcs)]
    found = {
        one.client_id: {two.client_id for two in neighbours(members, slot=one.slot, me=one.client_id)}
        for one in members
    }

    assert all(one in found[two] for one, others in found.items() for two in others)
    assert all(
        depth_of(member.slot) == 0
        or any(
            side_of(member.slot, int(name)) is Side.ABOVE
            for other in members
            if other.slot // CELL_PCS == member.slot // CELL_PCS
            for name in found[other.client_id]
        )
        for member in members
    )


def test_what_is_pushed_to_a_peer_that_is_not_waited_for_is_not_lost() -> None:
    one = relay()
    one.joined("stuck", 0, now=0.0)
    for piece in range(20):
        one.fetched(piece, now=0.1)
    assert one.credit(now=30.0)

    for piece in range(20, 40):
        one.fetched(piece, now=30.0)

    assert [one.next_for("stuck", now=31.0) for _ in range(41)] == [(n, False) for n in range(40)] + [None]


def test_a_peer_that_was_silent_and_speaks_again_is_asked_for_what_only_it_has() -> None:
    one = relay()
    one.joined("only", 0b1, now=0.0)
    one.quiet("only", now=0.0)
    assert one.tick(now=10.0) == []

    one.loud("only", now=11.0)

    assert one.tick(now=20.0) == [Ask("only", 0)]


def test_whoever_has_much_to_pass_on_lets_another_of_its_cell_do_it() -> None:
    one = relay()
    one.joined("above", 0, side=Side.ABOVE, now=0.0)
    for name in ("busy", "idle"):
        one.joined(name, 0, now=0.0)
    one.heard("busy", 0, backlog=100, now=0.0)
    for piece in range(20):
        one.received("above", piece, relay=True, now=0.1)

    first = one.next_for("idle", now=0.2)
    assert first and first[1]
    assert one.next_for("busy", now=0.2) == (0, False)


def test_what_a_cell_above_has_is_not_asked_for_while_it_may_come_by_itself() -> None:
    one = relay()
    one.joined("above", 0, side=Side.ABOVE, now=0.0)
    one.joined("beside", 0, now=0.0)

    one.heard("above", 0b01, now=0.0)
    one.heard("beside", 0b10, now=0.0)

    assert one.tick(now=1.1) == [Ask("beside", 1)]
    assert Ask("above", 0) in one.tick(now=9.0)


def test_when_all_was_given_out_and_nothing_comes_any_more_one_asks_at_once() -> None:
    one = relay()
    one.joined("peer", 0, now=0.0)
    for piece in range(10):
        one.received("peer", piece, relay=False, now=piece * 0.01)
    one.frontier(PIECES, now=0.1)
    one.heard("peer", 1 << 50, now=0.1)

    assert one.tick(now=0.13) == []
    assert one.tick(now=0.2) == [Ask("peer", 50)]


def test_towards_the_end_whoever_is_idle_is_asked_for_what_others_have_still_to_send() -> None:
    one = relay()
    for name in ("busy", "idle"):
        one.joined(name, 0, now=0.0)
    one.frontier(PIECES, now=0.0)
    one.heard("busy", 0b11, backlog=50, now=0.0)
    one.heard("idle", 0b11, backlog=0, now=0.0)

    assert one.tick(now=0.02) == []  # it may be under way
    assert one.tick(now=0.1) == [Ask("idle", 1)]  # the last one, to which the busy one would come last
    assert one.tick(now=0.2) == []  # one at a time


def test_while_the_server_gives_out_more_nobody_takes_from_the_idle_what_may_come_by_itself() -> None:
    one = relay()
    one.joined("idle", 0, now=0.0)
    one.frontier(PIECES - 1, now=0.0)

    one.heard("idle", 0b1, now=0.0)

    assert one.tick(now=0.1) == []


def test_when_a_peer_went_what_it_was_to_get_is_missed_as_soon_as_it_is_later_than_usual() -> None:
    one = relay()
    one.joined("peer", 0, now=0.0)
    one.joined("gone", 0, now=0.0)
    for piece in range(20):
        one.frontier(piece + 1, now=piece * 0.3)
        if piece != 5:
            one.heard("peer", 1 << piece, now=piece * 0.3 + 0.1)

    assert one.lost(now=2.9) == []  # whoever got it, given out at 1.5, may have much else to do
    one.left("gone", now=2.3)

    assert one.lost(now=2.4) == []
    assert one.lost(now=2.9) == [5]


def test_a_peer_that_comes_back_gets_what_it_was_to_get() -> None:
    one = relay()
    for name in ("peer", "back"):
        one.joined(name, 0, now=0.0)
    one.frontier(3, now=0.0)
    one.left("back", now=0.1)
    one.joined("back", 0, now=0.3)

    assert one.lost(now=1.5) == []
    assert one.lost(now=9.0) == [0, 1, 2]


def test_pieces_that_were_missed_make_nobody_more_patient() -> None:
    one = relay()
    one.joined("peer", 0, now=0.0)
    for piece in range(30):
        one.frontier(piece + 1, now=piece * 0.3)
        if piece < 10:
            one.heard("peer", 1 << piece, now=piece * 0.3 + 0.1)
    one.left("another", now=11.0)
    missed = [piece for _ in range(9) for piece in one.lost(now=12.0)]
    assert set(missed) == set(range(10, 30))

    one.heard("peer", mask_of(missed, PIECES), now=12.1)
    one.frontier(31, now=12.2)

    assert one.lost(now=13.3) == [30]


def test_of_what_is_nowhere_each_names_a_few_so_that_nobody_has_to_pass_on_all_of_it() -> None:
    one = relay()
    for number in range(7):
        one.joined(f"peer{number}", 0, now=0.0)
    one.frontier(100, now=0.0)

    assert len(one.lost(now=60.0)) == 2
    assert len(one.lost(now=60.0)) == 2


def test_a_cell_is_handed_nothing_through_a_pc_that_hands_nothing_on() -> None:
    members = [
        SwarmMember(client_id=f"{n:03}", address="", port=1, key="", slot=n, sends=n % 2 == 0)
        for n in range(2 * CELL_PCS)
    ]

    below = {
        two.client_id
        for one in members[:CELL_PCS]
        for two in neighbours(members, slot=one.slot, me=one.client_id)
        if two.slot >= CELL_PCS
    }

    assert len(below) > 1
    assert not [name for name in below if int(name) % 2]


def test_a_crowd_of_which_a_tenth_gives_nothing_and_a_fifth_leaves_is_hardly_slower() -> None:
    one = simulation(50, pieces=600)
    for pc in one.pcs[::10]:
        pc.relay.sends = False
    for pc in one.pcs[3::5]:
        one.at(0.5 * ideal(one), lambda pc=pc: one.stop(pc))  # type: ignore[misc]

    assert one.run(limit_s=1.6 * ideal(one))

    assert one.sent <= 1.1 * 600


def test_a_tree_of_cells_finishes_at_about_the_time_of_one_pc() -> None:
    one = simulation(100, pieces=300)

    assert one.run(limit_s=1.45 * ideal(one))

    assert one.sent <= 1.02 * 300


def test_who_goes_changes_the_partners_of_few() -> None:
    members = [
        SwarmMember(client_id=f"{n:03}", address="", port=1, key="", slot=n) for n in range(2 * CELL_PCS)
    ]

    def partners(some: list[SwarmMember]) -> dict[str, set[str]]:
        return {
            one.client_id: {two.client_id for two in neighbours(some, slot=one.slot, me=one.client_id)}
            - {two.client_id for two in some if two.slot // CELL_PCS == one.slot // CELL_PCS}
            for one in some
            if one.slot < CELL_PCS
        }

    before, after = partners(members), partners([one for one in members if one.slot != CELL_PCS + 3])

    assert [name for name in before if before[name] != after[name]] == ["003"]


def test_what_was_asked_for_in_the_cell_above_is_passed_on_in_ones_own() -> None:
    one = relay()
    one.joined("above", 0, side=Side.ABOVE, now=0.0)
    one.joined("beside", 0, now=0.0)

    one.received("above", 7, relay=False, now=0.1)

    assert one.next_for("beside", now=0.2) == (7, False)


def test_many_pcs_take_one_piece_at_a_time_and_the_next_while_the_last_is_passed_on() -> None:
    one = relay()
    for number in range(20):
        one.joined(f"peer{number}", 0, now=0.0)
    assert one.credit(now=0.0) == 1
    one.taken([0], now=0.0)
    assert one.credit(now=0.0) == 0

    one.fetched(0, now=0.1)

    assert one.credit(now=0.1) == 1


def got_at_speed(pieces_s: int) -> Relay:
    """A PC without peers, to which half of the pieces came at this speed."""
    one = relay()
    assert one.credit(now=0.0) == FIRST_CREDIT
    for piece in range(PIECES // 2):
        one.taken([piece], now=piece / pieces_s)
        one.fetched(piece, now=piece / pieces_s)
    return one


def test_a_pc_without_peers_takes_what_comes_in_half_a_second_and_with_peers_little_again() -> None:
    slow, fast = got_at_speed(10), got_at_speed(200)

    alone = slow.credit(now=9.0), fast.credit(now=9.0)
    fast.joined("peer", (1 << PIECES) - 1, now=9.0)

    assert alone[0] < 20
    assert 90 <= alone[1] <= 110
    assert fast.credit(now=9.0) <= 8


def test_whoever_begins_together_with_others_takes_no_more_before_they_are_there() -> None:
    one, beside = relay(), relay()
    for each in (one, beside):
        assert each.credit(now=0.0) == FIRST_CREDIT
        each.taken([0, 1], now=0.0)
        each.fetched(0, now=0.01)
        each.fetched(1, now=0.02)

    beside.expect(7, now=0.02)

    assert one.credit(now=0.03) == FIRST_CREDIT
    assert beside.credit(now=0.03) == CREDIT_PIECES // 8
    assert beside.credit(now=9.0) > CREDIT_PIECES  # they did not come


def test_while_pieces_come_as_usual_nothing_is_asked_for_that_may_be_under_way() -> None:
    one, still = relay(), relay()
    for each in (one, still):
        each.joined("peer", 0, now=0.0)
        each.heard("peer", 0b1, now=0.0)
    for step in range(1, 25):
        one.received("peer", step, relay=False, now=step / 10)

    assert one.tick(now=2.4) == []
    assert still.tick(now=2.4) == [Ask("peer", 0)]
    assert one.tick(now=3.0) == [Ask("peer", 0)]


def test_what_this_pc_is_to_get_itself_is_not_missed() -> None:
    one = relay()
    one.joined("peer", 0, now=0.0)
    one.frontier(3, now=0.0, ahead=2)

    assert one.lost(now=5.0, ahead=(0, 2)) == [1]


def test_a_pc_that_lags_gets_what_others_wait_for_and_no_more() -> None:
    one = relay()
    for number in range(3):
        one.joined(f"peer{number}", 0, now=0.0)
    one.frontier(PIECES - 1, now=0.0)
    assert one.credit(now=0.0) > 0  # others have set aside what was just given out

    one.frontier(PIECES - 1, now=1.0)

    assert one.credit(now=1.0) == 0
    assert one.credit(now=1.0, ahead=2) > 0

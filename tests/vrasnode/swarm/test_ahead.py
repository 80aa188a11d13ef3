"""What a PC sets aside of the pieces that the server gave it."""

from vrasnode.swarm.ahead import Ahead


def at_speed(pieces_s: int) -> Ahead:
    """Whoever took so many pieces each second, until second 10, and set none of them aside."""
    ahead = Ahead()
    for second in range(10):
        ahead.put(list(range(pieces_s)), credit=pieces_s, now=float(second))
    return ahead


def test_more_than_the_credit_is_set_aside_and_comes_in_its_order() -> None:
    ahead = Ahead()

    now = ahead.put([4, 5, 6, 7, 8], credit=2, now=0.0)

    assert now == [4, 5]
    assert (len(ahead), 6 in ahead, 4 in ahead) == (3, True, False)
    assert ahead.take(2, have=0) == [6, 7]
    assert ahead.take(2, have=0) == [8]


def test_what_a_peer_sent_meanwhile_is_not_got_again() -> None:
    ahead = Ahead()
    ahead.put([1, 2, 3], credit=0, now=0.0)

    taken = ahead.take(2, have=1 << 1)

    assert taken == [2, 3]


def test_as_many_are_asked_for_as_come_in_half_a_second() -> None:
    slow, fast = (at_speed(pieces_s).room(left=10_000, pcs=1, now=10.0) for pieces_s in (2, 40))

    assert 0 < slow <= 1
    assert 16 <= fast <= 20


def test_whoever_has_taken_nothing_yet_sets_nothing_aside() -> None:
    room = Ahead().room(left=10_000, pcs=1, now=0.0)

    assert room == 0


def test_towards_the_end_nobody_sets_aside_what_another_could_get_sooner() -> None:
    ahead = at_speed(40)

    rooms = [ahead.room(left=left, pcs=8, now=10.0) for left in (10_000, 100, 8, 0)]

    assert rooms[1:] == [3, 0, 0]
    assert rooms[0] > 3

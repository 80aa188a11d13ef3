"""The numbers that a logon at this PC carries."""

from vrasnode.mydoc.logon import GOOD_S, MOST, Nonces


class Time:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_number_is_good_once() -> None:
    nonces = Nonces(clock=Time())
    nonce = nonces.give()

    assert nonces.take(nonce)
    assert not nonces.take(nonce)


def test_a_number_has_128_bits_and_is_never_the_same() -> None:
    nonces = Nonces(clock=Time())

    given = {nonces.give() for _ in range(1000)}

    assert len(given) == 1000
    assert {len(bytes.fromhex(nonce)) for nonce in given} == {16}


def test_a_number_of_another_pc_or_of_the_agent_before_is_good_for_nothing() -> None:
    elsewhere = Nonces(clock=Time()).give()

    assert not Nonces(clock=Time()).take(elsewhere)
    assert not Nonces(clock=Time()).take("")


def test_a_number_is_good_for_two_minutes_also_while_the_pc_sleeps() -> None:
    time = Time()
    nonces = Nonces(clock=time)
    early, late = nonces.give(), nonces.give()

    time.now = GOOD_S - 1
    assert nonces.take(early)
    time.now = GOOD_S
    assert not nonces.take(late)


def test_who_asks_on_and_on_fills_no_memory() -> None:
    nonces = Nonces(clock=Time())

    given = [nonces.give() for _ in range(3 * MOST)]

    assert [nonces.take(nonce) for nonce in given] == [False] * 2 * MOST + [True] * MOST

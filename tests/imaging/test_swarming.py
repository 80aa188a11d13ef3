"""PCs of one place share a version: who takes part, and which of them gets what from the server (row T2)."""

import hashlib
from collections.abc import Callable
from datetime import datetime, timedelta
from random import Random

import pytest
from msgspec.structs import replace

from benchmarks.swarmsim import free_slot
from clients import quickstore
from clients.enrolment import identity
from clients.errors import Refusal
from clients.models import Client, Event, Group, Site
from imaging import desktops, distributing, reasons, swarming
from imaging.models import MasterImage
from imaging.swarming import Permission
from tests.images import publish
from tests.pcs import FakePc
from vrasnode.wire.swarm import CELL_PCS, SwarmAnswer, SwarmCall, SwarmTerms

Enrol = Callable[..., FakePc]

PIECES = 20
EVERYTHING = (1 << PIECES) - 1
SWARM = "7-0123456789ab"


def need(mask: int = EVERYTHING) -> bytes:
    return mask.to_bytes(3, "little")


JOIN = SwarmCall(port=4000, pieces=PIECES, need=need())


def say(pc: FakePc, call: SwarmCall, now: datetime, *, address: str = "10.1.2.3") -> SwarmAnswer:
    return swarming.answer(Permission(pc.client.pk, SWARM), call, address=address, now=now)


@pytest.fixture
def pcs(enrol: Enrol) -> list[FakePc]:
    return [enrol(f"pc{number}") for number in range(3)]


def test_each_piece_is_given_out_once(pcs: list[FakePc], now: datetime) -> None:
    for pc in pcs:
        say(pc, JOIN, now)

    given = [piece for _ in range(4) for pc in pcs for piece in say(pc, SwarmCall(want=3), now).take]

    assert sorted(given) == list(range(PIECES))


def test_what_nobody_lacks_is_given_to_nobody(pcs: list[FakePc], now: datetime) -> None:
    say(pcs[0], replace(JOIN, need=need(0b1010)), now)
    say(pcs[1], replace(JOIN, need=need(0b0110)), now)

    answer = say(pcs[0], SwarmCall(want=10), now)

    assert (answer.take, answer.left) == ([1, 2, 3], 0)


def test_a_pc_has_to_say_first_what_it_lacks(pcs: list[FakePc], now: datetime) -> None:
    with pytest.raises(Refusal) as refused:
        say(pcs[0], SwarmCall(want=1), now)

    assert refused.value.code == "not_joined"


def test_members_know_each_others_addresses_and_keys(pcs: list[FakePc], now: datetime) -> None:
    say(pcs[0], JOIN, now, address="::ffff:10.1.2.3")
    say(pcs[1], replace(JOIN, port=5000), now, address="10.1.2.4")

    members = say(pcs[0], SwarmCall(), now).members

    assert members is not None
    key = hashlib.sha256(bytes(pcs[1].client.signing_key)).hexdigest()
    assert {(one.client_id, one.address, one.port) for one in members} == {
        (str(pcs[0].client.pk), "10.1.2.3", 4000),
        (str(pcs[1].client.pk), "10.1.2.4", 5000),
    }
    assert key in {one.key for one in members}


def test_members_are_told_once_and_again_when_they_change(pcs: list[FakePc], now: datetime) -> None:
    known = say(pcs[0], JOIN, now)

    same = say(pcs[0], SwarmCall(revision=known.revision), now)
    say(pcs[1], JOIN, now)
    changed = say(pcs[0], SwarmCall(revision=known.revision), now)

    assert same.members is None
    assert changed.members is not None and len(changed.members) == 2


def test_a_pc_that_falls_silent_is_left_and_may_come_back(pcs: list[FakePc], now: datetime) -> None:
    say(pcs[0], JOIN, now)
    say(pcs[1], JOIN, now)
    later = now + timedelta(seconds=swarming.DEAD_S + 1)

    members = say(pcs[0], SwarmCall(), later).members or []
    members = say(pcs[0], SwarmCall(), later).members or members

    assert [one.client_id for one in members] == [str(pcs[0].client.pk)]
    with pytest.raises(Refusal):
        say(pcs[1], SwarmCall(), later)
    assert len(say(pcs[1], JOIN, later).members or []) == 2


def test_what_was_given_out_and_is_nowhere_is_given_again_but_to_one(
    pcs: list[FakePc], now: datetime
) -> None:
    for pc in pcs:
        say(pc, JOIN, now)
    taken = say(pcs[0], SwarmCall(want=2), now).take

    first = say(pcs[1], SwarmCall(missing=[*taken, 15]), now)
    second = say(pcs[2], SwarmCall(missing=taken), now)
    third = say(pcs[2], SwarmCall(missing=taken), now + timedelta(seconds=swarming.AGAIN_S))

    assert first.take == taken  # 15 was not given out yet
    assert second.take == []
    assert third.take == taken


def test_whoever_comes_when_all_others_are_gone_gets_everything(pcs: list[FakePc], now: datetime) -> None:
    say(pcs[0], JOIN, now)
    say(pcs[0], SwarmCall(want=PIECES), now)
    later = now + timedelta(seconds=swarming.DEAD_S + 1)

    say(pcs[1], JOIN, later)

    assert say(pcs[1], SwarmCall(want=PIECES), later).take == list(range(PIECES))


def test_two_that_find_a_pcs_bytes_wrong_put_it_out_and_it_is_recorded(
    pcs: list[FakePc], now: datetime
) -> None:
    for pc in pcs:
        say(pc, JOIN, now)
    liar = str(pcs[2].client.pk)

    say(pcs[0], SwarmCall(wrong=[liar]), now)
    still = say(pcs[0], SwarmCall(wrong=[liar]), now).members or []
    say(pcs[1], SwarmCall(wrong=[liar]), now)
    after = say(pcs[1], SwarmCall(), now).members or []

    assert liar in {one.client_id for one in still}
    assert liar not in {one.client_id for one in after}
    assert Event.objects.filter(verb="client.sent_wrong_bytes").count() == 2


def test_whoever_was_put_out_waits_for_the_others_but_not_for_ever(pcs: list[FakePc], now: datetime) -> None:
    for pc in pcs:
        say(pc, JOIN, now)
    for pc in pcs[:2]:
        say(pc, SwarmCall(wrong=[str(pcs[2].client.pk)]), now)

    held = say(pcs[2], JOIN, now)
    for seconds in range(10, swarming.HOLD_S + 10, 10):
        later = now + timedelta(seconds=seconds)
        for pc in pcs[:2]:
            say(pc, SwarmCall(), later)

    assert held.hold_s and not held.take and not held.members
    with pytest.raises(Refusal) as refused:
        say(pcs[2], JOIN, later)
    assert refused.value.code == "not_shared"


@pytest.mark.parametrize("gone", [False, True])
def test_whoever_was_put_out_goes_on_when_the_others_have_all_or_are_gone(
    pcs: list[FakePc], now: datetime, gone: bool
) -> None:
    for pc in pcs:
        say(pc, JOIN, now)
    for pc in pcs[:2]:
        say(pc, SwarmCall(wrong=[str(pcs[2].client.pk)]), now)
    later = now + timedelta(seconds=swarming.DEAD_S + 1 if gone else 0)
    for pc in pcs[:2]:
        gone or say(pc, SwarmCall(finished=True), now)

    with pytest.raises(Refusal) as refused:
        say(pcs[2], JOIN, later)

    assert refused.value.code == "not_shared"


def test_the_delivery_of_whoever_was_put_out_says_so_and_what_to_do(
    pcs: list[FakePc], desktop: MasterImage, sales: Group, now: datetime
) -> None:
    Client.objects.update(group=sales)
    sent = distributing.start(publish(desktop, "a", now=now), sales, now=now)
    swarm = f"{sent.pk}-0123456789ab"
    for pc in pcs:
        swarming.answer(Permission(pc.client.pk, swarm), JOIN, address="10.1.2.3", now=now)

    for pc in pcs[:2]:
        wrong = SwarmCall(wrong=[str(pcs[2].client.pk)])
        swarming.answer(Permission(pc.client.pk, swarm), wrong, address="10.1.2.3", now=now)

    (stuck,) = sent.deliveries.all().stuck(now)
    why = reasons.why(stuck, now=now)
    assert stuck.client_id == pcs[2].client.pk
    assert why and why.code == "comes_last" and why.remedy


def test_pcs_that_give_nothing_are_few_in_each_cell(pcs: list[FakePc], now: datetime) -> None:
    chance, taken = Random(1), set[int]()
    keys, client = swarming._keys(SWARM, ""), pcs[0].client.pk.hex
    for number in range(4 * CELL_PCS):
        sends = chance.random() < 0.8
        expected = free_slot(taken, sends=sends)

        slot = say(pcs[0], replace(JOIN, sends=sends), now).slot

        assert slot == expected, number
        taken.add(slot)
        store = quickstore.client()  # from now on it is another's
        store.hdel(keys[6], f"of:{client}")
        store.hset(keys[6], str(slot), f"{number:032x}")
        store.hset(keys[6], f"of:{number:032x}", str(slot))
        store.zadd(keys[4], {f"{number:032x}": now.timestamp()})


def test_a_big_crowd_is_a_tree_of_cells(pcs: list[FakePc], now: datetime) -> None:
    keys = swarming._keys(SWARM, "")
    say(pcs[0], JOIN, now)
    store = quickstore.client()
    for slot in range(1, 2 * CELL_PCS):
        store.hset(keys[6], str(slot), f"{slot:032x}")
        store.hset(keys[6], f"of:{slot:032x}", str(slot))

    answer = say(pcs[1], JOIN, now)

    assert answer.slot == 2 * CELL_PCS


@pytest.mark.parametrize(
    "call",
    [replace(JOIN, need=b"1"), replace(JOIN, pieces=0), replace(JOIN, port=0), replace(JOIN, pieces=1 << 30)],
)
def test_what_does_not_fit_the_version_is_refused(pcs: list[FakePc], now: datetime, call: SwarmCall) -> None:
    with pytest.raises(Refusal) as refused:
        say(pcs[0], call, now)

    assert refused.value.code == "bad_call"


def terms_of(pc: FakePc, now: datetime, address: str) -> SwarmTerms | None:
    pc.client.seen_from = address
    fetch = desktops.slice_of(pc.client, now).fetch
    assert fetch is not None
    return fetch.swarm


def test_pcs_of_one_subnet_share_and_those_of_two_do_not(
    pcs: list[FakePc], desktop: MasterImage, sales: Group, now: datetime
) -> None:
    Client.objects.update(group=sales)
    distributing.start(publish(desktop, "a", now=now), sales, now=now)

    here, too, there = (
        terms_of(pc, now, address)
        for pc, address in zip(pcs, ["10.1.2.3", "10.1.2.4", "10.9.9.9"], strict=True)
    )

    assert here and too and there
    assert here.path == too.path != there.path


@pytest.mark.parametrize("peers", [True, False])
def test_a_site_of_several_subnets_shares_as_one_and_only_where_it_may(
    pcs: list[FakePc], desktop: MasterImage, sales: Group, now: datetime, peers: bool
) -> None:
    Client.objects.update(group=sales)
    distributing.start(publish(desktop, "a", now=now), sales, now=now)
    Site.objects.create(name="Osaka", ranges="10.1.0.0/16, 10.9.9.0/24", peers=peers)

    here, there = (terms_of(pc, now, at) for pc, at in zip(pcs, ["10.1.2.3", "10.9.9.9"], strict=False))

    assert (here and here.path) == (there and there.path)
    assert (here is not None) is peers


def test_outside_the_company_nothing_is_shared(
    pcs: list[FakePc], desktop: MasterImage, sales: Group, now: datetime
) -> None:
    Client.objects.update(group=sales)
    distributing.start(publish(desktop, "a", now=now), sales, now=now)

    assert terms_of(pcs[0], now, "8.8.8.8") is None


def test_a_permission_is_for_one_pc_one_swarm_and_an_hour_or_two(
    pcs: list[FakePc], desktop: MasterImage, sales: Group, now: datetime
) -> None:
    Client.objects.update(group=sales)
    distributing.start(publish(desktop, "a", now=now), sales, now=now)
    terms = terms_of(pcs[0], now, "10.1.2.3")
    assert terms is not None
    swarm = terms.path.removeprefix(swarming.DOOR)

    assert swarming.permitted(swarm, terms.permission, now=now).client == pcs[0].client.pk
    for other, text, when in (
        ("1-0123456789ab", terms.permission, now),
        (swarm, terms.permission[:-1] + "g", now),
        (swarm, terms.permission, now + timedelta(hours=3)),
        (swarm, "", now),
    ):
        with pytest.raises(Refusal):
            swarming.permitted(other, text, now=when)


@pytest.mark.parametrize("act", ["ask", "join", "accuse"])
def test_a_revoked_pc_may_not_share_from_that_moment(pcs: list[FakePc], now: datetime, act: str) -> None:
    for pc in pcs:
        say(pc, JOIN, now)
    accused = str(pcs[1].client.pk)
    call = {"ask": SwarmCall(want=3), "join": JOIN, "accuse": SwarmCall(wrong=[accused])}[act]
    row = Client.objects.get(pk=pcs[0].client.pk)
    row.move(Client.State.REVOKED)

    identity.forget(row)

    with pytest.raises(Refusal) as refused:
        say(pcs[0], call, now)
    assert refused.value.code == "not_shared"
    assert not Event.objects.filter(verb="client.sent_wrong_bytes").exists()

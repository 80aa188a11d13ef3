"""User data of a simulated PC: all is asked, answered and kept, though nothing is encrypted."""

import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from msgspec.structs import replace

from tests.vrasnode.conftest import FACTS, member_of
from tests.vrasnode.mydoccast import ALICE, MIB, DataOffice
from tests.vrasnode.office import CLIENT_ID, Keys
from vrasnode import sealing
from vrasnode.agent import Agent
from vrasnode.building import Protection, build
from vrasnode.machines.options import Options
from vrasnode.places import State
from vrasnode.preflight import examine
from vrasnode.simulation import pc
from vrasnode.simulation.settings import Settings
from vrasnode.wire import codec
from vrasnode.wire.checkout import CheckoutReport, CheckoutSlice, Keeper, LeaseState, LeaseWish, UsageKey
from vrasnode.wire.clients import ClientSlice, Platform
from vrasnode.wire.mydoc import Act, Answer, MydocReport, MydocSlice, Question, VolumeState, VolumeWish
from vrasnode.wire.signatures import Role, seal

LIMIT_S = 180.0


@pytest.fixture
def agent(data_office: DataOffice, tmp_path: Path) -> Iterator[Agent]:
    """Of a simulated PC that is a member."""
    state = State(tmp_path)
    member_of(data_office, state.identity)
    world = pc.world(state, settings=Settings())
    agent = build(state, world=world, options=Options(), stop=threading.Event(), wake=threading.Event())
    yield agent
    for part in agent.parts:
        part.close()


def until(agent: Agent, reached: Callable[[], object]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not reached():
        assert time.monotonic() < deadline
        agent.turn()
        time.sleep(0.01)


def told(data_office: DataOffice) -> VolumeState | None:
    """What the server heard last of the only volume."""
    heard = [codec.decode(body, MydocReport) for app, body in data_office.reports if app == "mydoc"]
    return heard[-1].volumes[0].state if heard and heard[-1].volumes else None


def say(data_office: DataOffice, wish: VolumeWish, *, asked: int = 0) -> None:
    said = MydocSlice(volumes=[wish], custodians=data_office.custodians, asked=asked)
    data_office.slices["mydoc"] = codec.encode(said)
    data_office.look = str(uuid4())


def test_documents_of_a_simulated_pc_open_are_looked_into_and_locked(
    agent: Agent, data_office: DataOffice
) -> None:
    volume, key = str(uuid4()), X25519PrivateKey.generate()
    wish = VolumeWish(
        volume=volume, owner=ALICE, owner_name="alice", limit_bytes=MIB, session="s", nonce="any"
    )
    say(data_office, wish)
    until(agent, lambda: told(data_office) is VolumeState.OPEN)

    raw = key.public_key().public_bytes_raw()
    data_office.questions = [Question(id="q", volume=volume, act=Act.SEARCH, words="議事録", reply_key=raw)]
    say(data_office, wish, asked=1)
    agent.parts[2].look_soon()  # type: ignore[attr-defined]
    until(agent, lambda: "q" in data_office.answers)
    opened = sealing.open_sealed(data_office.answers["q"], key, purpose=sealing.answer_purpose("q"))
    say(data_office, replace(wish, session="", nonce=""))
    agent.parts[2].look_soon()  # type: ignore[attr-defined]
    until(agent, lambda: told(data_office) is VolumeState.LOCKED)

    names = [entry.name.decode() for entry in codec.decode(opened, Answer).entries]
    assert names == ["Documents/議事録"]
    assert len(data_office.deposits) == 1


@pytest.mark.parametrize("encrypted", [None, True, False])
@pytest.mark.parametrize("allowed", [False, True])
def test_user_data_on_a_bare_partition_is_for_who_said_so_and_everybody_is_told(
    encrypted: bool | None, allowed: bool
) -> None:
    facts = replace(FACTS, platform=Platform(encrypted_state=encrypted))

    protection = Protection.of(facts, allow_unencrypted=allowed)
    findings = examine(protection.told(facts), policy=None, now=datetime.now(UTC))

    bare = encrypted is False
    assert (protection.blocked is not None) == (bare and not allowed)
    assert ("unencrypted_allowed" in [one.code for one in findings]) == (bare and allowed)
    assert protection.allowed_bare == (bare and allowed)


def test_whoever_sits_there_picks_a_usage_key_up_and_its_end_is_told(
    agent: Agent, data_office: DataOffice, keys: Keys
) -> None:
    volume, lease, now = str(uuid4()), str(uuid4()), datetime.now(UTC)
    wish = VolumeWish(
        volume=volume, owner=ALICE, owner_name="alice", limit_bytes=MIB, session="s", nonce="any"
    )
    say(data_office, wish)
    until(agent, lambda: told(data_office) is VolumeState.OPEN)
    identity = next(part for part in agent.parts if part.name == "checkout")._means.identity  # type: ignore[attr-defined]
    key = UsageKey(
        lease=lease,
        serial=1,
        client=UUID(CLIENT_ID),
        pc_key=identity.signing_fingerprint,
        volume=volume,
        owner=ALICE,
        owner_name="alice",
        starts=now - timedelta(minutes=1),
        ends=now + timedelta(days=3),
        issued=now - timedelta(minutes=2),
        budget_s=3 * 86400,
        secret=sealing.seal(b"k" * 32, identity.hpke_key, purpose=sealing.lease_purpose(lease)),
        software=False,
    )
    signed = seal(codec.encode(key), Role.LEASE, keys.lease)

    def lend(wish: LeaseWish) -> None:
        data_office.slices["clients"] = codec.encode(
            ClientSlice(name="pc-1", group="Sales", poll_s=30.0, keyring=keys.keyring())
        )
        data_office.slices["checkout"] = codec.encode(CheckoutSlice(leases=[wish]))
        data_office.look = str(uuid4())
        agent.parts[2].look_soon()  # type: ignore[attr-defined]

    def state() -> LeaseState | None:
        heard = [codec.decode(body, CheckoutReport) for app, body in data_office.reports if app == "checkout"]
        return heard[-1].leases[0].state if heard and heard[-1].leases else None

    lend(LeaseWish(lease=lease, key=signed))
    until(agent, lambda: state() is LeaseState.READY)
    lend(LeaseWish(lease=lease, ended="returned"))
    until(agent, lambda: state() is LeaseState.ENDED)

    reports = [codec.decode(body, CheckoutReport) for app, body in data_office.reports if app == "checkout"]
    assert reports[-1].leases[0].slot_gone
    assert reports[-1].leases[0].keeper is Keeper.TPM

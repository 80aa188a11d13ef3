"""A PC that was declared lost: what it throws away, at whose word; real volumes, a real office over HTTP."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from tests.vrasnode.conftest import member_of
from tests.vrasnode.mydoccast import BOB, NO_TPM, DataOffice, DataPc
from tests.vrasnode.office import CLIENT_ID, Keys, Response, problem
from vrasnode import sealing
from vrasnode.errors import Refused
from vrasnode.mydoc.killing import AGAIN_S, Killing
from vrasnode.mydoc.pchalf import Halves
from vrasnode.wire import codec
from vrasnode.wire.mydoc import KillNotice, KillOrder, KillReport, VolumeState
from vrasnode.wire.signatures import Role, Signed, seal

pytestmark = pytest.mark.slow


@dataclass
class LosingOffice(DataOffice):
    """The server, with the door for lost PCs."""

    order: KillOrder | None = None
    keyring_of: Keys | None = None  # None: its own
    role: Role = Role.ASSIGNMENT
    killed: list[KillReport] = field(default_factory=list)

    def _known(self, path: str, headers: Any, body: bytes) -> Response:
        if path != "/node/v1/mydoc/kill":
            return super()._known(path, headers, body)
        if body:
            self.killed.append(codec.decode(body, KillReport))
            return 204, b"", {}
        if self.order is None:
            return problem(404, "not_lost")
        notice = KillNotice(order=self._signed(self.order), keyring=(self.keyring_of or self.keys).keyring())
        return 200, codec.encode(notice), {}

    def _signed(self, order: KillOrder) -> Signed:
        keys = self.keyring_of or self.keys
        key = keys.assignment if self.role is Role.ASSIGNMENT else keys.image
        return seal(codec.encode(order), self.role, key)

    def declare(self, *, serial: int = 1, kills: str = CLIENT_ID) -> None:
        self.order = KillOrder(kills=UUID(kills), serial=serial, issued=datetime.now(UTC))


@pytest.fixture
def office(keys: Keys) -> Iterator[LosingOffice]:
    with LosingOffice(keys=keys).open() as office:
        assert isinstance(office, LosingOffice)
        yield office


@pytest.fixture
def pc(office: LosingOffice, tmp_path: Path) -> Iterator[DataPc]:
    pc = DataPc(tmp_path, office=office, identity=member_of(office, tmp_path / "identity"))
    yield pc
    pc.close()


@dataclass
class Lost:
    """The PC's part for the order, beside its volumes."""

    pc: DataPc
    halves: Halves
    killing: Killing

    def turn(self) -> None:
        self.pc.step()
        self.killing.step()


@pytest.fixture
def lost(pc: DataPc) -> Lost:
    """A PC whose server has just said that it is lost."""
    pc.welcome = False
    halves = Halves(pc.directory / "mydoc", tpm=NO_TPM)
    return Lost(pc, halves, killing_of(pc, halves))


def killing_of(pc: DataPc, halves: Halves, *, is_lost: Callable[[], bool] = lambda: True) -> Killing:
    assert pc.identity.installation is not None
    return Killing(
        pc.directory / "mydoc",
        server=pc.server,
        halves=halves,
        volumes=pc.volumes,
        client_id=CLIENT_ID,
        root_key=pc.identity.installation.root_key,
        is_lost=is_lost,
        all_locked=lambda: pc.mydoc.all_locked,
        clock=pc.time,
        now=lambda: datetime.now(UTC),
    )


def test_everything_is_locked_first_then_forgotten_then_said(office: LosingOffice, pc: DataPc) -> None:
    wish = pc.opened()
    halves = Halves(pc.directory / "mydoc", tpm=NO_TPM)
    half = halves.get(wish.volume)
    assert half is not None
    office.declare()
    killing = killing_of(pc, halves)

    pc.welcome = False
    killing.step()
    assert halves.get(wish.volume) == half
    assert office.killed == []

    pc.until(lambda: killing.step() or office.killed)

    assert pc.report(wish.volume).state is VolumeState.LOCKED
    assert not pc.readable(wish.volume)
    assert halves.get(wish.volume) is None
    assert office.killed == [KillReport(serial=1, volumes=[wish.volume], unread=1, wiped=1)]


def test_not_even_both_old_halves_open_it_any_more_and_the_custodians_do(
    office: LosingOffice, pc: DataPc
) -> None:
    wish = pc.opened()
    halves = Halves(pc.directory / "mydoc", tpm=NO_TPM)
    before = sealing.lan_key(office.halves[wish.volume], halves.make(wish.volume), volume=wish.volume)
    office.declare()
    pc.welcome = False
    killing = killing_of(pc, halves)
    pc.until(lambda: killing.step() or office.killed)

    pc.welcome = True
    pc.log_on(volume=wish.volume)
    report = pc.until_state(VolumeState.BROKEN)

    assert report.code == "wrong_key"
    assert not pc.volumes.opens(wish.volume, before)
    assert pc.volumes.opens(wish.volume, office.recovered(office.deposits[0]))


def test_volumes_that_the_server_does_not_name_any_more_are_forgotten_too(
    office: LosingOffice, lost: Lost
) -> None:
    for volume in (ALICES, BOBS):
        lost.halves.make(volume)
    office.declare()

    lost.turn()

    assert [lost.halves.get(volume) for volume in (ALICES, BOBS)] == [None, None]
    assert office.killed[0].volumes == sorted([ALICES, BOBS])


def test_an_order_is_obeyed_once_and_answered_again(office: LosingOffice, lost: Lost) -> None:
    lost.halves.make(ALICES)
    office.declare()
    lost.turn()
    half = lost.halves.make(ALICES)  # it was found, and somebody recovered and used it

    again = Lost(lost.pc, lost.halves, killing_of(lost.pc, lost.halves))  # as after a kill
    again.turn()

    assert lost.halves.get(ALICES) == half
    assert office.killed == [office.killed[0]] * 2


def test_a_pc_that_is_lost_a_second_time_obeys_again(office: LosingOffice, lost: Lost) -> None:
    office.declare()
    lost.turn()
    lost.halves.make(ALICES)
    office.declare(serial=2)

    lost.pc.time.ahead += AGAIN_S + 1
    lost.turn()

    assert lost.halves.get(ALICES) is None
    assert [report.serial for report in office.killed] == [1, 2]


@pytest.mark.parametrize("wrong", ["signer", "role", "pc", "expired"])
def test_what_is_no_order_to_this_pc_throws_nothing_away(
    wrong: str, office: LosingOffice, lost: Lost
) -> None:
    half = lost.halves.make(ALICES)
    office.declare(kills=CLIENT_ID if wrong != "pc" else BOB)
    if wrong == "signer":
        office.keyring_of = Keys()
    if wrong == "role":
        office.role = Role.IMAGE
    if wrong == "expired":
        lost.killing._now = lambda: datetime.now(UTC) + timedelta(days=400)

    with pytest.raises(Refused):
        lost.turn()

    assert lost.halves.get(ALICES) == half
    assert office.killed == []


def test_a_server_that_says_lost_and_gives_no_order_locks_and_nothing_more(
    office: LosingOffice, pc: DataPc
) -> None:
    wish = pc.opened()
    halves = Halves(pc.directory / "mydoc", tpm=NO_TPM)
    half = halves.get(wish.volume)
    killing = killing_of(pc, halves)

    pc.welcome = False
    with pytest.raises(Refused, match="not_lost"):
        killing.step()
    pc.until_state(VolumeState.LOCKED)

    assert halves.get(wish.volume) == half


def test_a_pc_that_is_not_lost_asks_for_nothing(office: LosingOffice, pc: DataPc) -> None:
    halves = Halves(pc.directory / "mydoc", tpm=NO_TPM)
    half = halves.make(ALICES)
    office.declare()

    killing_of(pc, halves, is_lost=lambda: False).step()

    assert halves.get(ALICES) == half
    assert office.killed == []


ALICES = "5b0e8f0e-7a51-4f0e-9d3b-0d6d4c9f1a77"
BOBS = "c2f0a2ce-3c53-4d1c-8a52-9a1f6c6b0d1e"

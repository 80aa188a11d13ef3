"""Steps of a chain that the company's directory fills, a group or the manager: a real controller says who."""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import ldap
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from django.contrib.auth.models import User
from django.utils import timezone

from checkout import approvers, chaining, deciding, deputizing, requesting, sweeping, writing
from checkout.approvers import Asked
from checkout.chaining import Link, Terms
from checkout.models import CheckoutRequest, Kind, Lease, Letter
from clients.errors import Refusal
from clients.models import Client, Group
from clients.people import admitting
from clients.people import directory as directories
from config.demo.directory import Directory
from mydoc.models import Volume
from tests.checkout.asking import DAY, tell, wish
from tests.checkout.conftest import Replicas
from tests.mydoc.answering import beat, make_volume
from tests.pcs import FakePc, facts_with_devices
from vrasnode.wire.checkout import LeaseState
from vrasnode.wire.clients import FactsReport

pytestmark = [pytest.mark.slow, pytest.mark.django_db]
State = CheckoutRequest.State


class Office:
    """The people of this test alone, as the directory has them; their accounts here."""

    def __init__(self, directory: Directory) -> None:
        self.directory = directory
        self.guids: list[str] = []
        self.groups: list[str] = []

    def hire(self, name: str, *groups: str, manager: str = "") -> User:
        """Somebody who logged on once."""
        self.guids.append(self.directory.add_user(name))
        for group in groups:
            self.directory.join(group, name)
        if manager:
            self.lead(name, by=manager)
        return self.account(name)

    def account(self, name: str) -> User:
        place = self.directory.settings()
        with directories.asked(place) as link:
            person = directories.find(link, place, name)
            assert person is not None
            return admitting.admit(
                person,
                wanted=directories.roles_of(link, place, person.dn),
                find_again=lambda guid: directories.find_again(link, place, guid),
            )

    def lead(self, name: str, *, by: str) -> None:
        """The directory calls `by` their manager from now on."""
        self.directory._change(name, ldap.MOD_REPLACE, "manager", self.directory.dn(by).encode())

    def found(self, group: str, *members: str) -> str:
        """A new group; its place in the directory."""
        self.directory.add_group(group)
        self.groups.append(group)
        for member in members:
            self.directory.join(group, member)
        return self.directory.dn(group)


@pytest.fixture
def office(directory: Directory, settings: Any) -> Iterator[Office]:
    settings.DIRECTORY = directory.settings()
    here = Office(directory)
    yield here
    for guid in [*here.guids, *(directory.guid(group) for group in here.groups)]:
        directory.remove(guid)


@pytest.fixture
def lend(
    office: Office, pc: FakePc, pc_key: X25519PrivateKey, replicas: Replicas, now: datetime
) -> Callable[[User], Volume]:
    """Makes somebody's data on pc-sales-01; nothing stands in the way of a key but decisions."""

    def make(owner: User) -> Volume:
        beat(pc, now=now)
        made = make_volume(pc, owner, now=now)
        pc.post("/node/v1/reports/clients", FactsReport(facts=facts_with_devices()))
        Volume.objects.filter(pk=made.pk).update(server_half=b"wrapped")
        return Volume.objects.select_related("client__group", "owner").get(pk=made.pk)

    return make


def decided_by(pc: FakePc, *chain: Link) -> None:
    """Whose word it takes for PCs of this PC's group."""
    group = Client.objects.get(pk=pc.client.pk).group
    assert isinstance(group, Group)
    chaining.save(group, Terms(software=False, max_days=31, chain=chain), reason="x")


def refused(request: CheckoutRequest, by: User, now: datetime) -> str:
    with pytest.raises(Refusal) as caught:
        deciding.approve(request, by=by, now=now)
    assert not Lease.objects.exists()
    return caught.value.code


def test_the_manager_of_the_directory_approves_and_no_other_approver(
    office: Office, pc: FakePc, lend: Callable[[User], Volume], now: datetime
) -> None:
    boss = office.hire("boss", "vras-approvers")
    judy = office.hire("judy", "vras-employees", manager="boss")
    decided_by(pc, Link(Kind.MANAGER))

    asked = requesting.submit(lend(judy), wish(now), by=judy, now=now)

    assert asked.current_step is not None
    assert asked.current_step.person == boss
    assert approvers.addresses(asked.current_step) == [boss.email]
    assert refused(asked, office.account("dave"), now) == "not_the_approver"
    deciding.approve(asked, by=boss, now=now)
    assert asked.state == State.LENT


@pytest.mark.soak
def test_a_manager_who_was_never_here_is_known_by_the_directory(
    office: Office, pc: FakePc, lend: Callable[[User], Volume], now: datetime
) -> None:
    office.guids.append(office.directory.add_user("newboss"))
    office.directory.join("vras-employees", "newboss")
    judy = office.hire("judy", "vras-employees", manager="newboss")
    decided_by(pc, Link(Kind.MANAGER))

    asked = requesting.submit(lend(judy), wish(now), by=judy, now=now)

    assert asked.current_step is not None
    assert asked.current_step.words in ("newboss", "Newboss")
    deciding.approve(asked, by=office.account("newboss"), now=now)
    assert asked.state == State.LENT


@pytest.mark.soak
def test_whoever_is_no_longer_the_manager_decides_nothing(
    office: Office, pc: FakePc, lend: Callable[[User], Volume], now: datetime
) -> None:
    boss, other = office.hire("boss", "vras-approvers"), office.hire("otherboss", "vras-approvers")
    judy = office.hire("judy", "vras-employees", manager="boss")
    decided_by(pc, Link(Kind.MANAGER))
    asked = requesting.submit(lend(judy), wish(now), by=judy, now=now)

    office.lead("judy", by="otherboss")

    assert refused(asked, boss, now) == "not_the_approver"
    assert refused(asked, other, now) == "not_the_approver"  # the chain is of when it was submitted
    assert approvers.waiting_for(boss, asked=Asked(), now=now) == []
    requesting.withdraw(asked, by=judy, now=now)
    again = requesting.submit(asked.volume, wish(now), by=judy, now=now)
    deciding.approve(again, by=other, now=now)
    assert again.state == State.LENT


@pytest.mark.parametrize(
    ("manager", "code"),
    [
        ("", "no_manager"),
        pytest.param("judy", "own_chain", marks=pytest.mark.soak),
        pytest.param("norole", "no_role_there", marks=pytest.mark.soak),
    ],
)
def test_without_a_manager_who_can_decide_nothing_is_submitted(  # noqa: PLR0917
    manager: str, code: str, office: Office, pc: FakePc, lend: Callable[[User], Volume], now: datetime
) -> None:
    office.guids.append(office.directory.add_user("norole"))
    judy = office.hire("judy", "vras-employees")
    if manager:
        office.lead("judy", by=manager)
    decided_by(pc, Link(Kind.MANAGER))

    with pytest.raises(Refusal, match=code):
        requesting.submit(lend(judy), wish(now), by=judy, now=now)

    assert not CheckoutRequest.objects.exists()


def test_a_member_of_a_group_in_the_steps_group_approves_and_the_role_alone_does_not(
    office: Office, pc: FakePc, lend: Callable[[User], Volume], now: datetime
) -> None:
    officer, judy = office.hire("officer", "vras-approvers"), office.hire("judy", "vras-employees")
    office.found("security-night", "officer")
    security = office.found("security", "security-night")
    decided_by(pc, Link(Kind.GROUP, directory_group=security))
    asked = requesting.submit(lend(judy), wish(now), by=judy, now=now)
    assert asked.current_step is not None
    assert asked.current_step.words == "security"
    assert [row.pk for row in approvers.waiting_for(officer, asked=Asked(), now=now)] == [asked.pk]
    mail = approvers.addresses(asked.current_step)
    assert [address.partition("@")[0] for address in mail] == ["officer"]

    assert refused(asked, office.account("dave"), now) == "not_the_approver"
    deciding.approve(asked, by=officer, now=now)

    assert asked.state == State.LENT


@pytest.mark.parametrize(
    "how", ["left", *(pytest.param(how, marks=pytest.mark.soak) for how in ("disabled", "group gone"))]
)
def test_who_left_the_group_between_the_mail_and_the_decision_decides_nothing(
    how: str, office: Office, pc: FakePc, lend: Callable[[User], Volume], now: datetime
) -> None:
    officer, judy = office.hire("officer", "vras-approvers"), office.hire("judy", "vras-employees")
    decided_by(pc, Link(Kind.GROUP, directory_group=office.found("security", "officer")))
    asked = requesting.submit(lend(judy), wish(now), by=judy, now=now)

    if how == "left":
        office.directory.leave("security", "officer")
    elif how == "disabled":
        office.directory.disable("officer")
    else:
        office.directory.remove(office.directory.guid(office.groups.pop()))

    assert refused(asked, officer, now) == "not_the_approver"


@pytest.mark.soak
def test_the_requester_who_is_in_the_steps_group_is_refused_also_through_a_deputy(
    office: Office, pc: FakePc, lend: Callable[[User], Volume], now: datetime
) -> None:
    judy = office.hire("judy", "vras-employees", "vras-approvers")
    officer, helper = office.hire("officer", "vras-approvers"), office.hire("helper", "vras-employees")
    decided_by(pc, Link(Kind.GROUP, directory_group=office.found("security", "judy", "officer")))
    asked = requesting.submit(lend(judy), wish(now), by=judy, now=now)
    today = timezone.localtime(now).date()
    deputizing.appoint(judy, deputy=helper, starts=today, ends=today, by=judy)
    assert asked.current_step is not None
    assert [mail.partition("@")[0] for mail in approvers.addresses(asked.current_step)] == ["officer"]

    assert refused(asked, judy, now) == "own_request"
    assert refused(asked, helper, now) == "not_the_approver"
    deputizing.appoint(officer, deputy=helper, starts=today, ends=today, by=officer)
    deciding.approve(asked, by=helper, now=now)

    step = asked.steps.get()
    assert (step.decided_by, step.instead_of) == (helper, officer)


@pytest.mark.soak
def test_while_the_directory_is_away_nobody_decides_and_the_request_waits(
    office: Office, pc: FakePc, lend: Callable[[User], Volume], settings: Any, now: datetime
) -> None:
    officer, judy = office.hire("officer", "vras-approvers"), office.hire("judy", "vras-employees")
    decided_by(pc, Link(Kind.GROUP, directory_group=office.found("security", "officer")))
    asked = requesting.submit(lend(judy), wish(now), by=judy, now=now)

    settings.DIRECTORY = office.directory.settings(url="ldaps://127.0.0.1:9", timeout_s=2)

    assert refused(asked, officer, now) == "directory_away"
    asked.refresh_from_db()
    assert asked.state == State.WAITING


@pytest.mark.soak
def test_the_manager_then_the_groups_officer_and_a_boss_who_is_both_approves_once(
    office: Office, pc: FakePc, lend: Callable[[User], Volume], now: datetime
) -> None:
    boss, officer = office.hire("boss", "vras-approvers"), office.hire("officer", "vras-approvers")
    judy = office.hire("judy", "vras-employees", manager="boss")
    security = office.found("security", "boss", "officer")
    decided_by(pc, Link(Kind.MANAGER), Link(Kind.GROUP, directory_group=security))
    asked = requesting.submit(lend(judy), wish(now), by=judy, now=now)

    assert refused(asked, officer, now) == "not_the_approver"
    deciding.approve(asked, by=boss, now=now)
    assert refused(asked, boss, now) == "approved_before"
    deciding.approve(asked, by=officer, now=now)

    assert asked.state == State.LENT


@pytest.mark.soak
def test_a_chain_names_only_groups_that_the_directory_knows(office: Office, pc: FakePc) -> None:
    with pytest.raises(Refusal, match="no_such_group"):
        decided_by(pc, Link(Kind.GROUP, directory_group="CN=secruity,DC=example"))


def test_a_pc_that_is_not_back_is_told_to_the_manager_as_soon_as_the_directory_says_who_that_is(
    office: Office, pc: FakePc, lend: Callable[[User], Volume], settings: Any, now: datetime
) -> None:
    boss, judy = office.hire("boss", "vras-approvers"), office.hire("judy", "vras-employees", manager="boss")
    decided_by(pc, Link(Kind.MANAGER))
    asked = requesting.submit(lend(judy), wish(now), by=judy, now=now)
    deciding.approve(asked, by=boss, now=now)
    assert asked.lease is not None
    tell(pc, str(asked.lease.pk), LeaseState.READY)
    sweeping.pass_deadlines(now=asked.ends)
    settings.EMAIL_HOST, later = "mail.example", asked.ends + 10 * DAY

    def told() -> set[str]:
        writing.write(now=later)
        return {letter.to for letter in Letter.objects.filter(key__startswith=f"overdue {asked.pk} ")}

    settings.DIRECTORY = office.directory.settings(url="ldaps://127.0.0.1:9", timeout_s=2)
    assert told() == {judy.email, ""}  # no administrator here has an address
    settings.DIRECTORY = office.directory.settings()

    assert told() == {judy.email, "", boss.email}
    assert boss.email

"""The life of a request, in any order of acts: none reaches a key without the chain's approvals."""

from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from django.contrib.auth.models import Group as Roles
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.utils import timezone
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from checkout import chaining, deciding, lending, requesting, sweeping
from checkout.chaining import Link, Terms
from checkout.models import CheckoutRequest, Deputy, Kind, Lease
from clients.enrolment import enrolling
from clients.errors import Refusal
from clients.models import Client, Group
from clients.people.rolenames import Role
from mydoc.models import Volume
from mydoc.replicas import lastreplica
from tests.checkout.asking import wish
from tests.checkout.conftest import Replicas

State = CheckoutRequest.State
PEOPLE = ("sato", "mori", "ueda", "kato")
someone = st.sampled_from(PEOPLE)


class Life(RuleBasedStateMachine):
    """Sato's PC is in a group whose chain is Mori, then Ueda; Kato is an approver by role, Sato as well.
    `yes` is what this model itself knows of who said yes since the last submission."""

    def __init__(self) -> None:
        super().__init__()
        self.outer = transaction.atomic()
        self.outer.__enter__()
        self.now = timezone.now().replace(microsecond=0)
        self.people = {name: self._person(name) for name in PEOPLE}
        self.group, self.lax = Group.objects.create(name="two-steps"), Group.objects.create(name="lax")
        chain = tuple(Link(Kind.PERSON, person=self.people[name]) for name in ("mori", "ueda"))
        chaining.save(self.group, Terms(software=True, max_days=31, chain=chain), reason="x")
        chaining.save(self.lax, Terms(software=True, max_days=31, chain=(Link(Kind.ROLE),)), reason="x")
        key = X25519PrivateKey.generate().public_key().public_bytes_raw()
        self.pc = Client.objects.create(
            name="pc-life", group=self.group, state="approved", signing_key=b"key", hpke_key=key
        )
        self.volume = Volume.objects.create(
            owner=self.people["sato"], client=self.pc, server_half=b"wrapped", limit_bytes=1
        )
        self.replicas = Replicas(self.now)
        self.before = list(lastreplica._kept_by)
        lastreplica.register(self.replicas)
        self.yes: dict[int, list[str]] = {}
        self.chain_of: dict[int, str] = {}

    def teardown(self) -> None:
        lastreplica._kept_by[:] = self.before
        transaction.set_rollback(True)
        self.outer.__exit__(None, None, None)

    @staticmethod
    def _person(name: str) -> User:
        user = User.objects.create_user(f"life-{name}")
        roles = (Role.EMPLOYEE, Role.APPROVER)
        user.groups.set([Roles.objects.get_or_create(name=role.value)[0] for role in roles])
        return user

    def _last(self) -> CheckoutRequest | None:
        return CheckoutRequest.objects.select_related("client").order_by("-pk").first()

    def _try(self, act: Any, *args: Any, **more: Any) -> bool:
        try:
            act(*args, **more, now=self.now)
        except Refusal:
            return False
        return True

    def _volume(self) -> Volume:
        return Volume.objects.select_related("client__group", "owner").get(pk=self.volume.pk)

    @rule(by=someone)
    def submit(self, by: str) -> None:
        volume = self._volume()
        if self._try(requesting.submit, volume, wish(self.now), by=self.people[by]):
            request = self._last()
            assert request is not None
            assert by == "sato"
            self.yes[request.pk], self.chain_of[request.pk] = [], volume.client.group.name  # type: ignore[union-attr]

    @rule(by=someone, days=st.sampled_from([None, 1, 2]))
    def approve(self, by: str, days: int | None) -> None:
        if (request := self._last()) is None:
            return
        ends = self.now + timedelta(days=days) if days else None
        if self._try(deciding.approve, request, by=self.people[by], ends=ends):
            self.yes[request.pk].append(by)

    @rule(by=someone, act=st.sampled_from([deciding.send_back, deciding.reject]))
    def say_no(self, by: str, act: Any) -> None:
        if (request := self._last()) is not None:
            self._try(act, request, by=self.people[by], words="no")

    @rule(by=someone)
    def mend(self, by: str) -> None:
        request = self._last()
        if request is not None and self._try(requesting.mend, request, wish(self.now), by=self.people[by]):
            self.yes[request.pk] = []
            self.chain_of[request.pk] = Client.objects.select_related("group").get(pk=self.pc.pk).group.name  # type: ignore[union-attr]

    @rule(by=someone, act=st.sampled_from([requesting.withdraw, requesting.give_back]))
    def take_back(self, by: str, act: Any) -> None:
        if (request := self._last()) is not None:
            self._try(act, request, by=self.people[by])

    @rule(deputy=someone, of=someone)
    def stand_in(self, deputy: str, of: str) -> None:
        day = timezone.localtime(self.now).date()
        if deputy != of:
            Deputy.objects.create(
                principal=self.people[of], deputy=self.people[deputy], starts=day, ends=day, created_by="x"
            )

    @rule(to=st.sampled_from(["group", "lax"]))
    def regroup(self, to: str) -> None:
        enrolling.regroup(
            Client.objects.select_related("group").get(pk=self.pc.pk), getattr(self, to), now=self.now
        )

    @rule(fresh=st.booleans())
    def replicate(self, fresh: bool) -> None:
        self.replicas.at = self.now if fresh else None

    @rule(hours=st.sampled_from([0, 30, 80]))
    def pass_time(self, hours: int) -> None:
        self.now += timedelta(hours=hours)
        sweeping.sweep(now=self.now)

    @rule()
    def lend(self) -> None:
        if (request := self._last()) is not None:
            self._try(lending.lend, request)

    @invariant()
    def every_key_was_approved_at_each_step_by_people_who_may(self) -> None:
        for lease in Lease.objects.select_related("request"):
            request = lease.request
            said = self.yes[request.pk]
            steps = [step for step in request.steps.all() if step.round == request.round]
            assert len(said) == len(steps) == (2 if self.chain_of[request.pk] == "two-steps" else 1)
            assert "sato" not in said
            assert len(set(said)) == len(said)
            for step in steps:
                acted_for = step.instead_of_id or step.decided_by_id
                assert acted_for != self.people["sato"].pk
                assert step.person_id in (None, acted_for)
            assert request.state in CheckoutRequest.APPROVED
            assert lease.starts >= request.starts
            assert lease.ends <= request.ends <= request.asked_ends

    @invariant()
    def one_key_at_most_is_out_and_only_of_a_request_that_is_lent(self) -> None:
        current = list(Lease.objects.current().select_related("request"))
        assert len(current) <= 1
        assert all(lease.request.state in (State.LENT, State.OVERDUE) for lease in current)
        lent = CheckoutRequest.objects.filter(state__in=(State.LENT, State.OVERDUE)).count()
        assert lent == len(current)


@pytest.mark.django_db
def test_no_sequence_of_acts_reaches_a_key_without_the_chains_approvals() -> None:
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        Life,
        settings=settings(
            max_examples=25,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert connection.in_atomic_block


@pytest.mark.soak
@pytest.mark.django_db
def test_no_long_sequence_of_acts_reaches_a_key_without_the_chains_approvals() -> None:
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        Life,
        settings=settings(
            max_examples=400, stateful_step_count=60, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )

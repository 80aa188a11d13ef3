"""Device policies: who may have what, for whom, told to the PCs and heard from them."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from msgspec.structs import replace

from clients.devices import planning, policing
from clients.devices.policing import Draft
from clients.enrolment import enrolling
from clients.errors import Refusal
from clients.models import Client, DevicePolicy, DeviceRule, Event, Group
from tests.pcs import FakePc, facts_with_devices
from vrasnode.wire import clients as registry
from vrasnode.wire import codec
from vrasnode.wire.devices import (
    Bus,
    DeviceEvent,
    DeviceHappening,
    DevicesReport,
    DeviceState,
    Fate,
    Rule,
    Scope,
    Suspend,
    UsbMode,
    Verdict,
)
from vrasnode.wire.devices import DevicePolicy as Slice

pytestmark = pytest.mark.django_db

STICK = "0930:6545"


def rule(verdict: Verdict = Verdict.PASS, **says: Any) -> Rule:
    return Rule(id=0, scope=Scope.GROUP, verdict=verdict, **says)


def save(owner: Any, *rules: Rule, now: datetime, revision: int | None = None, **settings: Any) -> Any:
    draft = Draft(rules=list(rules), **settings)
    return policing.save(owner, draft, revision=revision, reason="", now=now)


def fates(pc: Client, now: datetime) -> dict[str, Fate]:
    return {one.planned.key: one.fate for one in planning.standings(pc, now=now)}


@pytest.fixture
def described(pc: FakePc) -> Client:
    """A PC of the sales group that told of its devices."""
    assert (
        pc.post("/node/v1/reports/clients", registry.FactsReport(facts=facts_with_devices())).status_code
        == 204
    )
    return Client.objects.get(pk=pc.client.pk)


def slice_of(pc: FakePc) -> Slice:
    desired = codec.decode(pc.get("/node/v1/desired").content, registry.Desired)
    return codec.decode(desired.slices["devices"], Slice)


def test_a_pc_is_told_the_rules_of_its_group_itself_and_its_user(
    pc: FakePc, sales: Group, now: datetime
) -> None:
    sato = User.objects.create_user("sato")
    enrolling.assign(pc.client, sato)
    save(sato, rule(note="user"), now=now)
    save(pc.client, rule(note="pc"), now=now)
    save(sales, rule(note="first"), rule(note="second"), now=now)

    told = slice_of(pc)

    assert [(one.scope, one.note) for one in told.rules] == [
        (Scope.GROUP, "first"),
        (Scope.GROUP, "second"),
        (Scope.CLIENT, "pc"),
        (Scope.USER, "user"),
    ]


def test_without_a_policy_nothing_is_granted(pc: FakePc) -> None:
    assert slice_of(pc) == Slice(rules=[])


def test_a_pc_that_changes_its_group_or_user_follows_the_new_rules(
    pc: FakePc, sales: Group, now: datetime
) -> None:
    design = Group.objects.create(name="design")
    sato, ito = User.objects.create_user("sato"), User.objects.create_user("ito")
    for owner, note in ((sales, "sales"), (design, "design"), (sato, "sato"), (ito, "ito")):
        save(owner, rule(note=note), now=now)
    enrolling.assign(pc.client, sato)

    enrolling.regroup(pc.client, design, now=now)
    enrolling.assign(pc.client, ito)
    assert [one.note for one in slice_of(pc).rules] == ["design", "ito"]

    enrolling.regroup(pc.client, None, now=now)
    enrolling.assign(pc.client, None)
    assert slice_of(pc).rules == []


def test_a_pcs_own_settings_go_over_its_groups_and_a_user_has_no_usb_mode(
    pc: FakePc, sales: Group, now: datetime
) -> None:
    sato = User.objects.create_user("sato")
    enrolling.assign(pc.client, sato)
    save(sales, usb_mode=UsbMode.CONTROLLER, suspend=Suspend.HIBERNATE, now=now)
    save(pc.client, suspend=Suspend.ALLOWED, now=now)
    save(sato, usb_mode=UsbMode.DEVICE, now=now)

    told = slice_of(pc)

    assert (told.usb_mode, told.suspend) == (UsbMode.CONTROLLER, Suspend.ALLOWED)


def test_a_rule_that_ended_is_told_for_one_day_more(pc: FakePc, sales: Group, now: datetime) -> None:
    save(sales, rule(valid_until=now), now=now)

    assert len(policing.policy_of(pc.client, now=now + timedelta(hours=23)).rules) == 1
    assert policing.policy_of(pc.client, now=now + timedelta(hours=25)).rules == []


def test_of_two_administrators_at_once_the_second_is_told(sales: Group, now: datetime) -> None:
    save(sales, rule(note="first"), revision=0, now=now)

    with pytest.raises(Refusal) as refused:
        save(sales, rule(note="second"), revision=0, now=now)

    assert refused.value.code == "policy_changed"
    assert [one.note for one in DeviceRule.objects.all()] == ["first"]


def test_a_rule_that_says_what_it_said_keeps_its_number_and_maker(sales: Group, now: datetime) -> None:
    save(sales, rule(device_id=STICK), rule(Verdict.HIDE, bus=Bus.USB), now=now)
    first, second = policing.draft_of(sales)[0].rules
    later = now + timedelta(hours=1)

    changed = Rule(id=second.id, scope=Scope.GROUP, verdict=Verdict.READ_ONLY, bus=Bus.USB, device_class="08")
    save(sales, changed, first, rule(note="new"), now=later)

    rows = {row.pk: row for row in DeviceRule.objects.all()}
    assert rows[first.id].created_at == now
    assert rows[second.id].created_at == later
    assert [one.id for one in policing.draft_of(sales)[0].rules][:2] == [second.id, first.id]


def test_a_rule_of_another_list_is_not_taken_over_by_its_number(sales: Group, now: datetime) -> None:
    design = Group.objects.create(name="design")
    save(sales, rule(note="theirs"), now=now)
    theirs = policing.draft_of(sales)[0].rules[0]

    save(design, theirs, theirs, now=now)

    assert policing.draft_of(sales)[0].rules == [theirs]
    assert len({one.id for one in policing.draft_of(design)[0].rules} | {theirs.id}) == 3


def test_the_audit_log_says_what_was_changed_from_what_to_what(sales: Group, now: datetime) -> None:
    save(sales, rule(device_id=STICK, note="old"), rule(note="stays"), now=now)
    old, stays = policing.draft_of(sales)[0].rules

    policing.save(sales, Draft(rules=[stays]), revision=1, reason="lost", now=now)

    event = Event.objects.get(verb="group.policy_changed", reason="lost")
    assert event.before == {
        "count": 2,
        "rules": [{"place": 1, "id": old.id, "verdict": "pass", "device_id": STICK, "note": "old"}],
    }
    assert event.after == {"count": 1, "rules": []}


def test_a_policy_has_exactly_one_owner(sales: Group) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        DevicePolicy.objects.create()
    with pytest.raises(IntegrityError), transaction.atomic():
        DevicePolicy.objects.create(group=sales, user=User.objects.create_user("sato"))


def test_a_thousand_rules_are_kept_and_told_and_one_more_is_refused(
    pc: FakePc, sales: Group, now: datetime
) -> None:
    rules = [rule(bus=Bus.USB, device_id=f"{number:04x}:0001") for number in range(1000)]
    save(sales, *rules, now=now)

    assert [one.device_id for one in slice_of(pc).rules] == [one.device_id for one in rules]
    kept = policing.draft_of(sales)[0].rules
    save(sales, *reversed(kept), now=now)
    assert [one.id for one in slice_of(pc).rules] == [one.id for one in reversed(kept)]

    with pytest.raises(Refusal) as refused:
        save(sales, *rules, rule(), now=now)
    assert refused.value.code == "too_many_rules"


def test_a_preview_names_each_device_of_each_pc_that_would_change(
    described: Client, enrol: Callable[..., FakePc], sales: Group, now: datetime
) -> None:
    enrol("pc-silent", group=sales)
    draft = Draft(rules=[rule(bus=Bus.USB, device_id=STICK, serial="AAAA0001")])

    found = planning.preview(sales, draft, now=now)

    assert (found.looked_at, found.unknown, found.left_out) == (2, 1, 0)
    [changing] = found.changing
    assert changing.client == described
    [(before, after)] = changing.changes
    assert before is not None
    assert after is not None
    assert (before.key, before.fate, after.fate) == ("1-1", Fate.HIDDEN, Fate.PASSED)
    assert not DeviceRule.objects.exists()


def test_a_preview_for_a_user_is_about_the_pcs_that_they_have(described: Client, now: datetime) -> None:
    sato = User.objects.create_user("sato")
    draft = Draft(rules=[rule(bus=Bus.USB)])
    assert planning.preview(sato, draft, now=now).looked_at == 0

    enrolling.assign(described, sato)

    assert [one.client for one in planning.preview(sato, draft, now=now).changing] == [described]


def test_why_names_the_rule_for_whom_it_is_and_who_made_it(
    described: Client, sales: Group, now: datetime
) -> None:
    save(sales, rule(bus=Bus.USB, device_id=STICK, note="sticks of ours"), now=now)

    granted = planning.why(described, "usb", "1-1", now=now)
    assert granted.rule is not None
    assert (granted.standing.fate, granted.rule.note) == (Fate.PASSED, "sticks of ours")
    assert (granted.rule.policy.group, granted.rule.created_by) == (sales, "system")

    hidden = planning.why(described, "usb", "1-3", now=now)
    assert (hidden.standing.fate, hidden.standing.code, hidden.rule) == (Fate.HIDDEN, "no_rule", None)


def test_why_refuses_a_device_that_is_not_there(described: Client, now: datetime) -> None:
    with pytest.raises(Refusal) as refused:
        planning.why(described, "usb", "9-9", now=now)
    assert refused.value.code == "no_such_device"


def event(number: int, happening: DeviceHappening = DeviceHappening.ATTACHED) -> DeviceEvent:
    return DeviceEvent(
        number=number,
        at=datetime(2026, 11, 23, tzinfo=UTC),
        happening=happening,
        bus=Bus.USB,
        key="1-1",
        device_id=STICK,
        serial="AAAA0001",
        name="Data stick",
    )


def test_what_happened_to_a_device_is_in_the_audit_log_once_by_its_number(pc: FakePc) -> None:
    report = DevicesReport(policy="r1", events=[event(2, DeviceHappening.DETACHED), event(1)])
    for _try in range(2):  # the answer to the first was lost
        assert pc.post("/node/v1/reports/devices", report).status_code == 204
    pc.post("/node/v1/reports/devices", DevicesReport(policy="r1", events=[event(2), event(3)]))

    events = Event.objects.filter(verb__startswith="device.").order_by("pk")

    assert [(one.verb, one.after["number"]) for one in events] == [
        ("device.attached", 1),
        ("device.detached", 2),
        ("device.attached", 3),
    ]
    assert {(one.actor, one.actor_kind, one.object_name) for one in events} == {
        ("pc-sales-01", "pc", "pc-sales-01")
    }


def test_a_report_without_devices_leaves_them_as_they_were_told(pc: FakePc) -> None:
    state = DeviceState(
        bus=Bus.USB, key="1-1", name="Data stick", fate=Fate.PASSED, code="rule", present=True
    )
    pc.post("/node/v1/reports/devices", DevicesReport(policy="r1", devices=[state]))

    pc.post("/node/v1/reports/devices", DevicesReport(policy="", events=[event(1)]))

    record = Client.objects.get().record
    assert record is not None
    assert record.told() == DevicesReport(policy="r1", devices=[state])


def test_what_a_pc_could_not_do_goes_over_what_was_planned(
    pc: FakePc, described: Client, sales: Group, now: datetime
) -> None:
    save(sales, rule(bus=Bus.PCI, device_class="03"), now=now)
    assert fates(described, now)["0000:03:00.0"] is Fate.PASSED
    state = DeviceState(
        bus=Bus.PCI,
        key="0000:03:00.0",
        name="Graphics card",
        fate=Fate.IMPOSSIBLE,
        code="pass_through_failed",
    )

    pc.post("/node/v1/reports/devices", DevicesReport(policy="r1", devices=[state]))

    found = planning.why(Client.objects.get(), "pci", "0000:03:00.0", now=now).standing
    assert (found.failed, found.fate, found.code) == (True, Fate.IMPOSSIBLE, "pass_through_failed")


def test_facts_of_hundreds_of_devices_go_through_the_door(pc: FakePc) -> None:
    facts = facts_with_devices()
    assert facts.devices is not None
    nic = facts.devices.pci[2]
    many = [
        replace(nic, address=f"0000:{bus:02x}:00.{function}") for bus in range(50) for function in range(8)
    ]
    report = registry.FactsReport(facts=replace(facts, devices=replace(facts.devices, pci=many)))
    assert len(codec.encode(report)) > 65_536

    assert pc.post("/node/v1/reports/clients", report).status_code == 204

    stored = Client.objects.get().host_facts()
    assert stored is not None
    assert stored.devices is not None
    assert stored.devices.pci == many


def test_a_pc_says_by_itself_that_it_is_simulated(pc: FakePc) -> None:
    facts = replace(facts_with_devices(), simulated=True)

    pc.post("/node/v1/reports/clients", registry.FactsReport(facts=facts))

    assert Client.objects.get().simulated


def test_a_stick_that_could_not_be_attached_is_shown_as_failed_until_it_could(
    pc: FakePc, described: Client, sales: Group, now: datetime
) -> None:
    save(sales, rule(bus=Bus.USB, device_id=STICK), now=now)
    failed = replace(event(1, DeviceHappening.FAILED), code="odd", words="The port is gone. Plug it again.")
    pc.post("/node/v1/reports/devices", DevicesReport(policy="", events=[failed]))

    standing = planning.why(Client.objects.get(), "usb", "1-1", now=now).standing
    assert (standing.failed, standing.words("ja")) == (True, "The port is gone. Plug it again.")

    pc.post("/node/v1/reports/devices", DevicesReport(policy="", events=[event(2)]))
    assert not planning.why(Client.objects.get(), "usb", "1-1", now=now).standing.failed


def test_a_failure_is_over_when_the_device_is_there_or_not_to_be_there(pc: FakePc) -> None:
    failed = DevicesReport(policy="", events=[event(1, DeviceHappening.FAILED)])
    pc.post("/node/v1/reports/devices", failed)
    assert list(Client.objects.all().failing()) == [pc.client]
    state = DeviceState(bus=Bus.USB, key="1-1", name="", fate=Fate.PASSED, code="rule")

    pc.post("/node/v1/reports/devices", DevicesReport(policy="r", devices=[state]))
    assert list(Client.objects.all().failing()) == [pc.client]

    for over in (replace(state, present=True), replace(state, fate=Fate.HIDDEN)):
        pc.post("/node/v1/reports/devices", DevicesReport(policy="r", devices=[over]))
        assert list(Client.objects.all().failing()) == []
        number = 2 if over.present else 3
        pc.post("/node/v1/reports/devices", replace(failed, events=[event(number, DeviceHappening.FAILED)]))


def test_a_device_that_a_start_had_to_do_without_is_shown_as_failed(
    pc: FakePc, described: Client, sales: Group, now: datetime
) -> None:
    save(sales, rule(bus=Bus.PCI, device_class="03"), now=now)
    state = DeviceState(
        bus=Bus.PCI, key="0000:03:00.0", name="", fate=Fate.PASSED, code="pass_through_unhealthy"
    )

    pc.post("/node/v1/reports/devices", DevicesReport(policy="r1", devices=[state]))

    standing = planning.why(Client.objects.get(), "pci", "0000:03:00.0", now=now).standing
    assert (standing.failed, standing.code) == (True, "pass_through_unhealthy")
    assert standing.words("ja") != standing.words("en") != standing.code


def test_what_is_asked_of_a_pc_in_vain_is_said_before_it_is_saved(
    described: Client, sales: Group, now: datetime
) -> None:
    disk = rule(bus=Bus.PCI, port="0000:01:00.0")
    lan = rule(bus=Bus.PCI, device_id="8086:15be")

    found = planning.preview(sales, Draft(rules=[disk, lan]), now=now)

    [told] = found.changing
    assert [one.code for one in told.vain] == ["rule_grants_needed", "rule_grants_needed"]
    save(sales, disk, lan, now=now)
    assert {fates(described, now)[key] for key in ("0000:01:00.0", "0000:02:00.0")} == {Fate.SHARED}

"""What the client VMs of a group, of a PC, of an employee may have of their PCs' devices: saved as a whole
list, told to the PCs, and what the PCs tell of it. Not what becomes of each device (`planning`).
"""

import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.db.models import Q
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _

from clients import auditing, nudge
from clients.devices import suspending
from clients.devices.suspending import ModelSuspend
from clients.enrolment import nodeslice
from clients.errors import Refusal
from clients.models import Client, ClientQuerySet, DevicePolicy, DeviceRecord, DeviceRule, Group
from vrasnode import devicepolicy, words
from vrasnode.devicepolicy import Remark, usbguard
from vrasnode.errors import Refused
from vrasnode.wire import codec
from vrasnode.wire import devices as wire

Owner = Group | Client | AbstractBaseUser

MAX_RULES = 1000  # of one owner
MAX_EVENTS = 1000  # of one report
KEPT_AFTER_END = timedelta(days=1)  # PCs' clocks may be wrong by hours; the rule has ended all the same


class Draft(codec.Message, frozen=True):
    """All that an owner's policy says, as somebody wants it. `None`: as the wider scope says. A rule that is
    not saved yet has the id 0."""

    rules: list[wire.Rule]
    usb_mode: wire.UsbMode | None = None
    suspend: wire.Suspend | None = None
    suspend_by_model: list[ModelSuspend] = []  # a group's


def register() -> None:
    """The slice `devices` is ours: called once when Django starts."""
    nodeslice.register("devices", provide=lambda client, now: policy_of(client, now=now), hear=_hear)


def scope_of(owner: Owner) -> wire.Scope:
    """For whom a rule of this owner is made."""
    if isinstance(owner, Group):
        return wire.Scope.GROUP
    return wire.Scope.CLIENT if isinstance(owner, Client) else wire.Scope.USER


def stored(owner: Owner) -> DevicePolicy | None:
    """The row of this owner's policy; None before it was saved once."""
    return DevicePolicy.objects.filter(**_is(owner)).first()


def draft_of(owner: Owner) -> tuple[Draft, int]:
    """What this owner's policy says now, and its revision."""
    row = stored(owner)
    group = isinstance(owner, Group)
    if row is None:
        return Draft(
            rules=[],
            usb_mode=wire.UsbMode.DEVICE if group else None,
            suspend=wire.Suspend.BLOCKED if group else None,
        ), 0
    return _draft(row), row.revision


def affected(owner: Owner) -> ClientQuerySet:
    """The approved PCs that an owner's policy is for."""
    approved = Client.objects.approved()
    if isinstance(owner, Group):
        return approved.filter(group=owner)
    if isinstance(owner, Client):
        return approved.filter(pk=owner.pk)
    return approved.filter(assigned_user=owner.pk)


def policy_of(client: Client, *, now: datetime) -> wire.DevicePolicy:
    """The slice of a PC: its group's rules, its own, its user's. Ended ones stay for a day."""
    return merged(policies_of(client), now=now, model=suspending.model_of(client))


def policies_of(client: Client) -> dict[wire.Scope, Draft]:
    """What each scope says of this PC, the widest first."""
    return policies_of_each([client])[client.pk]


def policies_of_each(clients: Collection[Client]) -> dict[uuid.UUID, dict[wire.Scope, Draft]]:
    """The same for many PCs, in as many questions to the database as for one."""
    owners = (
        Q(client__in=[client.pk for client in clients])
        | Q(group__in={client.group_id for client in clients} - {None})
        | Q(user__in={client.assigned_user_id for client in clients} - {None})
    )
    drafts = {
        (row.scope, row.group_id or row.client_id or row.user_id): _draft(row)
        for row in DevicePolicy.objects.filter(owners).prefetch_related("rules")
    }
    found = {}
    for client in clients:
        wanted: list[tuple[wire.Scope, Any]] = [
            (wire.Scope.GROUP, client.group_id),
            (wire.Scope.CLIENT, client.pk),
            (wire.Scope.USER, client.assigned_user_id),
        ]
        found[client.pk] = {key[0]: drafts[key] for key in wanted if key in drafts}
    return found


def _draft(row: DevicePolicy) -> Draft:
    return Draft(
        rules=[rule.as_rule(row.scope) for rule in row.rules.all()],
        usb_mode=wire.UsbMode(row.usb_mode) if row.usb_mode else None,
        suspend=wire.Suspend(row.suspend) if row.suspend else None,
        suspend_by_model=msgspec.convert(row.suspend_by_model, list[ModelSuspend]),
    )


def merged(policies: Mapping[wire.Scope, Draft], *, now: datetime, model: str = "") -> wire.DevicePolicy:
    """One policy for a PC of this model out of what each scope says; of `usb_mode`, the narrowest given."""
    usb_mode = wire.UsbMode.DEVICE
    rules: list[wire.Rule] = []
    for scope in wire.Scope:
        if (draft := policies.get(scope)) is None:
            continue
        usb_mode = draft.usb_mode or usb_mode
        rules += [rule for rule in draft.rules if not _long_ended(rule, now)]
    suspend = suspending.decide(policies, model=model).suspend
    return wire.DevicePolicy(rules=rules, usb_mode=usb_mode, suspend=suspend)


def check(draft: Draft, *, now: datetime) -> list[Remark]:
    """What is worth a second look in a list. Raises Refusal(bad_rule, too_many_rules) for what cannot be, and
    what `suspending.check` raises.

    A remark names rules as `numbered` does.
    """
    if len(draft.rules) > MAX_RULES:
        raise Refusal(
            "too_many_rules",
            _("A list has at most %(count)d rules. Use wildcards, or groups.") % {"count": MAX_RULES},
            status=400,
        )
    for place, rule in enumerate(draft.rules, 1):
        try:
            check_rule(rule)
        except Refusal as refusal:
            raise Refusal(
                refusal.code,
                _("Rule %(place)d: %(words)s") % {"place": place, "words": refusal.words},
                status=400,
                rule=place,
            ) from refusal
    suspending.check(draft.suspend_by_model)
    return devicepolicy.lint(numbered(draft).rules, now=now)


def check_rule(rule: wire.Rule) -> None:
    """Raises Refusal, in the reader's language, for a rule that cannot be, or grants what never can be."""
    try:
        devicepolicy.check_rule(rule)
    except Refused as error:
        raise _refusal(error) from error


def numbered(draft: Draft) -> Draft:
    """The same list, in which a rule that is not saved yet has its place, from 1, below zero as its id."""
    rules = [
        rule if rule.id > 0 else msgspec.structs.replace(rule, id=-place)
        for place, rule in enumerate(draft.rules, 1)
    ]
    return msgspec.structs.replace(draft, rules=rules)


def number_words(ident: int | str) -> str:
    """What people call a rule: its number, or the place of one that is not saved yet."""
    number = int(ident)
    return str(number) if number > 0 else _("%(place)d (new)") % {"place": -number}


def said(code: str, details: Mapping[str, str], language: str) -> str:
    """A code of plan or policy in words, with rules called as people call them."""
    called = {name: number_words(details[name]) for name in ("rule", "other") if details.get(name)}
    return words.say(code, language, {**details, **called})


def save(owner: Owner, draft: Draft, *, revision: int | None, reason: str, now: datetime) -> None:
    """Makes `draft` the whole policy of its owner, on top of `revision` (None: of any).

    Raises Refusal(policy_changed) when somebody saved meanwhile, and what `check` raises.
    """
    scope = scope_of(owner)
    draft = for_scope(draft, scope)
    check(draft, now=now)
    with transaction.atomic():
        row, _new = DevicePolicy.objects.get_or_create(**_is(owner))
        before, current = draft_of(owner)
        rows = DevicePolicy.objects.filter(pk=row.pk, revision=current if revision is None else revision)
        if not rows.update(
            revision=(current if revision is None else revision) + 1,
            usb_mode=draft.usb_mode or "",
            suspend=draft.suspend or "",
            suspend_by_model=msgspec.to_builtins(draft.suspend_by_model),
            changed_at=now,
            changed_by=auditing.actor().name,
        ):
            raise Refusal(
                "policy_changed",
                _("Somebody saved this policy meanwhile. Look at it again; nothing of yours was saved."),
                status=412,
                revision=current,
            )
        _write_rules(row, draft.rules, now=now)
        after, _revision = draft_of(owner)
        auditing.record(
            f"{owner._meta.model_name}.policy_changed",
            owner,
            before=_differing(before, after),
            after=_differing(after, before),
            reason=reason,
        )
    _tell(owner)


def _write_rules(row: DevicePolicy, rules: Sequence[wire.Rule], *, now: datetime) -> None:
    """A rule that says what it said keeps its row; one that was changed has a new maker and moment."""
    there = {rule.pk: rule for rule in row.rules.all()}
    new, changed = [], []
    for position, rule in enumerate(rules):
        kept = there.pop(rule.id, None)
        if kept is None:
            kept = DeviceRule(policy=row)
            new.append(kept)
        elif kept.as_rule(row.scope) != rule or kept.position != position:
            changed.append(kept)
        if kept.pk is None or kept.as_rule(row.scope) != rule:
            _fill(kept, rule)
            kept.created_at, kept.created_by = now, auditing.actor().name
        kept.position = position
    DeviceRule.objects.filter(pk__in=there).delete()
    DeviceRule.objects.bulk_create(new, batch_size=200)
    fields = [field.name for field in DeviceRule._meta.concrete_fields if not field.primary_key]
    DeviceRule.objects.bulk_update(changed, fields, batch_size=50)


def _fill(row: DeviceRule, rule: wire.Rule) -> None:
    row.verdict, row.bus = rule.verdict.value, rule.bus.value if rule.bus else ""
    row.device_class, row.device_id = rule.device_class, rule.device_id
    row.serial, row.port, row.interfaces = rule.serial, rule.port, list(rule.interfaces)
    row.valid_from, row.valid_until, row.note = rule.valid_from, rule.valid_until, rule.note


def _differing(this: Draft, other: Draft) -> dict[str, Any]:
    """For the audit log: the rules that the other list does not have, the settings, and the order."""
    known = {rule.id: rule for rule in other.rules}
    rules = [
        {"place": place, **brief(rule)}
        for place, rule in enumerate(this.rules, 1)
        if known.get(rule.id) != rule
    ]
    said: dict[str, Any] = {"rules": rules, "count": len(this.rules)}
    common = {rule.id for rule in this.rules} & set(known)
    order = [rule.id for rule in this.rules if rule.id in common]
    if order != [rule.id for rule in other.rules if rule.id in common]:
        said["order"] = order
    for name in ("usb_mode", "suspend"):
        if getattr(this, name) != getattr(other, name):
            said[name] = getattr(this, name) or ""
    if this.suspend_by_model != other.suspend_by_model:
        said["suspend_by_model"] = msgspec.to_builtins(this.suspend_by_model)
    return said


def brief(rule: wire.Rule) -> dict[str, Any]:
    """What a rule says, without what it leaves open."""
    plain: dict[str, Any] = msgspec.to_builtins(rule)
    return {
        name: value for name, value in plain.items() if name != "scope" and value not in ("", [], None)
    } | ({"serial": ""} if rule.serial == "" else {})


def for_scope(draft: Draft, scope: wire.Scope) -> Draft:
    """The draft as this scope may have it: groups say everything, and alone something of models; users say
    nothing of USB; ids are unique."""
    seen: set[int] = set()
    rules = []
    for rule in draft.rules:
        ident = 0 if rule.id in seen else rule.id
        seen.add(ident)
        rules.append(msgspec.structs.replace(rule, scope=scope, id=ident))
    usb_mode, suspend = draft.usb_mode, draft.suspend
    models = draft.suspend_by_model if scope is wire.Scope.GROUP else []
    if scope is wire.Scope.GROUP:
        usb_mode, suspend = usb_mode or wire.UsbMode.DEVICE, suspend or wire.Suspend.BLOCKED
    elif scope is wire.Scope.USER:
        usb_mode = None
    return Draft(rules=rules, usb_mode=usb_mode, suspend=suspend, suspend_by_model=models)


def _tell(owner: Owner) -> None:
    clients = list(affected(owner).only("pk"))
    nudge.nodes(clients)
    topics = [f"group.{owner.pk}"] if isinstance(owner, Group) else []
    nudge.pages("policies", *topics, *(f"client.{client.pk}" for client in clients))


def _is(owner: Owner) -> dict[str, Any]:
    return {scope_of(owner).value: owner}


def _long_ended(rule: wire.Rule, now: datetime) -> bool:
    return rule.valid_until is not None and rule.valid_until < now - KEPT_AFTER_END


def _hear(client: Client, body: bytes, now: datetime) -> None:
    hear(client, codec.decode(body, wire.DevicesReport), now=now)


def hear(client: Client, report: wire.DevicesReport, *, now: datetime) -> None:
    """Keeps how the devices of a PC stand, and what happened in the audit log: each event once."""
    with transaction.atomic():
        DeviceRecord.objects.get_or_create(client=client)
        record = DeviceRecord.objects.select_for_update().get(client=client)
        _record_events(client, record, report.events[:MAX_EVENTS])
        _take_states(record, report)
        record.reported_at = now
        record.save(update_fields=["report", "reported_at", "event_number", "failures"])
    nudge.pages(f"client.{client.pk}", "clients")


def _record_events(client: Client, record: DeviceRecord, events: Iterable[wire.DeviceEvent]) -> None:
    for event in sorted(events, key=lambda event: event.number):
        if event.number <= record.event_number:
            continue  # told before; our answer was lost
        record.event_number = event.number
        record.failures.pop(f"{event.bus} {event.key}", None)
        if event.happening is wire.DeviceHappening.FAILED:
            record.failures[f"{event.bus} {event.key}"] = msgspec.to_builtins(event)
        auditing.record(f"device.{event.happening.value}", client, after=_brief_event(event))


def _brief_event(event: wire.DeviceEvent) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(event)
    return {name: value for name, value in plain.items() if name != "happening" and value not in ("", None)}


def _take_states(record: DeviceRecord, report: wire.DevicesReport) -> None:
    """How the devices stand now. What is present, or not to be, has not failed any more."""
    if report.devices is None:  # only events
        return
    record.report = msgspec.to_builtins(wire.DevicesReport(policy=report.policy[:64], devices=report.devices))
    for state in report.devices:
        if state.present or state.fate is not wire.Fate.PASSED:
            record.failures.pop(f"{state.bus} {state.key}", None)


def exported(draft: Draft) -> str:
    """The USB rules of a list in usbguard's language. Raises Refusal(usbguard_cannot_say)."""
    try:
        return usbguard.rules_out(draft.rules)
    except Refused as error:
        raise _refusal(error, status=409) from error


def imported(text: str, *, scope: wire.Scope) -> list[wire.Rule]:
    """Rules in usbguard's language as new rules of ours. Raises Refusal(usbguard_line) with its number."""
    try:
        rules = usbguard.rules_in(text, scope=scope, ignoring=usbguard.IGNORABLE)
    except Refused as error:
        raise _refusal(error) from error
    return [msgspec.structs.replace(rule, id=0) for rule in rules]


def _refusal(error: Refused, *, status: int = 400) -> Refusal:
    """What a pure module refuses, in the reader's language where there are words for it."""
    known = words.say(error.code, get_language() or "en")
    return Refusal(error.code, error.words if known == error.code else known, status=status)

"""The pages of a device policy: of a group, a PC or an employee. What somebody writes is a draft in their
session until they have seen what it would change, and save it."""

import uuid
from collections import Counter
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import msgspec
from django.contrib import messages
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db.models import Model
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from clients.devices import planning, policing, suspending
from clients.devices.forms import ImportForm, ModelForms, RuleForm, SaveForm, SettingsForm, entries
from clients.devices.policing import Draft, Owner
from clients.errors import Refusal
from clients.models import Client, DeviceRule, Group
from clients.pages import form_page, page_of, staff
from vrasnode.devicepolicy import Remark
from vrasnode.devicepolicy.starting import desktop_rules
from vrasnode.errors import Refused
from vrasnode.wire import codec
from vrasnode.wire import devices as wire


class Kept(codec.Message, frozen=True):
    """A draft in a session, and the revision that it was begun on."""

    revision: int
    draft: Draft


@dataclass(frozen=True)
class Row:
    """One rule as the page shows it."""

    place: int
    rule: wire.Rule
    maker: DeviceRule | None  # None: not saved, or changed since
    remarks: list[Remark]


@dataclass
class Desk:
    """Whose policy somebody is looking at, and what they wrote of it so far."""

    request: HttpRequest
    owner: Owner
    scope: wire.Scope

    @classmethod
    def of(cls, request: HttpRequest, scope: str, pk: str) -> "Desk":
        """Raises Http404."""
        kinds: dict[str, type[Model]] = {"group": Group, "client": Client, "user": get_user_model()}
        if scope not in kinds:
            raise Http404
        try:
            owner = get_object_or_404(kinds[scope], pk=pk)
        except (ValueError, ValidationError) as error:  # not such a key at all
            raise Http404 from error
        return cls(request, owner, wire.Scope(scope))  # type: ignore[arg-type]  # one of the kinds above

    @property
    def args(self) -> list[str]:
        return [self.scope.value, str(self.owner.pk)]

    @property
    def _key(self) -> str:
        return f"device-policy {self.scope} {self.owner.pk}"

    def look(self) -> tuple[Draft, int, bool]:
        """The draft, the revision that it was begun on, and whether it is not saved yet."""
        saved, revision = policing.draft_of(self.owner)
        text = self.request.session.get(self._key)
        if text is not None:
            try:
                kept = codec.decode(text.encode(), Kept)
                return kept.draft, kept.revision, True
            except Refused:  # of another version of the product
                self.forget()
        return saved, revision, False

    def keep(self, draft: Draft) -> None:
        """Remembers what somebody wrote; nothing when it is what is saved."""
        _draft, revision, _dirty = self.look()
        draft = policing.for_scope(draft, self.scope)
        if (draft, revision) == policing.draft_of(self.owner):
            self.forget()
        else:
            text = codec.encode(Kept(revision=revision, draft=draft)).decode()
            self.request.session[self._key] = text

    def forget(self) -> None:
        self.request.session.pop(self._key, None)

    def context(self) -> dict[str, Any]:
        return {
            "owner": self.owner,
            "scope": self.scope.value,
            "pk": str(self.owner.pk),
            "title": self.title(),
        }

    def title(self) -> str:
        names = {
            wire.Scope.GROUP: _("Device policy of the group %(name)s"),
            wire.Scope.CLIENT: _("Exceptions of the PC %(name)s"),
            wire.Scope.USER: _("Exceptions of the user %(name)s"),
        }
        return names[self.scope] % {"name": str(self.owner)}

    def home(self) -> HttpResponse:
        """Back to the rules, to the page of them that one came from."""
        address = reverse("clients:policy", args=self.args)
        page = self.request.POST.get("page", "")
        return redirect(f"{address}?page={page}" if page.isdecimal() else address)


@require_GET
@staff
def policy(request: HttpRequest, scope: str, pk: str) -> HttpResponse:
    """The rules in order, with what is worth a second look."""
    desk = Desk.of(request, scope, pk)
    draft, revision, dirty = desk.look()
    row = policing.stored(desk.owner)
    remarks = policing.check(draft, now=timezone.now())
    context = desk.context() | {
        "page": page_of(request, _rows(draft, row.rules.all() if row else [], remarks, desk.scope)),
        "row": row,
        "remarks": remarks,
        "dirty": dirty,
        "stale": dirty and revision != (row.revision if row else 0),
        "settings": SettingsForm(initial=SettingsForm.initial_of(draft), scope=desk.scope),
        "models": _models(desk, draft),
        "importing": ImportForm(),
        "affected": policing.affected(desk.owner).count(),
        "now": timezone.now(),
    }
    return render(request, "clients/device_policy.html", context)


def _models(desk: Desk, draft: Draft) -> dict[str, Any] | None:
    """What a group says of models, beside how many of its PCs each entry is for, and which models it has."""
    if desk.scope is not wire.Scope.GROUP:
        return None
    there = Counter(suspending.model_of(client) for client in policing.affected(desk.owner).only("facts"))
    entries = draft.suspend_by_model
    forms = ModelForms(initial=[{"model": entry.model, "suspend": entry.suspend} for entry in entries])
    counts = [
        sum(count for model, count in there.items() if model and suspending.is_for(entry.model, model))
        for entry in entries
    ]
    known = sorted(model for model in there if model)
    return {"forms": forms, "rows": list(zip_longest(forms.forms, counts)), "known": known}


def _rows(draft: Draft, rules: Any, remarks: list[Remark], scope: wire.Scope) -> list[Row]:
    makers = {rule.pk: rule for rule in rules}
    rows = []
    for place, rule in enumerate(policing.numbered(draft).rules, 1):
        maker = makers.get(rule.id)
        if maker is not None and maker.as_rule(scope) != rule:
            maker = None
        rows.append(Row(place, rule, maker, [remark for remark in remarks if remark.rule_id == rule.id]))
    return rows


@form_page
@staff
def rule(request: HttpRequest, scope: str, pk: str, place: int) -> HttpResponse:
    """One rule of the draft; place 0 is a new one, which may be filled in by the address."""
    desk = Desk.of(request, scope, pk)
    draft, _revision, _dirty = desk.look()
    if place > len(draft.rules):
        raise Http404
    old = draft.rules[place - 1] if place else None
    initial: dict[str, Any] = RuleForm.initial_of(old) if old else request.GET.dict()
    form = RuleForm(request.POST or None, initial=initial, scope=desk.scope, ident=old.id if old else 0)
    if form.is_valid():
        rules = list(draft.rules)
        if place:
            rules[place - 1] = form.rule
        else:
            rules.append(form.rule)
        desk.keep(msgspec.structs.replace(draft, rules=rules))
        return desk.home()
    number = policing.numbered(draft).rules[place - 1].id if place else 0
    context = desk.context() | {"form": form, "place": place, "number": number}
    return render(request, "clients/device_rule.html", context)


@require_POST
@staff
def change(request: HttpRequest, scope: str, pk: str) -> HttpResponse:
    """Changes the draft: the order, the settings, many rules at once; or forgets it."""
    desk = Desk.of(request, scope, pk)
    draft, _revision, _dirty = desk.look()
    act, _space, place = request.POST.get("act", "").partition(" ")
    if act == "discard":
        desk.forget()
    elif act == "settings":
        settings = SettingsForm(request.POST, scope=desk.scope)
        if settings.is_valid():
            draft = msgspec.structs.replace(draft, usb_mode=settings.usb(), suspend=settings.sleep())
            desk.keep(draft)
    elif act == "models" and desk.scope is wire.Scope.GROUP:
        models = ModelForms(request.POST)
        if models.is_valid():
            suspending.check(entries(models))
            desk.keep(msgspec.structs.replace(draft, suspend_by_model=entries(models)))
    elif act == "import":
        _import(desk, draft)
    elif act == "begin" and not draft.rules:
        desk.keep(msgspec.structs.replace(draft, rules=desktop_rules()))
    elif place.isdecimal() and 1 <= int(place) <= len(draft.rules):
        desk.keep(msgspec.structs.replace(draft, rules=_moved(draft.rules, act, int(place) - 1)))
    return desk.home()


def _moved(rules: list[wire.Rule], act: str, index: int) -> list[wire.Rule]:
    rules = list(rules)
    rule = rules.pop(index)
    if act == "up":
        rules.insert(max(0, index - 1), rule)
    elif act == "down":
        rules.insert(index + 1, rule)
    elif act != "delete":
        rules.insert(index, rule)
    return rules


def _import(desk: Desk, draft: Draft) -> None:
    form = ImportForm(desk.request.POST)
    if not form.is_valid():
        messages.error(desk.request, _("Paste rules first."))
        return
    rules = policing.imported(form.cleaned_data["text"], scope=desk.scope)
    kept = [rule for rule in draft.rules if not (form.cleaned_data["replace"] and rule.bus is wire.Bus.USB)]
    desk.keep(msgspec.structs.replace(draft, rules=[*kept, *rules]))


@form_page
@staff
def preview(request: HttpRequest, scope: str, pk: str) -> HttpResponse:
    """What would change on which PC; saves it on confirmation."""
    desk = Desk.of(request, scope, pk)
    draft, revision, dirty = desk.look()
    now = timezone.now()
    form = SaveForm(request.POST or None, initial={"revision": revision})
    if dirty and form.is_valid():
        policing.save(
            desk.owner,
            draft,
            revision=form.cleaned_data["revision"],
            reason=form.cleaned_data["reason"],
            now=now,
        )
        desk.forget()
        messages.success(request, _("Saved. The PCs are told."))
        return desk.home()
    found = planning.preview(desk.owner, draft, now=now)
    context = desk.context() | {
        "preview": found,
        "changing": found.changing,
        "remarks": policing.check(draft, now=timezone.now()),
        "form": form,
        "dirty": dirty,
    }
    return render(request, "clients/device_preview.html", context)


@require_GET
@staff
def usbguard_text(request: HttpRequest, scope: str, pk: str) -> HttpResponse:
    """The saved USB rules in usbguard's language."""
    desk = Desk.of(request, scope, pk)
    draft, _revision = policing.draft_of(desk.owner)
    return HttpResponse(
        policing.exported(draft),
        content_type="text/plain; charset=utf-8",
        headers={"Content-Disposition": 'attachment; filename="rules.conf"'},
    )


@require_GET
@staff
def why(request: HttpRequest, pk: uuid.UUID, bus: str, key: str) -> HttpResponse:
    """Why one device of a PC is as it is: the rule, for whom it was made, by whom."""
    client = get_object_or_404(Client.objects.select_related("group"), pk=pk)
    try:
        found = planning.why(client, bus, key, now=timezone.now())
    except Refusal as refusal:
        raise Http404 from refusal
    context: dict[str, Any] = {"client": client, "why": found}
    if found.rule is not None:
        of = found.rule.policy
        context |= {
            "rule": found.rule.as_rule(of.scope),
            "scope": of.scope.value,
            "owner_pk": str(of.group_id or of.client_id or of.user_id),
        }
    return render(request, "clients/device_why.html", context)

"""What people fill in about checkout: the request, decisions, deputies, a group's chain."""

from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime, time, timedelta
from typing import Any

from django import forms
from django.contrib.auth import get_user_model
from django.http import QueryDict
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from checkout import chaining
from checkout.chaining import Link, Terms
from checkout.models import CheckoutRequest, Kind
from checkout.requesting import Wish
from clients import workdays
from clients.models import Group
from mydoc import bytepaths
from mydoc.models import Volume

LAST_MINUTE = time(23, 59)


def _day(label: Any) -> forms.DateField:
    return forms.DateField(label=label, widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"))


def _hour(label: Any) -> forms.TimeField:
    return forms.TimeField(label=label, widget=forms.TimeInput(attrs={"type": "time"}, format="%H:%M"))


def _line(label: Any, limit: int, **more: Any) -> forms.CharField:
    return forms.CharField(label=label, max_length=limit, **more)


class Picked(forms.Field):
    """Folders that were ticked, as words of their paths."""

    widget = forms.MultipleHiddenInput

    def to_python(self, value: Any) -> list[bytes]:
        try:
            return [path for path in map(bytepaths.path_of, value or []) if path]
        except ValueError as error:
            raise forms.ValidationError(_("There is no such folder. Choose again.")) from error


class RequestForm(forms.Form):
    """A request: from which day and hour to which, what for, where to."""

    volume = forms.ModelChoiceField(Volume.objects.none(), label=_("PC"), empty_label=None)
    first = _day(_("First day"))
    first_at = _hour(_("from (time)"))
    last = _day(_("Last day"))
    last_at = _hour(_("until (time)"))
    purpose = _line(_("Purpose"), 500)
    destination = _line(_("Destination"), 200)
    contact = _line(_("Contact on the way"), 200, help_text=_("Telephone or mail."))
    picked = Picked(required=False)
    folders = forms.CharField(
        label=_("Folders"),
        required=False,
        max_length=4000,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text=_("One on each line, such as Documents/plans."),
    )

    def __init__(self, *args: Any, volumes: list[Volume], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field: Any = self.fields["volume"]
        field.queryset = Volume.objects.filter(pk__in=[one.pk for one in volumes]).select_related("client")
        field.label_from_instance = lambda volume: volume.client.name

    def clean(self) -> dict[str, Any]:
        found = super().clean() or {}
        if found.get("first") and found.get("last") and self._time("first") >= self._time("last"):
            self.add_error("last", _("The period has to end after its start."))
        return found

    def _time(self, name: str) -> datetime:
        at = datetime.combine(self.cleaned_data[name], self.cleaned_data.get(f"{name}_at") or time())
        return timezone.make_aware(at)

    def wish(self) -> Wish:
        """What was filled in."""
        said = self.cleaned_data
        lines = [line.strip().strip("/") for line in said["folders"].splitlines()]
        return Wish(
            starts=self._time("first"),
            ends=self._time("last"),
            purpose=said["purpose"],
            destination=said["destination"],
            contact=said["contact"],
            folders=list(dict.fromkeys([*said["picked"], *(line.encode() for line in lines if line)])),
        )


def initial(*, now: datetime, like: CheckoutRequest | None, same_days: bool = False) -> dict[str, Any]:
    """The next working day; the rest like an earlier request."""
    today = timezone.localtime(now).date()
    first = workdays.following(today)
    found: dict[str, Any] = {"first": first, "first_at": time(0, 0), "last": first, "last_at": LAST_MINUTE}
    if like is None:
        return found
    starts, ends = timezone.localtime(like.starts), timezone.localtime(like.asked_ends)
    found |= {"volume": like.volume_id, "first_at": starts.time(), "last_at": ends.time()}
    found |= {"purpose": like.purpose, "destination": like.destination, "contact": like.contact}
    found["picked"] = list(like.folders)
    length: timedelta = ends.date() - starts.date()
    first = starts.date() if same_days else first
    return found | {"first": first, "last": first + length}


def typed(said: QueryDict) -> dict[str, Any]:
    """What stands in a request's form that is not submitted yet, as it is."""
    return {**said.dict(), "picked": said.getlist("picked")}


def paths(words: Iterable[str] | None) -> list[bytes]:
    """The folders that words of paths stand for, each once; what is none is left out."""
    found = []
    for word in words or ():
        with suppress(ValueError):
            found.append(bytepaths.path_of(word))
    return [path for path in dict.fromkeys(found) if path]


def folders_of(request: CheckoutRequest) -> list[str]:
    """The folders in words; none is everything."""
    return [bytepaths.shown(bytepaths.path_of(word)) for word in request.folders]


class DecisionForm(forms.Form):
    """Yes, yes for less, or no with a reason."""

    act = forms.ChoiceField(choices=[(act, act) for act in ("approve", "send_back", "reject")])
    seen = forms.IntegerField(widget=forms.HiddenInput)
    until = forms.DateTimeField(
        required=False,
        label=_("Shorten until"),
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
    )
    words = forms.CharField(
        required=False,
        max_length=500,
        label=_("Reason or remark"),
        help_text=_("Needed to send back or to reject; the requester reads it."),
        widget=forms.TextInput,
    )


class DeputyForm(forms.Form):
    """Who decides in one's place, and when."""

    deputy = forms.CharField(label=_("User name"), max_length=150)
    starts = _day(_("First day"))
    ends = _day(_("Last day"))

    def clean_deputy(self) -> Any:
        name = self.cleaned_data["deputy"]
        user = get_user_model()._default_manager.filter(username__iexact=name, is_active=True).first()
        if user is None:
            raise forms.ValidationError(_("Nobody of this name has been here. Ask them to log in once."))
        return user


class TermsForm(forms.Form):
    """A group's chain, a step on each line."""

    software = forms.BooleanField(
        required=False,
        label=_("Lend PCs without a hardware TPM, too"),
        help_text=_(
            "Without one, the key is kept by the PC's own key and the PIN alone: whoever copies the whole "
            "disk while it is lent can try PINs elsewhere, without limit."
        ),
    )
    max_days = forms.IntegerField(label=_("Longest period in days"), min_value=1, max_value=366)
    chain = forms.CharField(
        label=_("Who approves, one step on each line"),
        max_length=4000,
        widget=forms.Textarea(attrs={"rows": 4}),
        help_text=_(
            "manager · role (everybody with the role approver) · group: CN=…,DC=… (of the directory) · "
            "person: user name"
        ),
    )
    reason = forms.CharField(max_length=500, label=_("Reason"), widget=forms.TextInput)
    revision = forms.IntegerField(widget=forms.HiddenInput)

    def clean_chain(self) -> tuple[Link, ...]:
        lines = [line.strip() for line in self.cleaned_data["chain"].splitlines() if line.strip()]
        return tuple(link_of(line) for line in lines)

    def terms(self) -> Terms:
        said = self.cleaned_data
        return Terms(said["software"], said["max_days"], said["chain"], said["revision"])


def link_of(line: str) -> Link:
    """A step as it is written. Raises ValidationError."""
    kind, _colon, what = (part.strip() for part in line.partition(":"))
    if kind in (Kind.MANAGER, Kind.ROLE) and not what:
        return Link(kind)
    if kind == Kind.GROUP and what:
        return Link(kind, directory_group=what)
    if kind == Kind.PERSON and what:
        user = get_user_model()._default_manager.filter(username__iexact=what, is_active=True).first()
        if user is not None:
            return Link(kind, person=user)
    raise forms.ValidationError(_("No step is written like this: %(line)s"), params={"line": line[:100]})


def written(group: Group) -> dict[str, Any]:
    """The same form, filled in."""
    terms = chaining.of(group)
    lines = [f"{link.kind}: {link.words}" if link.words != link.kind else link.kind for link in terms.chain]
    return {
        "software": terms.software,
        "max_days": terms.max_days,
        "chain": "\n".join(lines),
        "revision": terms.revision,
    }


class AgainForm(forms.Form):
    """One's password once more."""

    password = forms.CharField(
        label=_("Password"),
        max_length=1000,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
    )

"""What people fill in about device policies."""

import re
from collections.abc import Callable
from typing import Any

from django import forms
from django.utils.functional import lazy
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _

from clients.devices import policing, suspending
from clients.devices.policing import Draft
from clients.devices.suspending import ModelSuspend
from clients.errors import Refusal
from clients.models import DevicePolicy
from vrasnode import words
from vrasnode.wire import devices as wire


def _say(code: str) -> str:
    return words.say(code, get_language() or "en")


_said: Callable[[str], str] = lazy(_say, str)
VERDICTS = {item: _said(f"verdict.{item}") for item in wire.Verdict}  # the words that PCs use too
BUSES = {wire.Bus.USB: "USB", wire.Bus.PCI: "PCI", wire.Bus.OPTICAL: _("optical drive")}
MINUTES = "%Y-%m-%dT%H:%M"


class RuleForm(forms.Form):
    """One rule. What is left empty matches everything."""

    verdict = forms.ChoiceField(
        label=_("Verdict"), choices=[(item.value, word) for item, word in VERDICTS.items()]
    )
    bus = forms.ChoiceField(
        label=_("Bus"),
        required=False,
        choices=[("", _("any")), *((item.value, word) for item, word in BUSES.items())],
    )
    device_class = forms.CharField(
        label=_("Class"),
        required=False,
        max_length=6,
        help_text=_("Hex digits: two of a USB class, or two, four or six of a PCI class."),
        widget=forms.TextInput(attrs={"list": "classes"}),
    )
    device_id = forms.CharField(
        label=_("Vendor and product"),
        required=False,
        max_length=9,
        help_text=_("Such as 0930:6545, or 0930:* for everything of a vendor."),
    )
    serial = forms.CharField(
        label=_("Serial number"),
        required=False,
        max_length=255,
        strip=False,
        help_text=_(
            "The device says it of itself, so a copy can say the same. Together with the port it is strong."
        ),
    )
    no_serial = forms.BooleanField(label=_("Only devices without a serial number"), required=False)
    port = forms.CharField(
        label=_("Port"),
        required=False,
        max_length=64,
        help_text=_("A USB port such as 1-2.3, a PCI address such as 0000:03:00.0, or a drive such as sr0."),
    )
    interfaces = forms.CharField(
        label=_("Interfaces"),
        required=False,
        max_length=300,
        help_text=_(
            "Of a USB device, such as 08:06:50 03:*:*. A device with several passes only if each does."
        ),
    )
    valid_from = forms.DateTimeField(
        label=_("Valid from"),
        required=False,
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format=MINUTES),
    )
    valid_until = forms.DateTimeField(
        label=_("Valid until"),
        required=False,
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format=MINUTES),
    )
    note = forms.CharField(
        label=_("Note"), required=False, max_length=200, help_text=_("Whose device it is, and what for.")
    )

    def __init__(self, *args: Any, scope: wire.Scope, ident: int = 0, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.scope = scope
        self.ident = ident
        for name in ("device_class", "device_id", "serial", "port", "interfaces", "note"):
            self.fields[name].widget.attrs["autocomplete"] = "off"

    @staticmethod
    def initial_of(rule: wire.Rule) -> dict[str, Any]:
        """A rule as this form shows it."""
        return {
            "verdict": rule.verdict.value,
            "bus": rule.bus.value if rule.bus else "",
            "device_class": rule.device_class,
            "device_id": rule.device_id,
            "serial": rule.serial or "",
            "no_serial": rule.serial == "",
            "port": rule.port,
            "interfaces": " ".join(rule.interfaces),
            "valid_from": rule.valid_from,
            "valid_until": rule.valid_until,
            "note": rule.note,
        }

    def clean(self) -> dict[str, Any]:
        wish: dict[str, Any] = super().clean() or {}
        if self.errors:
            return wish
        self.rule = wire.Rule(
            id=self.ident,
            scope=self.scope,
            verdict=wire.Verdict(wish["verdict"]),
            bus=wire.Bus(wish["bus"]) if wish["bus"] else None,
            device_class=wish["device_class"].strip(),
            device_id=wish["device_id"].strip(),
            serial="" if wish["no_serial"] else wish["serial"] or None,
            port=wish["port"].strip(),
            interfaces=[part for part in re.split(r"[\s,]+", wish["interfaces"]) if part],
            valid_from=wish["valid_from"],
            valid_until=wish["valid_until"],
            note=wish["note"],
        )
        try:
            policing.check_rule(self.rule)
        except Refusal as refusal:
            raise forms.ValidationError(str(refusal.words), code=refusal.code) from refusal
        return wish


class SettingsForm(forms.Form):
    """What is said once for all devices."""

    usb_mode = forms.ChoiceField(
        label="USB",
        required=False,
        help_text=_(
            "“Each device by itself” hides what no rule allows. “Whole controllers” is fast, hides nothing,"
            " and holds only where no USB rule could deny."
        ),
    )
    suspend = forms.ChoiceField(
        label=_("Suspend"),
        required=False,
        help_text=_(
            "What closing the lid may do. Devices that are passed through often do not wake up again."
        ),
    )

    def __init__(self, *args: Any, scope: wire.Scope, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        wider = [] if scope is wire.Scope.GROUP else [("", _("as the group says"))]
        for name, choices in (("usb_mode", DevicePolicy.UsbMode), ("suspend", DevicePolicy.Suspend)):
            field = self.fields[name]
            assert isinstance(field, forms.ChoiceField)  # noqa: S101
            field.choices = [*wider, *choices.choices]
        if scope is wire.Scope.USER:
            del self.fields["usb_mode"]

    @staticmethod
    def initial_of(draft: Draft) -> dict[str, str]:
        return {"usb_mode": draft.usb_mode or "", "suspend": draft.suspend or ""}

    def usb(self) -> wire.UsbMode | None:
        text = self.cleaned_data.get("usb_mode")
        return wire.UsbMode(text) if text else None

    def sleep(self) -> wire.Suspend | None:
        text = self.cleaned_data["suspend"]
        return wire.Suspend(text) if text else None


class ModelForm(forms.Form):
    """What PCs of one model may do when they are to sleep; without a model it is no entry."""

    model = forms.CharField(
        label=_("Model"),
        required=False,
        max_length=suspending.MAX_MODEL_CHARS,
        widget=forms.TextInput(attrs={"list": "models", "autocomplete": "off"}),
    )
    suspend = forms.ChoiceField(label=_("Suspend"), choices=DevicePolicy.Suspend.choices)


ModelForms = forms.formset_factory(ModelForm, extra=1, max_num=suspending.MAX_MODELS + 1)


def entries(formset: forms.BaseFormSet[ModelForm]) -> list[ModelSuspend]:
    """What was filled in, in its order."""
    wishes = [form.cleaned_data for form in formset.forms if form.cleaned_data.get("model")]
    return [ModelSuspend(model=wish["model"], suspend=wire.Suspend(wish["suspend"])) for wish in wishes]


class ImportForm(forms.Form):
    """Rules in usbguard's language."""

    text = forms.CharField(
        label=_("Rules in usbguard's language"),
        max_length=200_000,
        widget=forms.Textarea(
            attrs={"rows": 5, "spellcheck": "false", "placeholder": 'allow id 0930:6545 serial "A1"'}
        ),
    )
    replace = forms.BooleanField(label=_("In place of the USB rules that stand in the list"), required=False)


class SaveForm(forms.Form):
    """What goes to the audit log with the new policy."""

    reason = forms.CharField(
        label=_("Reason"),
        required=False,
        max_length=500,
        help_text=_("Kept in the audit log."),
        widget=forms.TextInput,
    )
    revision = forms.IntegerField(min_value=0, widget=forms.HiddenInput)

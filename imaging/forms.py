"""What people fill in about images and distributions."""

import re
import shlex
from typing import Any

from django import forms
from django.db.models import QuerySet
from django.template.defaultfilters import filesizeformat
from django.utils.translation import gettext_lazy as _

from clients.forms import NamedForm
from clients.models import Group, check_windows
from imaging.distributing import Terms
from imaging.models import (
    MACHINES,
    NO_AGENT,
    NO_PILOTS,
    Distribution,
    ImageVersion,
    MasterImage,
    Subscription,
)
from vrasnode.wire.imaging import Apply, Machine

MIB = 1 << 20


class CommandField(forms.CharField):
    """A command line, kept as a list of arguments."""

    def prepare_value(self, value: Any) -> Any:
        return shlex.join(value) if isinstance(value, list) else value

    def clean(self, value: Any) -> Any:
        text = super().clean(value)
        try:
            return shlex.split(text)
        except ValueError as error:
            raise forms.ValidationError(_("A quotation mark is not closed.")) from error

    def has_changed(self, initial: Any, data: Any) -> bool:
        return super().has_changed(self.prepare_value(initial), data)


class ImageForm(NamedForm):
    machine = forms.ChoiceField(
        choices=MACHINES,
        required=False,
        label=_("Machine"),
        help_text=_("Which machine of a PC starts from it. This cannot be changed later."),
    )
    health_command = CommandField(
        required=False,
        max_length=500,
        label=_("Health command"),
        help_text=_(
            "Run in the guest after a start; ends with 0 when it is well. Empty: its answer is enough."
        ),
    )

    class Meta:
        model = MasterImage
        fields = ["name", "machine", "keep_versions", "health_within_s", "health_agent", "health_command"]

    def clean(self) -> dict[str, Any]:
        wish = super().clean() or self.cleaned_data
        if wish.get("health_command") and not wish.get("health_agent"):
            self.add_error("health_command", NO_AGENT)
        return wish


class UploadForm(forms.Form):
    """A raw or qcow2 file as the next version."""

    file = forms.FileField(label=_("Image file (raw or qcow2)"))
    note = forms.CharField(
        max_length=500, required=False, label=_("Note"), help_text=_("What changed, for those who choose.")
    )


class TermsForm(forms.Form):
    """How a distribution runs."""

    apply = forms.ChoiceField(
        label=_("Becomes active"),
        choices=Distribution._meta.get_field("apply").choices or [],
        initial=Apply.NEXT_START.value,
    )
    wave_size = forms.IntegerField(
        label=_("PCs fetching at a time"), min_value=1, max_value=100_000, initial=50
    )
    rate_mib_s = forms.FloatField(
        label=_("MiB per second and PC"),
        min_value=0.01,
        max_value=100_000,
        required=False,
        help_text=_("Empty: as fast as it goes."),
    )

    pilots = forms.CharField(
        label=_("Pilot PCs"),
        required=False,
        max_length=4000,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text=_("Names, with commas between or a line each. They get it first; the others wait."),
    )
    pilot_count = forms.IntegerField(
        label=_("Or how many pilots"),
        required=False,
        min_value=0,
        max_value=100_000,
        help_text=_("Then those that were heard of last are taken."),
    )
    approval = forms.BooleanField(
        label=_("After the pilots, another administrator has to approve"), required=False
    )
    halt_percent = forms.IntegerField(
        label=_("Halt at failed PCs, per cent of the ring"), required=False, min_value=1, max_value=100
    )
    halt_failures = forms.IntegerField(label=_("Or at how many failed PCs"), required=False, min_value=1)
    fetch_hours = forms.CharField(
        label=_("PCs fetch in these hours"),
        required=False,
        validators=[check_windows],
        help_text=_("Such as “mon-fri 20-6; sat,sun 0-24”. Empty: at any hour."),
    )
    switch_hours = forms.CharField(
        label=_("PCs switch in these hours"),
        required=False,
        validators=[check_windows],
        help_text=_("A client VM that starts at another hour starts with the version that it has."),
    )
    postponements = forms.IntegerField(
        label=_("How often the user may put it off"),
        required=False,
        min_value=0,
        max_value=100,
        help_text=_("On the PC's own page, for four hours each time."),
    )
    MORE: tuple[str, ...] = (
        *("pilots", "pilot_count", "approval", "halt_percent", "halt_failures"),
        *("fetch_hours", "switch_hours", "postponements"),
    )

    def more(self) -> list[forms.BoundField]:
        """What most distributions leave empty."""
        return [self[name] for name in self.MORE]

    def opened(self) -> bool:
        """Whether something is written there, or wrong."""
        return any(self[name].errors or self[name].value() for name in self.MORE)

    def terms(self) -> Terms:
        """As the verb wants them."""
        wish = self.cleaned_data
        rate = wish["rate_mib_s"]
        names = re.split(r"[,、，\n]", wish["pilots"])
        return Terms(
            apply=Apply(wish["apply"] or Apply.NEXT_START),
            wave_size=wish.get("wave_size") or Terms.wave_size,
            rate_bytes_s=int(rate * MIB) if rate else None,
            pilots=[name.strip() for name in names if name.strip()],
            pilot_count=wish["pilot_count"] or 0,
            approval=wish["approval"],
            halt_failures=wish["halt_failures"],
            halt_percent=wish["halt_percent"],
            fetch_hours=wish["fetch_hours"],
            switch_hours=wish["switch_hours"],
            postponements=wish["postponements"] or 0,
            deadline=wish.get("deadline"),
        )


class StartForm(TermsForm):
    """How one begins now."""

    deadline = forms.DateTimeField(
        label=_("Switched at the latest"),
        required=False,
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
        help_text=_("From then on the client VM is shut down for it, after a warning on the PC's own page."),
    )

    MORE = (*TermsForm.MORE, "deadline")


class SteerForm(forms.Form):
    """Why, where somebody likes to say so."""

    reason = forms.CharField(max_length=500, required=False)


class VersionChoice(forms.ModelChoiceField):  # type: ignore[type-arg]  # not generic at run time
    """Versions with what tells them apart."""

    def label_from_instance(self, obj: Any) -> str:
        size = filesizeformat(obj.size_bytes)
        return f"{obj} – {obj.note} ({size})" if obj.note else f"{obj} ({size})"


def ready_versions() -> QuerySet[ImageVersion]:
    """What can be distributed, the newest of each image first."""
    return ImageVersion.objects.ready().select_related("image").order_by("image__name", "-number")


class DistributeForm(StartForm):
    group = forms.ModelChoiceField(Group.objects.all(), label=_("Group"))
    version = VersionChoice(ready_versions(), label=_("Version"))
    field_order = ["group", "version", "apply", "wave_size", "rate_mib_s"]


class RollbackForm(StartForm):
    """To which version; the one before when nothing else is chosen."""

    version = VersionChoice(ImageVersion.objects.none(), label=_("Back to version"))
    field_order = ["version", "apply", "wave_size", "rate_mib_s"]

    def __init__(self, *args: Any, before: ImageVersion, **kwargs: Any) -> None:
        kwargs["initial"] = {"version": before.pk}
        super().__init__(*args, **kwargs)
        older = ready_versions().filter(image=before.image, number__lte=before.number)
        self.fields["version"].queryset = older  # type: ignore[attr-defined]


class SubscriptionForm(TermsForm):
    """What a machine of a group's PCs gets by itself, and on which terms."""

    image = forms.ModelChoiceField(
        MasterImage.objects.all(), required=False, label=_("Image"), empty_label=_("none: only by hand")
    )
    on_publish = forms.BooleanField(label=_("when a version is published"), required=False)
    on_join = forms.BooleanField(label=_("when a PC joins the group"), required=False)
    deadline_days = forms.IntegerField(
        label=_("Switched at the latest after how many days"),
        required=False,
        min_value=1,
        max_value=365,
        help_text=_("From then on the client VM is shut down for it, after a warning on the PC's own page."),
    )
    field_order = ["image", "on_publish", "on_join", "apply", "wave_size", "rate_mib_s"]

    MORE = (*TermsForm.MORE, "deadline_days")

    def __init__(
        self, data: Any = None, *, group: Group, machine: Machine, kept: Subscription | None
    ) -> None:
        super().__init__(data, initial=self._initial(kept))
        self._row = kept or Subscription(group=group)
        images = MasterImage.objects.filter(machine=machine.value)
        self.fields["image"].queryset = images  # type: ignore[attr-defined]
        for name in ("apply", "wave_size"):  # as ever, where nothing is said
            self.fields[name].required = False

    def clean(self) -> dict[str, Any]:
        wish = super().clean() or self.cleaned_data
        if wish.get("approval") and not wish.get("pilots") and not wish.get("pilot_count"):
            self.add_error("approval", NO_PILOTS)
        return wish

    def save(self) -> Subscription:
        """The row, as it is wished."""
        terms, row = self.terms(), self._row
        kept = {name: value for name, value in terms.kept().items() if name != "deadline"}
        wish = self.cleaned_data
        chosen = {name: wish[name] for name in ("image", "on_publish", "on_join", "deadline_days")}
        pilots = {"pilots": list(terms.pilots), "pilot_count": terms.pilot_count}
        for name, value in {**kept, **chosen, **pilots}.items():
            setattr(row, name, value)
        row.save()
        return row

    @staticmethod
    def _initial(kept: Subscription | None) -> dict[str, Any]:
        if kept is None:
            return {"on_publish": True, "on_join": True}
        names = {*SubscriptionForm.base_fields} - {"pilots", "rate_mib_s", "image"}
        rate = kept.rate_bytes_s
        return {
            **{name: getattr(kept, name) for name in names},
            "image": kept.image_id,
            "pilots": ", ".join(kept.pilots),
            "pilot_count": kept.pilot_count or None,
            "postponements": kept.postponements or None,
            "rate_mib_s": round(rate / MIB, 2) if rate else None,
        }

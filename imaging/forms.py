"""What people fill in about images and distributions."""

import shlex
from typing import Any

from django import forms
from django.db.models import QuerySet
from django.template.defaultfilters import filesizeformat
from django.utils.translation import gettext_lazy as _

from clients.forms import NamedForm
from clients.models import Group
from imaging.distributing import Terms
from imaging.models import MACHINES, NO_AGENT, Distribution, ImageVersion, MasterImage, Subscription
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

    def terms(self) -> Terms:
        """As the verb wants them."""
        wish = self.cleaned_data
        rate = wish["rate_mib_s"]
        return Terms(
            apply=Apply(wish["apply"]),
            wave_size=wish["wave_size"],
            rate_bytes_s=int(rate * MIB) if rate else None,
        )


class VersionChoice(forms.ModelChoiceField):  # type: ignore[type-arg]  # not generic at run time
    """Versions with what tells them apart."""

    def label_from_instance(self, obj: Any) -> str:
        size = filesizeformat(obj.size_bytes)
        return f"{obj} – {obj.note} ({size})" if obj.note else f"{obj} ({size})"


def ready_versions() -> QuerySet[ImageVersion]:
    """What can be distributed, the newest of each image first."""
    return ImageVersion.objects.ready().select_related("image").order_by("image__name", "-number")


class DistributeForm(TermsForm):
    group = forms.ModelChoiceField(Group.objects.all(), label=_("Group"))
    version = VersionChoice(ready_versions(), label=_("Version"))
    field_order = ["group", "version", "apply", "wave_size", "rate_mib_s"]


class RollbackForm(TermsForm):
    """To which version; the one before when nothing else is chosen."""

    version = VersionChoice(ImageVersion.objects.none(), label=_("Back to version"))
    field_order = ["version", "apply", "wave_size", "rate_mib_s"]

    def __init__(self, *args: Any, before: ImageVersion, **kwargs: Any) -> None:
        kwargs["initial"] = {"version": before.pk}
        super().__init__(*args, **kwargs)
        older = ready_versions().filter(image=before.image, number__lte=before.number)
        self.fields["version"].queryset = older  # type: ignore[attr-defined]


class SubscriptionForm(forms.ModelForm[Subscription]):
    image = forms.ModelChoiceField(
        MasterImage.objects.all(),
        required=False,
        label=_("Image"),
        empty_label=_("none: only by hand"),
    )

    class Meta:
        model = Subscription
        fields = ["image", "on_publish", "on_join"]

    def __init__(self, *args: Any, machine: Machine, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        images = MasterImage.objects.filter(machine=machine.value)
        self.fields["image"].queryset = images  # type: ignore[attr-defined]

"""What people fill in about the keeping of replicas."""

from typing import Any, ClassVar

from django import forms
from django.utils.translation import gettext_lazy as _

from mydoc.models import Keeping


class KeepingForm(forms.ModelForm[Keeping]):
    """Other rules; without `confirm` what they would delete is shown first."""

    reason = forms.CharField(
        max_length=500, label=_("Reason"), help_text=_("Kept in the audit log."), widget=forms.TextInput
    )
    confirm = forms.CharField(required=False, max_length=10, widget=forms.HiddenInput)

    class Meta:
        model = Keeping
        fields: ClassVar[list[str]] = [
            *("last", "daily", "weekly", "monthly", "night_gib", "night_minutes"),
            *("drill_files", "changed_percent"),
        ]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in self._meta.fields or ():
            self.fields[name].widget.attrs["inputmode"] = "numeric"

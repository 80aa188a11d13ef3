"""What people fill in to restore everything to another PC."""

from typing import Any

from django import forms
from django.utils.formats import date_format
from django.utils.timezone import localtime
from django.utils.translation import gettext_lazy as _

from clients.forms import ReasonForm
from mydoc.models import Volume
from mydoc.replicas.recalling import Kept


class RestoreForm(ReasonForm):
    """Where to, as of when, why; without `confirm` it is shown first what would happen."""

    target = forms.ChoiceField(label=_("To which PC"))
    run = forms.ChoiceField(label=_("As of"))
    confirm = forms.CharField(required=False, max_length=20, widget=forms.HiddenInput)
    field_order = ["target", "run", "reason", "confirm"]

    def __init__(self, *args: Any, targets: list[Volume], times: list[Kept], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._targets = {str(one.pk): one for one in targets}
        self._declare("target", [(key, str(one.client)) for key, one in self._targets.items()])
        self._declare("run", [(str(one.run.pk), _time(one)) for one in times])

    def clean_target(self) -> Volume:
        return self._targets[self.cleaned_data["target"]]

    def _declare(self, name: str, choices: list[tuple[str, str]]) -> None:
        field = self.fields[name]
        if isinstance(field, forms.ChoiceField):
            field.choices = choices


def _time(kept: Kept) -> str:
    return date_format(localtime(kept.at), "SHORT_DATETIME_FORMAT")

"""What people fill in about a PC that is lost."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from clients.forms import ConfirmForm


class LossForm(ConfirmForm):
    """Why, when and where it was seen last, and the PC's name typed."""

    seen_at = forms.DateTimeField(
        required=False,
        label=_("When did you see it last?"),
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
    )
    seen_where = forms.CharField(
        required=False,
        max_length=200,
        label=_("Where?"),
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    field_order = ["reason", "seen_at", "seen_where", "confirm"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["reason"].label = _("What has happened?")

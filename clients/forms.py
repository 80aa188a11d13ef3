"""What forms of many subjects share: a name of its own, a reason, a name typed once more."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from vrasnode.wire import names

BAD_NAME = _(
    "A name has 1 to 64 letters, digits, spaces, dots, hyphens or underscores, neither begins nor ends with a"
    " space or a dot, and mixes no scripts whose letters look alike."
)
LOOKS_ALIKE = _("This name, or one that looks the same, is taken.")


class NamedForm(forms.ModelForm[Any]):
    """A form with a name that no other row's name may look like."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["name"].error_messages["bad_name"] = str(BAD_NAME)
        self.fields["name"].widget.attrs["autocomplete"] = "off"

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        same = self._meta.model._base_manager.filter(skeleton=names.skeleton(name)).exclude(
            pk=self.instance.pk
        )
        if same.exists():
            raise forms.ValidationError(LOOKS_ALIKE, code="name_taken")
        return name


class ReasonForm(forms.Form):
    """Why. It goes to the audit log."""

    reason = forms.CharField(
        max_length=500, label=_("Reason"), help_text=_("Kept in the audit log."), widget=forms.TextInput
    )


class ConfirmForm(ReasonForm):
    """Why, and the name typed once more, for what cannot be taken back."""

    confirm = forms.CharField(
        label=_("Type the name to confirm"), widget=forms.TextInput(attrs={"autocomplete": "off"})
    )

    def __init__(self, *args: Any, name: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.name = name

    def clean_confirm(self) -> str:
        typed: str = self.cleaned_data["confirm"]
        if typed != self.name:
            raise forms.ValidationError(_("Type %(name)s exactly."), params={"name": self.name})
        return typed

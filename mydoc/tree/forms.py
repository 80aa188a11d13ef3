"""What people fill in about user data: why they look, what they search, with whom a folder is shared."""

from typing import Any

from django import forms
from django.contrib.auth.models import User
from django.utils.translation import gettext_lazy as _

from clients.errors import Refusal
from mydoc.models import FolderGrant, Volume
from mydoc.tree import sharing
from mydoc.tree.reasons import MAX_REASON


class LookForm(forms.Form):
    """Why somebody looks into somebody else's data."""

    reason = forms.CharField(
        max_length=MAX_REASON,
        label=_("Reason"),
        help_text=_("Its owner reads it, and it is kept in the audit log."),
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )


class FindForm(LookForm):
    """A part of a name, in the data of several people; why."""

    name = forms.CharField(max_length=100, label=_("Part of a file's name"))
    field_order = ["name", "reason"]


class ShareForm(LookForm):
    """With whom, and what they may."""

    person = forms.CharField(
        max_length=150,
        label=_("With whom"),
        help_text=_("User name, or part of a name."),
        widget=forms.TextInput(attrs={"list": "people", "autocomplete": "off"}),
    )
    access = forms.ChoiceField(choices=FolderGrant.Access, label=_("May"))
    revision = forms.IntegerField(widget=forms.HiddenInput)
    field_order = ["person", "access", "reason", "revision"]

    def __init__(self, *args: Any, volume: Volume, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.volume = volume

    def clean_person(self) -> User:
        """The one whom the words mean: by exact user name, else the only one whose name holds them."""
        words: str = self.cleaned_data["person"]
        found = sharing.people("", volume=self.volume).filter(username__iexact=words).first()
        if found is not None:
            return found
        some = list(sharing.people(words, volume=self.volume)[: sharing.MAX_SUGGESTED + 1])
        if len(some) == 1:
            return some[0]
        if not some:
            return self._from_directory(words)
        names = ", ".join(f"{user.get_username()} ({user.get_full_name() or '–'})" for user in some)
        raise forms.ValidationError(
            _("Several people fit: %(names)s. Write one's user name."),
            code="several",
            params={"names": names},
        )

    def _from_directory(self, words: str) -> User:
        try:
            user = sharing.from_directory(words)
        except Refusal as refusal:
            raise forms.ValidationError(f"{refusal.words} [{refusal.code}]", code=refusal.code) from refusal
        if user is None or user.pk == self.volume.owner_id:
            raise forms.ValidationError(
                _("Nobody of this name is known here. Write the user name of somebody with a role."),
                code="unknown",
            )
        return user


class WithdrawForm(LookForm):
    """Why somebody may no longer."""

    revision = forms.IntegerField(widget=forms.HiddenInput)

"""What people fill in to log in."""

from typing import Any

from django import forms
from django.contrib.auth.forms import AuthenticationForm
from django.utils.translation import gettext_lazy as _

from clients.people.directory import DirectoryFailed
from clients.people.refusing import refusal_of


class LoginForm(AuthenticationForm):
    """Name and password; what the directory said when it was more than "no"."""

    def get_invalid_login_error(self) -> forms.ValidationError:
        refusal = refusal_of(self.request)
        if refusal is None:
            return super().get_invalid_login_error()
        words: list[Any] = [f"{refusal.words} [{refusal.code}]"]
        if isinstance(refusal, DirectoryFailed):
            words.append(_("Accounts of this server itself can log in meanwhile."))
        return forms.ValidationError(words, code=refusal.code)

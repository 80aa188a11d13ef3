"""What people fill in about their tokens."""

from django import forms
from django.utils.translation import gettext_lazy as _

from clients.models import ApiToken


class ApiTokenForm(forms.ModelForm[ApiToken]):
    class Meta:
        model = ApiToken
        fields = ["name", "scope"]
        help_texts = {"name": _("What the token is for, such as the machine that uses it.")}

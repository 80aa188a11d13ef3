"""What people fill in about enrolment tokens."""

from django import forms
from django.utils.translation import gettext_lazy as _

from clients.models import EnrolmentToken, Group


class EnrolmentTokenForm(forms.ModelForm[EnrolmentToken]):
    group = forms.ModelChoiceField(
        Group.objects.all(), required=False, label=_("Group"), empty_label=_("no group")
    )

    class Meta:
        model = EnrolmentToken
        fields = ["group", "approved"]
        help_texts = {
            "approved": _("The PC joins without a look at the screen. Whoever has the token can join."),
        }

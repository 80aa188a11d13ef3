"""What people fill in about PCs."""

from django import forms
from django.contrib.auth import get_user_model
from django.utils.translation import gettext_lazy as _

from clients.models import Client, Group


class MoveForm(forms.Form):
    """To which group; empty is none."""

    group = forms.ModelChoiceField(
        Group.objects.all(), required=False, label=_("Group"), empty_label=_("no group")
    )


class AssignForm(forms.Form):
    """Which employee has the PC; empty is none."""

    user = forms.ModelChoiceField(
        get_user_model()._default_manager.filter(is_active=True).order_by("username"),
        required=False,
        label=_("User"),
        empty_label=_("no user"),
        help_text=_("What was granted to them is granted on this PC."),
    )


class BulkForm(MoveForm):
    """Selected PCs and what to do with them."""

    pcs = forms.ModelMultipleChoiceField(Client.objects.select_related("group"))
    act = forms.ChoiceField(choices=[("approve", "approve"), ("move", "move")])

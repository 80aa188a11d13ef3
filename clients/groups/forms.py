"""What people fill in about groups."""

from clients.forms import NamedForm
from clients.models import Group


class GroupForm(NamedForm):
    class Meta:
        model = Group
        fields = ["name", "note"]

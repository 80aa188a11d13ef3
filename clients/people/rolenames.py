"""The names of the roles, also for settings, which are read before there are models."""

from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _


class Role(TextChoices):
    ADMINISTRATOR = "administrator", _("administrator")
    IMAGE_MAKER = "image-maker", _("image maker")
    APPROVER = "approver", _("approver")
    AUDITOR = "auditor", _("auditor")
    HELP_DESK = "help-desk", _("help desk")
    EMPLOYEE = "employee", _("employee")

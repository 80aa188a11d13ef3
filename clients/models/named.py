"""Rows with names that nobody should have to tell apart: two that look alike are one name."""

from typing import Any, ClassVar

from django.core.exceptions import ValidationError
from django.db import IntegrityError, models, transaction
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from clients.errors import Refusal
from vrasnode.errors import Refused
from vrasnode.wire import names


def check_name(name: str) -> None:
    """A model validator for names of groups, PCs and images. Raises ValidationError."""
    try:
        names.check_name(name)
    except Refused as error:
        raise ValidationError(error.words, code=error.code) from error


class Named(models.Model):
    """A row with a name like no other's. `TAKEN` is what people read when one has it."""

    TAKEN: ClassVar[Promise]

    name = models.CharField(_("name"), max_length=64, validators=[check_name])
    skeleton = models.CharField(max_length=128, unique=True, editable=False)  # what the name looks like

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return self.name

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Raises Refusal(name_taken)."""
        self.skeleton = names.skeleton(self.name)
        try:
            with transaction.atomic():
                super().save(*args, **kwargs)
        except IntegrityError as error:
            raise Refusal("name_taken", self.TAKEN) from error

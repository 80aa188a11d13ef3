"""Rows of who decides: each group's chain of approvers and its terms, and who stands in for whom."""

from datetime import date

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from clients.models import Group
from clients.people import calling


class Kind(models.TextChoices):
    """Who decides at a step."""

    MANAGER = "manager", _("the requester's manager")  # as the directory says
    GROUP = "group", _("a group of the directory")
    ROLE = "role", _("whoever has the role approver")
    PERSON = "person", _("one person")


class CheckoutTerms(models.Model):
    """What a group's PCs may be lent for. A group without them: defaults, one step for the role approver."""

    group = models.OneToOneField(Group, primary_key=True, on_delete=models.CASCADE, related_name="checkout")
    software = models.BooleanField(_("also without a hardware TPM"), default=False)
    max_days = models.PositiveSmallIntegerField(_("longest period in days"), default=31)
    revision = models.PositiveIntegerField(default=0, editable=False)

    class Meta:
        verbose_name = _("terms of checkout")
        verbose_name_plural = _("terms of checkout")

    def __str__(self) -> str:
        return str(self.group)


class Decider(models.Model):
    """Who decides at one step: of a group's chain, or of one request's, which is a copy."""

    kind = models.CharField(_("who"), max_length=10, choices=Kind)
    directory_group = models.CharField(_("group of the directory"), max_length=400, blank=True)  # its DN
    person = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("person"),
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
    )

    class Meta:
        abstract = True

    @property
    def words(self) -> str:
        """Who that is, for people."""
        if self.kind == Kind.GROUP:
            return self.directory_group.partition(",")[0].partition("=")[2] or self.directory_group
        if self.person is not None:
            return calling.name_of(self.person)
        return str(self.get_kind_display())


class ChainLink(Decider):
    """One step of a group's chain, in order."""

    terms = models.ForeignKey(CheckoutTerms, on_delete=models.CASCADE, related_name="links")
    position = models.PositiveSmallIntegerField(_("position"))

    class Meta:
        ordering = ["terms", "position"]
        verbose_name = _("approval step")
        verbose_name_plural = _("approval steps")
        constraints = [
            models.UniqueConstraint(
                fields=["terms", "position"],
                name="a_chain_has_one_link_at_a_place",
                violation_error_message=_("This place of the chain is taken."),
            ),
            models.CheckConstraint(
                name="a_link_says_who",
                condition=models.Q(kind__in=("manager", "role"), person=None, directory_group="")
                | (models.Q(kind="group", person=None) & ~models.Q(directory_group=""))
                | models.Q(kind="person", person__isnull=False, directory_group=""),
                violation_error_message=_("A step names one group of the directory, or one person."),
            ),
        ]

    def __str__(self) -> str:
        return self.words


class DeputyQuerySet(models.QuerySet["Deputy"]):
    def on(self, day: date) -> "DeputyQuerySet":
        """Those who stand in for somebody on this day."""
        return self.filter(starts__lte=day, ends__gte=day)


class Deputy(models.Model):
    """Somebody decides in somebody else's place, from one day to another, both included."""

    principal = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("in whose place"),
        on_delete=models.CASCADE,
        related_name="deputies",
    )
    deputy = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("deputy"),
        on_delete=models.CASCADE,
        related_name="stands_in_for",
    )
    starts = models.DateField(_("first day"))
    ends = models.DateField(_("last day"))
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    created_by = models.CharField(_("created by"), max_length=150)

    objects = DeputyQuerySet.as_manager()

    class Meta:
        ordering = ["-starts", "pk"]
        verbose_name = _("deputy")
        verbose_name_plural = _("deputies")
        constraints = [
            models.CheckConstraint(
                name="a_deputy_is_somebody_else",
                condition=~models.Q(principal=models.F("deputy")),
                violation_error_message=_("Nobody stands in for themselves."),
            ),
            models.CheckConstraint(
                name="a_deputys_days_are_in_order",
                condition=models.Q(ends__gte=models.F("starts")),
                violation_error_message=_("The last day is before the first."),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.deputy} ← {self.principal}"

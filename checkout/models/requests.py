"""Rows of requests, the steps at which they are decided, and leases: the usage keys themselves.

No row holds what opens anything: a lease keeps the key as the PC gets it, its secret sealed to that PC.
"""

import uuid

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from checkout.models.chains import Decider
from clients.models import Client, Group
from clients.stateful import Stateful
from mydoc.models import Volume


class CheckoutRequestQuerySet(models.QuerySet["CheckoutRequest"]):
    def live(self) -> "CheckoutRequestQuerySet":
        """Those of which something may still come."""
        return self.filter(state__in=CheckoutRequest.LIVE)


class CheckoutRequest(Stateful):
    """An employee asks to use their data away from the company. `number` is its name for people.

    waiting -> permitted -> lent -> returned | expired | revoked
                                 -> overdue -> returned | expired | revoked
                         -> withdrawn | revoked | lapsed
            -> sent back -> waiting (mended) | withdrawn | lapsed
            -> rejected | withdrawn | lapsed
    """

    class State(models.TextChoices):
        WAITING = "waiting", _("waiting for a decision")
        SENT_BACK = "sent_back", _("sent back to be mended")
        PERMITTED = "permitted", _("approved, key to come")
        REJECTED = "rejected", _("rejected")
        WITHDRAWN = "withdrawn", _("withdrawn")
        LAPSED = "lapsed", _("lapsed: its period went by")
        LENT = "lent", _("lent")
        OVERDUE = "overdue", _("overdue: not back yet")
        RETURNED = "returned", _("returned")
        EXPIRED = "expired", _("ended at its deadline")
        REVOKED = "revoked", _("called back")

    ARROWS = {
        State.WAITING: {State.PERMITTED, State.SENT_BACK, State.REJECTED, State.WITHDRAWN, State.LAPSED},
        State.SENT_BACK: {State.WAITING, State.WITHDRAWN, State.LAPSED},
        State.PERMITTED: {State.LENT, State.WITHDRAWN, State.LAPSED, State.REVOKED},
        State.LENT: {State.RETURNED, State.EXPIRED, State.OVERDUE, State.REVOKED},
        State.OVERDUE: {State.RETURNED, State.EXPIRED, State.REVOKED},
    }
    LIVE = (State.WAITING, State.SENT_BACK, State.PERMITTED, State.LENT, State.OVERDUE)
    APPROVED = (State.PERMITTED, State.LENT, State.OVERDUE, State.RETURNED, State.EXPIRED, State.REVOKED)

    requester = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("requester"),
        on_delete=models.PROTECT,
        related_name="checkouts",
    )
    volume = models.ForeignKey(
        Volume, verbose_name=_("data volume"), on_delete=models.PROTECT, related_name="checkouts"
    )
    client = models.ForeignKey(
        Client, verbose_name=_("client PC"), on_delete=models.PROTECT, related_name="checkouts"
    )
    # By whose chain it is decided: the PC's group when it was submitted.
    group = models.ForeignKey(
        Group, verbose_name=_("group"), null=True, on_delete=models.PROTECT, related_name="checkouts"
    )
    state = models.CharField(_("state"), max_length=10, choices=State, default=State.WAITING, editable=False)
    starts = models.DateTimeField(_("from"))
    ends = models.DateTimeField(_("until"))
    asked_ends = models.DateTimeField(_("asked for until"))  # an approver may have shortened it
    purpose = models.CharField(_("purpose"), max_length=500)
    destination = models.CharField(_("destination"), max_length=200)
    contact = models.CharField(_("contact"), max_length=200)
    folders = models.JSONField(_("folders"), default=list, blank=True)  # words of paths; empty: everything
    round = models.PositiveSmallIntegerField(default=1, editable=False)  # grows with each submission
    steps_total = models.PositiveSmallIntegerField(editable=False)
    steps_done = models.PositiveSmallIntegerField(default=0, editable=False)
    created_at = models.DateTimeField(_("submitted"))
    waits_since = models.DateTimeField(_("waits since"))  # for whoever has to act
    ended_at = models.DateTimeField(_("ended"), null=True, editable=False)
    words = models.CharField(_("reason"), max_length=500, blank=True)  # of whoever moved it last
    obstacle = models.CharField(max_length=40, blank=True, editable=False)  # a code: why no key is made yet
    # A key without a recent replica: who said so, and why.
    waived_by = models.CharField(_("replica waived by"), max_length=150, blank=True, editable=False)
    waived_why = models.CharField(max_length=500, blank=True, editable=False)

    objects = CheckoutRequestQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        verbose_name = _("checkout request")
        verbose_name_plural = _("checkout requests")
        constraints = [
            models.CheckConstraint(
                name="a_checkout_ends_after_its_start",
                condition=models.Q(ends__gt=models.F("starts")) & models.Q(ends__lte=models.F("asked_ends")),
                violation_error_message=_("The period has to end after its start."),
            ),
            models.CheckConstraint(
                name="what_is_permitted_was_approved_at_each_step",
                condition=~models.Q(
                    state__in=("permitted", "lent", "overdue", "returned", "expired", "revoked")
                )
                | models.Q(steps_total__gte=1, steps_done=models.F("steps_total")),
                violation_error_message=_("This request was not approved at each step."),
            ),
        ]

    def __str__(self) -> str:
        return f"#{self.pk} {self.volume}"

    @property
    def current_step(self) -> "RequestStep | None":
        """Where it waits; None when it waits for no approver."""
        if self.state != CheckoutRequest.State.WAITING:
            return None
        return next((step for step in self.current_steps if not step.decision), None)

    @property
    def current_steps(self) -> list["RequestStep"]:
        """Those of the last submission, in order."""
        return [step for step in self.steps.all() if step.round == self.round]

    @property
    def lease(self) -> "Lease | None":
        """The last usage key that was made for it."""
        return max(self.leases.all(), key=lambda lease: lease.serial, default=None)


class RequestStep(Decider):
    """One step of one submission: who has to decide, as the chain was then, and who did."""

    class Decision(models.TextChoices):
        APPROVED = "approved", _("approved")
        SENT_BACK = "sent_back", _("sent back")
        REJECTED = "rejected", _("rejected")

    request = models.ForeignKey(CheckoutRequest, on_delete=models.CASCADE, related_name="steps")
    round = models.PositiveSmallIntegerField()
    position = models.PositiveSmallIntegerField()
    # The request's: so that the database itself can say that nobody decides about their own.
    requester = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    decision = models.CharField(_("decision"), max_length=10, choices=Decision, blank=True)
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("decided by"),
        null=True,
        on_delete=models.PROTECT,
        related_name="+",
    )
    instead_of = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("in whose place"),
        null=True,
        on_delete=models.PROTECT,
        related_name="+",
    )
    decided_at = models.DateTimeField(_("decided"), null=True)
    decided_words = models.CharField(_("reason"), max_length=500, blank=True)

    class Meta:
        ordering = ["request", "round", "position"]
        verbose_name = _("approval step")
        verbose_name_plural = _("approval steps")
        constraints = [
            models.UniqueConstraint(
                fields=["request", "round", "position"], name="a_request_has_one_step_at_a_place"
            ),
            models.UniqueConstraint(
                fields=["request", "round", "decided_by"],
                condition=models.Q(decision="approved"),
                name="nobody_approves_two_steps_of_one_request",
                violation_error_message=_("You approved an earlier step of this request."),
            ),
            models.CheckConstraint(
                name="a_decision_has_who_and_when",
                condition=models.Q(decision="", decided_by=None, decided_at=None, instead_of=None)
                | (~models.Q(decision="") & models.Q(decided_by__isnull=False, decided_at__isnull=False)),
            ),
            models.CheckConstraint(
                name="nobody_decides_their_own_request",
                condition=models.Q(decided_by=None) | ~models.Q(decided_by=models.F("requester")),
                violation_error_message=_("Nobody decides about their own request."),
            ),
            models.CheckConstraint(
                name="nobody_decides_in_the_requesters_place",
                condition=models.Q(instead_of=None) | ~models.Q(instead_of=models.F("requester")),
                violation_error_message=_("Nobody decides about their own request."),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.request_id}.{self.round}.{self.position}"


class LeaseQuerySet(models.QuerySet["Lease"]):
    def current(self) -> "LeaseQuerySet":
        """Those that were not ended here."""
        return self.filter(ended="")


class Lease(models.Model):
    """A usage key that was made: what the PC gets, and what it told of it. `ended` is a code; "" while it is
    lent. A trigger in the database refuses one whose request was not approved at each step."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    request = models.ForeignKey(CheckoutRequest, on_delete=models.PROTECT, related_name="leases")
    volume = models.ForeignKey(Volume, on_delete=models.PROTECT, related_name="leases")
    client = models.ForeignKey(Client, on_delete=models.PROTECT, related_name="leases")
    serial = models.PositiveIntegerField(editable=False)
    starts = models.DateTimeField(_("from"))
    ends = models.DateTimeField(_("until"))
    issued_at = models.DateTimeField(_("made"))
    software = models.BooleanField(_("without a hardware TPM"), default=False)
    key = models.BinaryField(editable=False)  # wire Signed[UsageKey]; its secret is sealed to the PC
    ended = models.CharField(max_length=40, blank=True, editable=False)
    ended_at = models.DateTimeField(_("ended"), null=True, editable=False)
    told = models.JSONField(default=dict, editable=False)  # wire LeaseReport
    told_at = models.DateTimeField(null=True, editable=False)

    objects = LeaseQuerySet.as_manager()

    class Meta:
        ordering = ["-issued_at"]
        verbose_name = _("usage key")
        verbose_name_plural = _("usage keys")
        constraints = [
            models.UniqueConstraint(fields=["client", "serial"], name="a_lease_has_its_own_serial_on_its_pc"),
            models.UniqueConstraint(
                fields=["volume"],
                condition=models.Q(ended=""),
                name="a_volume_is_lent_once_at_a_time",
                violation_error_message=_("This data is lent already."),
            ),
            models.UniqueConstraint(
                fields=["request"], condition=models.Q(ended=""), name="a_request_has_one_current_lease"
            ),
            models.CheckConstraint(
                name="a_lease_ends_after_its_start", condition=models.Q(ends__gt=models.F("starts"))
            ),
            models.CheckConstraint(
                name="an_ended_lease_says_when",
                condition=models.Q(ended="", ended_at=None)
                | (~models.Q(ended="") & models.Q(ended_at__isnull=False)),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.volume} ({self.serial})"

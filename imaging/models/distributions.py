"""Rows of distributions: bringing a version to a group's PCs, each PC's part of it, and how the wave ran."""

from datetime import datetime, timedelta

from django.db import models
from django.db.models import Case, Exists, F, OuterRef, Q, Value, When
from django.utils.translation import gettext_lazy as _

from clients.models import Client, Group
from clients.stateful import Stateful
from imaging.models.terms import Termed

NO_CONTACT, REVOKED, LOST = "no_contact", "revoked", "lost"
LATELY = timedelta(minutes=5)  # a PC heard of since then is on
QUIET = timedelta(minutes=2)  # a PC that has its turn says something every 30 seconds


class DistributionQuerySet(models.QuerySet["Distribution"]):
    def running(self) -> "DistributionQuerySet":
        return self.filter(state=Distribution.State.RUNNING)

    def open(self) -> "DistributionQuerySet":
        """Not come to an end, whether they run or stand."""
        return self.filter(state__in=Distribution.OPEN)

    def for_all(self) -> "DistributionQuerySet":
        """Those that went beyond their pilots and were not halted: what a group has."""
        return self.filter(ring__gte=F("rings") - 1).exclude(state=Distribution.State.HALTED)

    def waiting_for_people(self) -> "DistributionQuerySet":
        """Stopped by themselves: somebody has to look and decide."""
        return self.filter(state__in=[Distribution.State.HALTED, Distribution.State.PILOTED])


class Distribution(Termed, Stateful):
    """Bringing one version to the PCs of a group, ring by ring: the pilots first, where there are any.

    running -> finished | superseded | cancelled
            -> paused -> running    (by somebody)
            -> halted -> running    (by itself: too many failures; goes on when somebody says so)
            -> piloted -> running   (the pilots are through; a second person lets the others follow)
    """

    class State(models.TextChoices):
        RUNNING = "running", _("running")
        PAUSED = "paused", _("paused")
        HALTED = "halted", _("halted: too many failures")
        PILOTED = "piloted", _("pilots done, waits for approval")
        FINISHED = "finished", _("finished")
        SUPERSEDED = "superseded", _("replaced by a later one")
        CANCELLED = "cancelled", _("cancelled")

    class Kind(models.TextChoices):
        MANUAL = "manual", _("manual")
        ON_PUBLISH = "on_publish", _("automatic, on publish")
        ON_JOIN = "on_join", _("automatic, on joining")
        ROLLBACK = "rollback", _("rollback")
        ONE_PC = "one_pc", _("rollback of one PC")

    ARROWS = {
        State.RUNNING: {
            *(State.FINISHED, State.SUPERSEDED, State.CANCELLED),
            *(State.PAUSED, State.HALTED, State.PILOTED),
        },
        State.PAUSED: {State.RUNNING, State.CANCELLED, State.SUPERSEDED, State.FINISHED},
        State.HALTED: {State.RUNNING, State.CANCELLED, State.SUPERSEDED, State.FINISHED},
        State.PILOTED: {State.RUNNING, State.CANCELLED, State.SUPERSEDED, State.FINISHED},
        State.FINISHED: {State.RUNNING},  # retry of the failed ones
    }
    OPEN = (State.RUNNING, State.PAUSED, State.HALTED, State.PILOTED)
    STANDING = (State.PAUSED, State.HALTED)  # no PC fetches, none switches

    version = models.ForeignKey(
        "imaging.ImageVersion",
        verbose_name=_("version"),
        on_delete=models.PROTECT,
        related_name="distributions",
    )
    group = models.ForeignKey(
        Group, verbose_name=_("group"), on_delete=models.PROTECT, related_name="distributions"
    )
    kind = models.CharField(_("kind"), max_length=10, choices=Kind, default=Kind.MANUAL)
    state = models.CharField(_("state"), max_length=10, choices=State, default=State.RUNNING, editable=False)
    # The pilots are ring 0; PCs of a later ring get nothing before their turn.
    rings = models.PositiveSmallIntegerField(default=1, editable=False)
    ring = models.PositiveSmallIntegerField(default=0, editable=False)
    # Failures up to here were looked at by whoever let it go on.
    forgiven = models.PositiveIntegerField(default=0, editable=False)
    deadline = models.DateTimeField(_("switched at the latest"), null=True, blank=True)
    stop_code = models.CharField(max_length=60, blank=True, editable=False)
    stop_words = models.CharField(max_length=500, blank=True, editable=False)
    created_by = models.CharField(_("by"), max_length=150)
    approved_by = models.CharField(_("approved by"), max_length=150, blank=True, editable=False)
    created_at = models.DateTimeField(_("started"))
    finished_at = models.DateTimeField(_("finished"), null=True, editable=False)

    objects = DistributionQuerySet.as_manager()

    class Meta(Termed.Meta):
        abstract = False
        ordering = ["-id"]
        verbose_name = _("distribution")
        verbose_name_plural = _("distributions")
        constraints = [
            models.CheckConstraint(
                condition=Q(wave_size__gte=1),
                name="wave_has_a_pc",
                violation_error_message=_("At least one PC must fetch at a time."),
            ),
            models.CheckConstraint(
                condition=Q(halt_percent=None) | Q(halt_percent__gte=1, halt_percent__lte=100),
                name="halts_at_a_share",
                violation_error_message=_("A share is 1 to 100 per cent."),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.version} → {self.group}"

    @property
    def is_open(self) -> bool:
        """Whether it has not come to an end."""
        return self.state in self.OPEN

    @property
    def topics(self) -> tuple[str, str]:
        """What the pages that show it listen to."""
        return f"distribution.{self.pk}", f"group.{self.group_id}"

    @property
    def stands(self) -> bool:
        """Whether somebody, or too many failures, stopped it for now."""
        return self.state in self.STANDING

    @property
    def begun_by(self) -> set[str]:
        """Whose doing it is: they cannot be the second person."""
        published = {self.version.published_by} if self.kind == self.Kind.ON_PUBLISH else set()
        return {self.created_by} | published

    @property
    def pilots_first(self) -> bool:
        """Whether only its pilots have their turn yet."""
        return self.ring < self.rings - 1


class DeliveryQuerySet(models.QuerySet["Delivery"]):
    def open(self) -> "DeliveryQuerySet":
        """Neither come to an end nor replaced."""
        return self.filter(state__in=Delivery.OPEN)

    def blamed(self) -> "DeliveryQuerySet":
        """PCs that said themselves that they failed. One that is off or gone says nothing of the version."""
        return self.filter(state=Delivery.State.FAILED).exclude(code__in=[NO_CONTACT, REVOKED, LOST])

    def stuck(self, now: datetime) -> "DeliveryQuerySet":
        """PCs for which somebody has to do something: failed, paused, silent though it is their turn, or
        left by others for wrong bytes."""
        turn = Q(state__in=[Delivery.State.WAITING, Delivery.State.FETCHING], released_at__isnull=False)
        free = Q(rate_bytes_s=None) | Q(rate_bytes_s__gt=0)
        silent = turn & free & Q(heard_at__lt=now - QUIET)
        paused = Q(state__in=Delivery.OPEN, paused_at__isnull=False)
        distrusted = turn & Q(distrusted_at__isnull=False)
        return self.filter(Q(state=Delivery.State.FAILED) | paused | silent | distrusted)

    def for_machine(self, machine: str) -> "DeliveryQuerySet":
        """Of images for this machine of a PC."""
        return self.filter(distribution__version__image__machine=machine)

    def last_sent(self) -> "DeliveryQuerySet":
        """What each PC was sent last, for each of its machines."""
        machine = "distribution__version__image__machine"
        later = Delivery.objects.filter(
            client=OuterRef("client"), serial__gt=OuterRef("serial"), **{machine: OuterRef(machine)}
        )
        return self.filter(~Exists(later))

    def silent(self, since: datetime) -> "DeliveryQuerySet":
        """A PC has its turn and nothing was heard of it since."""
        return self.busy().filter(released_at__lt=since, heard_at__lt=since)

    def busy(self) -> "DeliveryQuerySet":
        """PCs that have their turn, and may fetch."""
        turn = Q(state=Delivery.State.FETCHING) | Q(state=Delivery.State.WAITING, released_at__isnull=False)
        free = Q(rate_bytes_s=None) | Q(rate_bytes_s__gt=0)
        running = Q(distribution__state__in=[Distribution.State.RUNNING, Distribution.State.PILOTED])
        return self.filter(turn & free & running, paused_at=None)

    def next_ones(self, *, now: datetime) -> "DeliveryQuerySet":
        """PCs that wait for their turn, the next first: those that had it before, then those that are on."""
        held = Q(rate_bytes_s=0, state__in=[Delivery.State.FETCHING, Delivery.State.WAITING])
        waiting = Q(state=Delivery.State.WAITING, released_at=None)
        first = Case(
            When(held, then=Value(0)),
            When(client__last_seen__gte=now - LATELY, then=Value(1)),
            default=Value(2),
        )
        rows = self.filter(held | waiting, paused_at=None, ring__lte=F("distribution__ring"))
        return rows.order_by("ring", first, "pk")

    def by_state(self) -> dict[str, int]:
        counted = self.order_by().values_list("state").annotate(n=models.Count("pk"))
        return {str(state): n for state, n in counted}


class Delivery(Stateful):
    """One PC's part of a distribution.

    waiting -> fetching -> staged -> booted
    any of them -> failed (-> waiting, by a retry under a new serial) | superseded
    """

    class State(models.TextChoices):
        WAITING = "waiting", _("waiting")
        FETCHING = "fetching", _("fetching")
        STAGED = "staged", _("staged, waits for the next start")
        BOOTED = "booted", _("booted")
        FAILED = "failed", _("failed")
        SUPERSEDED = "superseded", _("replaced by a later one")

    ARROWS = {
        State.WAITING: {State.FETCHING, State.STAGED, State.BOOTED, State.FAILED, State.SUPERSEDED},
        State.FETCHING: {State.STAGED, State.BOOTED, State.FAILED, State.SUPERSEDED},
        State.STAGED: {State.BOOTED, State.FAILED, State.SUPERSEDED, State.FETCHING},
        # A PC counted as silent that speaks again goes on where it is.
        State.FAILED: {State.WAITING, State.FETCHING, State.STAGED, State.BOOTED, State.SUPERSEDED},
    }
    OPEN = (State.WAITING, State.FETCHING, State.STAGED)

    distribution = models.ForeignKey(
        Distribution, verbose_name=_("distribution"), on_delete=models.CASCADE, related_name="deliveries"
    )
    client = models.ForeignKey(
        Client, verbose_name=_("PC"), on_delete=models.CASCADE, related_name="deliveries"
    )
    serial = models.PositiveIntegerField()
    state = models.CharField(_("state"), max_length=10, choices=State, default=State.WAITING, editable=False)
    # The assignment as it was signed: the PC must get the same bytes each time it asks.
    assignment = models.BinaryField(editable=False)
    released_at = models.DateTimeField(null=True, editable=False)
    heard_at = models.DateTimeField(null=True, editable=False)
    done_bytes = models.BigIntegerField(default=0, editable=False)
    total_bytes = models.BigIntegerField(default=0, editable=False)
    peer_bytes = models.BigIntegerField(default=0, editable=False)  # of done_bytes: from other PCs
    delta_bytes = models.BigIntegerField(default=0, editable=False)  # of done_bytes: as delta frames
    broken_deltas = models.PositiveIntegerField(default=0, editable=False)
    refetched_chunks = models.PositiveIntegerField(default=0, editable=False)
    boot_s = models.FloatField(null=True, editable=False)
    code = models.CharField(_("code"), max_length=60, blank=True, editable=False)
    words = models.CharField(_("what happened"), max_length=500, blank=True, editable=False)
    changed_at = models.DateTimeField(_("changed"), auto_now_add=True)
    ring = models.PositiveSmallIntegerField(default=0, editable=False)
    paused_at = models.DateTimeField(_("paused"), null=True, editable=False)
    # As the PC was told. None: as fast as it goes; 0: not now, for its site or the hour says so.
    rate_bytes_s = models.PositiveBigIntegerField(null=True, editable=False)
    # How often its user has put off the switch, and until when.
    postponed = models.PositiveSmallIntegerField(default=0, editable=False)
    postponed_until = models.DateTimeField(null=True, editable=False)
    # Other PCs of its place found wrong what it gave them: since then it is left, and comes after them.
    distrusted_at = models.DateTimeField(null=True, editable=False)

    objects = DeliveryQuerySet.as_manager()

    class Meta:
        ordering = ["client__name"]
        verbose_name = _("delivery")
        verbose_name_plural = _("deliveries")
        constraints = [
            models.UniqueConstraint(fields=["distribution", "client"], name="one_delivery_per_pc"),
            models.UniqueConstraint(fields=["client", "serial"], name="serial_is_unique_per_pc"),
        ]
        indexes = [models.Index(fields=["state", "released_at"], name="delivery_state")]

    def __str__(self) -> str:
        return f"{self.distribution.version} → {self.client}"

    @property
    def server_bytes(self) -> int:
        """What of it the server sent."""
        return max(0, self.done_bytes - self.peer_bytes)

    @property
    def percent(self) -> int:
        """How much is fetched; whole numbers, 100 only when all is."""
        if self.state in (self.State.STAGED, self.State.BOOTED):
            return 100
        return min(99, self.done_bytes * 100 // self.total_bytes) if self.total_bytes else 0

    @property
    def held(self) -> bool:
        """Whether it has had its turn and has to wait again, for the hour or its site."""
        return self.rate_bytes_s == 0


class Sample(models.Model):
    """How a distribution stood at a moment: what its plot is drawn from."""

    distribution = models.ForeignKey(Distribution, on_delete=models.CASCADE, related_name="samples")
    at = models.DateTimeField()
    waiting = models.PositiveIntegerField(default=0)
    fetching = models.PositiveIntegerField(default=0)
    staged = models.PositiveIntegerField(default=0)
    booted = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0)
    done_bytes = models.BigIntegerField(default=0)

    class Meta:
        ordering = ["at", "pk"]
        indexes = [models.Index(fields=["distribution", "at"], name="sample_of_distribution")]

    def __str__(self) -> str:
        return f"{self.distribution_id} {self.at:%F %T}"


def next_serial(client: Client) -> int:
    """One more than any serial this PC was ever given; locks the PC's row until the transaction ends."""
    Client.objects.filter(pk=client.pk).update(highest_serial=F("highest_serial") + 1)
    return Client.objects.values_list("highest_serial", flat=True).get(pk=client.pk)

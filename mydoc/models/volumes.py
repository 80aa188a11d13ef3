"""Rows of volumes of user data, the logons that open them, who may read what, who looked.

No row holds a key that opens anything by itself: a server half is wrapped by a key that lies outside the
database, a recovery key by two custodians.
"""

import uuid
from datetime import datetime

from django.conf import settings
from django.db import models, transaction
from django.utils.translation import gettext_lazy as _

from clients.models import Client
from clients.stateful import Stateful
from vrasnode.wire import mydoc as wire

LOCAL_PEOPLE = uuid.UUID("6f1d3ac2-7f0b-4f0e-8d44-0f6f3b6f1a10")


class Custodian(Stateful):
    """Who holds one of the two keys that together recover volumes.

    active -> replaced
    """

    class State(models.TextChoices):
        ACTIVE = "active", _("active")
        REPLACED = "replaced", _("replaced")

    class Place(models.IntegerChoices):
        FIRST = 1, _("first")
        SECOND = 2, _("second")

    ARROWS = {State.ACTIVE: {State.REPLACED}}

    name = models.CharField(_("name"), max_length=100)
    place = models.PositiveSmallIntegerField(_("place"), choices=Place)
    public_key = models.BinaryField(editable=False)  # X25519, raw
    fingerprint = models.CharField(_("fingerprint"), max_length=32, unique=True, editable=False)
    state = models.CharField(_("state"), max_length=10, choices=State, default=State.ACTIVE, editable=False)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    class Meta:
        ordering = ["place", "-created_at"]
        verbose_name = _("custodian")
        verbose_name_plural = _("custodians")
        constraints = [
            models.UniqueConstraint(
                fields=["place"],
                condition=models.Q(state="active"),
                name="one_active_custodian_for_each_place",
                violation_error_message=_("Another custodian has this place."),
            )
        ]

    def __str__(self) -> str:
        return self.name


class Volume(models.Model):
    """One user's data on one PC. What the PC said of it last stands in `told`; what it should be is derived:
    open while it has an opening, locked otherwise."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, verbose_name=_("owner"), on_delete=models.PROTECT, related_name="volumes"
    )
    client = models.ForeignKey(
        Client, verbose_name=_("client PC"), on_delete=models.PROTECT, related_name="volumes"
    )
    # Wrapped; None once it was deleted: then only the custodians can open the volume.
    server_half = models.BinaryField(null=True, editable=False)
    luks_uuid = models.CharField(max_length=36, blank=True, editable=False)
    recovery = models.BinaryField(null=True, editable=False)  # wrapped for both custodians
    recovery_custodians = models.JSONField(default=list, editable=False)  # fingerprints, outer first
    limit_bytes = models.PositiveBigIntegerField(_("limit"))
    grants_revision = models.PositiveIntegerField(default=0, editable=False)
    told = models.JSONField(default=dict, editable=False)  # wire VolumeReport
    told_at = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    class Meta:
        ordering = ["owner__username", "client__name"]
        verbose_name = _("data volume")
        verbose_name_plural = _("data volumes")
        constraints = [
            models.UniqueConstraint(
                fields=["owner", "client"],
                name="a_user_has_one_volume_on_a_pc",
                violation_error_message=_("This user has a volume on this PC already."),
            )
        ]

    def __str__(self) -> str:
        return f"{self.owner} @ {self.client}"


class OpeningQuerySet(models.QuerySet["Opening"]):
    def current(self) -> "OpeningQuerySet":
        """Those by which a volume is, or is about to be, open."""
        return self.exclude(state=Opening.State.CLOSED)

    def of_session(self, text: str) -> "OpeningQuerySet":
        """The current one that a PC names; none for what is no name at all."""
        try:
            return self.current().filter(pk=uuid.UUID(text))
        except ValueError:
            return self.none()


class Opening(Stateful):
    """A logon that was proven: while it is not closed, its volume may be open.

    asked -> open -> closed
          -> closed
    """

    class State(models.TextChoices):
        ASKED = "asked", _("asked")  # proven; the PC has not asked for the key yet
        OPEN = "open", _("open")  # the PC was given the key
        CLOSED = "closed", _("closed")

    ARROWS = {State.ASKED: {State.OPEN, State.CLOSED}, State.OPEN: {State.CLOSED}}

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    volume = models.ForeignKey(Volume, on_delete=models.CASCADE, related_name="openings")
    state = models.CharField(_("state"), max_length=10, choices=State, default=State.ASKED, editable=False)
    nonce = models.CharField(max_length=64, editable=False)
    address = models.GenericIPAddressField(_("address"), null=True, editable=False)
    asked_at = models.DateTimeField(_("logged on"))
    opened_at = models.DateTimeField(_("opened"), null=True, editable=False)
    closed_at = models.DateTimeField(_("closed"), null=True, editable=False)
    # Its owner's account, as the directory told of it last: when that was, and when it expires.
    checked_at = models.DateTimeField(_("owner checked"), null=True, editable=False)
    expires_at = models.DateTimeField(null=True, editable=False)
    reason = models.CharField(_("reason"), max_length=40, blank=True, editable=False)  # a code

    objects = OpeningQuerySet.as_manager()

    class Meta:
        ordering = ["-asked_at"]
        verbose_name = _("opening")
        verbose_name_plural = _("openings")
        constraints = [
            models.UniqueConstraint(
                fields=["volume"],
                condition=~models.Q(state="closed"),
                name="a_volume_has_one_current_opening",
                violation_error_message=_("This volume is open already."),
            ),
            models.UniqueConstraint(
                fields=["nonce"],
                name="a_nonce_is_good_once",
                violation_error_message=_("This logon was used before."),
            ),
        ]

    def __str__(self) -> str:
        return str(self.volume)

    def end(self, *, reason: str, now: datetime, words: str = "") -> None:
        """Closes it. `reason` is a code, `words` what somebody gave for it. Raises WrongState."""
        with transaction.atomic():
            self.move(Opening.State.CLOSED, reason=words or reason, closed_at=now)
            Opening.objects.filter(pk=self.pk).update(reason=reason)
        self.reason = reason


class DirectoryWatch(models.Model):
    """How far the directory's changes were followed; one row."""

    controller = models.CharField(max_length=400, blank=True)  # whose change numbers these are
    usn = models.BigIntegerField(default=0)  # up to which changes were looked at
    checked_at = models.DateTimeField(null=True)  # when it answered last
    begun_at = models.DateTimeField(null=True)  # since when there was no long pause
    trouble = models.CharField(max_length=40, blank=True)  # a code: why it does not answer
    trouble_since = models.DateTimeField(null=True)
    clock_off_s = models.IntegerField(
        default=0
    )  # our clock less the directory's, where Kerberos bears no more

    def __str__(self) -> str:
        return self.controller


class FolderGrant(models.Model):
    """Somebody else than the owner may read or change a folder; what PCs apply is the wire's `Grant`."""

    class Access(models.TextChoices):
        READ = wire.Access.READ.value, _("read")
        WRITE = wire.Access.WRITE.value, _("read and change")

    volume = models.ForeignKey(Volume, on_delete=models.CASCADE, related_name="grants")
    path = models.BinaryField()  # from the volume's root; empty: everything
    person = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="folder_grants"
    )
    access = models.CharField(_("access"), max_length=5, choices=Access)
    reason = models.CharField(_("reason"), max_length=200)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    created_by = models.CharField(_("created by"), max_length=150)

    class Meta:
        ordering = ["path", "person__username"]
        verbose_name = _("folder grant")
        verbose_name_plural = _("folder grants")
        constraints = [
            models.UniqueConstraint(
                fields=["volume", "path", "person"],
                name="a_person_has_one_grant_on_a_folder",
                violation_error_message=_("This person has a grant on this folder already."),
            )
        ]

    def __str__(self) -> str:
        return f"{self.person}: {self.access}"


class Look(models.Model):
    """Somebody looked into somebody's data: kept for the owner to see."""

    volume = models.ForeignKey(Volume, on_delete=models.CASCADE, related_name="looks")
    at = models.DateTimeField(_("time"))
    by = models.CharField(_("by"), max_length=150)
    act = models.CharField(_("act"), max_length=20)
    path = models.BinaryField()
    reason = models.CharField(_("reason"), max_length=200)
    as_of = models.DateTimeField(_("as of"), null=True)  # of the replica that was looked into

    class Meta:
        ordering = ["-at", "-pk"]
        verbose_name = _("look")
        verbose_name_plural = _("looks")

    def __str__(self) -> str:
        return f"{self.by} {self.act}"


def person_id(user: object) -> str:
    """How PCs name a person: the directory's objectGUID; for a local account a UUID made from its key, which
    is no secret and never changes."""
    known = getattr(user, "directory_user", None)
    if known is not None:
        return str(known.guid)
    return str(uuid.uuid5(LOCAL_PEOPLE, f"local {getattr(user, 'pk', '')}"))

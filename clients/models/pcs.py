"""Rows of groups, of PCs and of their devices' policies."""

import uuid
from typing import TypeVar

import msgspec
from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from clients.models.named import Named, check_name
from clients.stateful import Stateful
from vrasnode.wire import devices as wire
from vrasnode.wire.clients import HostFacts

T = TypeVar("T")


class Group(Named):
    """PCs that share one master image and one set of policies."""

    TAKEN = _("A group of this name, or of one that looks the same, exists.")

    note = models.CharField(_("note"), max_length=200, blank=True)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    class Meta:
        ordering = ["name"]
        verbose_name = _("group")
        verbose_name_plural = _("groups")


class ClientQuerySet(models.QuerySet["Client"]):
    def approved(self) -> "ClientQuerySet":
        return self.filter(state=Client.State.APPROVED)

    def failing(self) -> "ClientQuerySet":
        """Approved PCs that could not do with a device what policy says."""
        told = DeviceRecord.objects.exclude(failures={})
        return self.approved().filter(pk__in=told.values("client"))

    def pending(self) -> "ClientQuerySet":
        return self.filter(state=Client.State.PENDING)


class Client(Stateful):
    """One physical PC that runs vRAS.

    pending -> approved -> lost -> approved (found again) | revoked
            -> revoked  -> revoked
    """

    class State(models.TextChoices):
        PENDING = "pending", _("waiting for approval")
        APPROVED = "approved", _("approved")
        LOST = "lost", _("lost")
        REVOKED = "revoked", _("revoked")

    ARROWS = {
        State.PENDING: {State.APPROVED, State.REVOKED},
        State.APPROVED: {State.LOST, State.REVOKED},
        State.LOST: {State.APPROVED, State.REVOKED},
    }

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(_("name"), max_length=64, validators=[check_name])
    group = models.ForeignKey(
        Group,
        verbose_name=_("group"),
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="clients",
    )
    # The employee who has this PC: what was granted to them is granted here.
    assigned_user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("user"),
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="assigned_clients",
    )
    state = models.CharField(_("state"), max_length=10, choices=State, default=State.PENDING, editable=False)
    signing_key = models.BinaryField(editable=False)  # P-256, DER SubjectPublicKeyInfo
    hpke_key = models.BinaryField(editable=False)  # X25519, raw
    csr = models.TextField(editable=False)
    certificate = models.TextField(blank=True, editable=False)
    certificate_expires = models.DateTimeField(_("certificate expires"), null=True, editable=False)
    facts = models.JSONField(_("facts"), default=dict, editable=False)
    # What its facts say of themselves: no PC at all, but a program that behaves like one.
    simulated = models.BooleanField(_("simulated"), default=False, editable=False)
    enrolled_at = models.DateTimeField(_("enrolled"), auto_now_add=True)
    last_seen = models.DateTimeField(_("last contact"), null=True, editable=False)
    address = models.CharField(_("address"), max_length=45, blank=True, editable=False)  # of its last call
    highest_serial = models.PositiveIntegerField(default=0, editable=False)  # last signed for it; only grows
    running = models.CharField(max_length=64, blank=True, editable=False)  # a manifest's digest, as it said

    # Of the request that this row was read for, no columns: the caller's address, and the server's as called.
    seen_from = ""
    called_at = ""

    objects = ClientQuerySet.as_manager()

    class Meta:
        ordering = ["name", "id"]
        verbose_name = _("client PC")
        verbose_name_plural = _("client PCs")
        constraints = [
            models.UniqueConstraint(
                fields=["name"],
                condition=~models.Q(state="revoked"),
                name="client_name_is_unique_unless_revoked",
                violation_error_message=_("Another PC has this name."),
            )
        ]

    def __str__(self) -> str:
        return self.name

    def host_facts(self) -> HostFacts | None:
        """What the PC said of itself, its devices included; None when it said nothing that we can read."""
        record = self.record
        return _read({**self.facts, "devices": record.facts if record else None}, HostFacts)

    @property
    def record(self) -> "DeviceRecord | None":
        """What it told of its devices; None before it told anything."""
        try:
            return self.device_record
        except DeviceRecord.DoesNotExist:
            return None


class DeviceRecord(models.Model):
    """What a PC told of its devices. Beside its row: it is long, and most questions are not about it."""

    client = models.OneToOneField(
        Client, primary_key=True, on_delete=models.CASCADE, related_name="device_record"
    )
    facts = models.JSONField(null=True)  # wire DeviceFacts
    report = models.JSONField(default=dict)  # wire DevicesReport, the last one, without events
    reported_at = models.DateTimeField(null=True)
    # "usb 1-1" -> wire DeviceEvent: what the PC could not do with a device, until it could or that went.
    failures = models.JSONField(default=dict)
    event_number = models.PositiveBigIntegerField(default=0)  # of the last event that was taken

    def __str__(self) -> str:
        return str(self.client)

    def told(self) -> wire.DevicesReport | None:
        """The devices as they stood last, without events; None when it told nothing that we can read."""
        return _read(self.report, wire.DevicesReport)

    def failure(self, bus: wire.Bus, key: str) -> wire.DeviceEvent | None:
        """What the PC could not do with a device; None when nothing is wrong."""
        return _read(self.failures.get(f"{bus} {key}"), wire.DeviceEvent)


def _read(stored: object, kind: type[T]) -> T | None:
    try:
        return msgspec.convert(stored, kind)
    except msgspec.ValidationError:  # of another version of the product, or nothing
        return None


class DevicePolicy(models.Model):
    """What a group's PCs, one PC, or one employee's PCs may have of their devices; its rules are in order.

    `revision` counts savings: who saves names the one that they looked at.
    """

    class UsbMode(models.TextChoices):
        DEVICE = wire.UsbMode.DEVICE.value, _("each device by itself")
        CONTROLLER = wire.UsbMode.CONTROLLER.value, _("whole controllers")

    class Suspend(models.TextChoices):
        ALLOWED = wire.Suspend.ALLOWED.value, _("allowed")
        HIBERNATE = wire.Suspend.HIBERNATE.value, _("hibernate instead")
        BLOCKED = wire.Suspend.BLOCKED.value, _("blocked")

    group = models.OneToOneField(Group, null=True, on_delete=models.CASCADE, related_name="device_policy")
    client = models.OneToOneField(Client, null=True, on_delete=models.CASCADE, related_name="device_policy")
    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.CASCADE, related_name="device_policy"
    )
    # Empty: as the wider scope says.
    usb_mode = models.CharField("USB", max_length=10, choices=UsbMode, blank=True)
    suspend = models.CharField(_("suspend"), max_length=10, choices=Suspend, blank=True)
    # A group's: ModelSuspend.
    suspend_by_model = models.JSONField(_("suspend by model"), default=list, blank=True)
    revision = models.PositiveIntegerField(default=0)
    changed_at = models.DateTimeField(_("changed"), null=True)
    changed_by = models.CharField(_("changed by"), max_length=150, blank=True)

    class Meta:
        verbose_name = _("device policy")
        verbose_name_plural = _("device policies")
        constraints = [
            models.CheckConstraint(
                name="device_policy_has_one_owner",
                condition=models.Q(group__isnull=False, client__isnull=True, user__isnull=True)
                | models.Q(group__isnull=True, client__isnull=False, user__isnull=True)
                | models.Q(group__isnull=True, client__isnull=True, user__isnull=False),
                violation_error_message=_(
                    "A device policy belongs to a group, a PC or a user, to one of them."
                ),
            )
        ]

    def __str__(self) -> str:
        return str(self.group or self.client or self.user)

    @property
    def scope(self) -> wire.Scope:
        if self.group_id is not None:
            return wire.Scope.GROUP
        return wire.Scope.CLIENT if self.client_id is not None else wire.Scope.USER


class DeviceRule(models.Model):
    """One rule; what it says is the wire's `Rule`. Its id stays as long as it stands in its list."""

    policy = models.ForeignKey(
        DevicePolicy, on_delete=models.CASCADE, related_name="rules", verbose_name=_("device policy")
    )
    position = models.PositiveIntegerField(_("position"))
    verdict = models.CharField(_("verdict"), max_length=10)
    bus = models.CharField(_("bus"), max_length=10, blank=True)
    device_class = models.CharField(_("class"), max_length=6, blank=True)
    device_id = models.CharField(_("vendor and product"), max_length=9, blank=True)
    serial = models.CharField(_("serial number"), max_length=255, null=True, blank=True)  # noqa: DJ001  ("": has none)
    port = models.CharField(_("port"), max_length=64, blank=True)
    interfaces = models.JSONField(_("interfaces"), default=list)
    valid_from = models.DateTimeField(_("valid from"), null=True)
    valid_until = models.DateTimeField(_("valid until"), null=True)
    note = models.CharField(_("note"), max_length=200, blank=True)
    created_at = models.DateTimeField(_("created"))
    created_by = models.CharField(_("created by"), max_length=150)

    class Meta:
        ordering = ["policy", "position"]
        verbose_name = _("device rule")
        verbose_name_plural = _("device rules")

    def __str__(self) -> str:
        return f"{self.policy} #{self.pk}"

    def as_rule(self, scope: wire.Scope) -> wire.Rule:
        """This rule as PCs read it."""
        return wire.Rule(
            id=self.pk,
            scope=scope,
            verdict=wire.Verdict(self.verdict),
            bus=wire.Bus(self.bus) if self.bus else None,
            device_class=self.device_class,
            device_id=self.device_id,
            serial=self.serial,
            port=self.port,
            interfaces=list(self.interfaces),
            valid_from=self.valid_from,
            valid_until=self.valid_until,
            note=self.note,
        )

"""The operator's door to the registry: looks at everything, acts by the same verbs as every door."""

from typing import Any

from django.conf import settings
from django.contrib import admin, messages
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from clients.enrolment import enrolling
from clients.groups import grouping
from clients.models import (
    ApiToken,
    Client,
    DevicePolicy,
    DeviceRule,
    EnrolmentToken,
    Event,
    Group,
    PublisherKey,
)
from clients.publishers import endorsing

admin.site.site_header = admin.site.site_title = settings.ADMIN_TITLE


class ReadOnly(admin.ModelAdmin[Any]):
    """Rows that only verbs change."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


class Acting(ReadOnly):
    """As above, with actions; Django offers actions only to those who may change."""

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return obj is None and bool(request.user.is_staff)


@admin.register(Group)
class GroupAdmin(admin.ModelAdmin[Group]):
    list_display = ["name", "note", "created_at"]
    search_fields = ["name", "note"]

    def save_model(self, request: HttpRequest, obj: Group, form: Any, change: bool) -> None:
        grouping.keep(obj)

    def delete_model(self, request: HttpRequest, obj: Group) -> None:
        grouping.delete(obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Group]) -> None:
        for group in queryset:
            grouping.delete(group)


@admin.register(Client)
class ClientAdmin(Acting):
    list_display = ["name", "group", "state", "last_seen", "certificate_expires"]
    list_filter = ["state", "group"]
    search_fields = ["name", "group__name"]
    actions = ["approve", "revoke"]
    exclude = ["signing_key", "hpke_key"]

    @admin.action(description=gettext_lazy("Approve the selected PCs"))
    def approve(self, request: HttpRequest, queryset: QuerySet[Client]) -> None:
        for client in queryset:
            enrolling.approve(client, now=timezone.now())
        self.message_user(request, _("Approved."), messages.SUCCESS)

    @admin.action(description=gettext_lazy("Revoke the selected PCs"))
    def revoke(self, request: HttpRequest, queryset: QuerySet[Client]) -> None:
        for client in queryset:
            enrolling.revoke(client, reason="admin")
        self.message_user(request, _("Revoked."), messages.SUCCESS)


class DeviceRuleInline(admin.TabularInline[DeviceRule, DevicePolicy]):
    """The rules of a policy, in order; they are changed as a whole list, in the portal or by REST."""

    model = DeviceRule
    exclude = ["created_at", "created_by"]
    extra = 0

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


@admin.register(DevicePolicy)
class DevicePolicyAdmin(ReadOnly):
    list_display = ["__str__", "usb_mode", "suspend", "revision", "changed_at", "changed_by"]
    inlines = [DeviceRuleInline]


@admin.register(DeviceRule)
class DeviceRuleAdmin(ReadOnly):
    list_display = [
        "policy",
        "position",
        "verdict",
        "bus",
        "device_class",
        "device_id",
        "serial",
        "port",
        "valid_until",
    ]
    list_filter = ["verdict", "bus"]
    search_fields = ["device_id", "serial", "port", "note"]


@admin.register(PublisherKey)
class PublisherKeyAdmin(Acting):
    list_display = ["name", "fingerprint", "state", "created_at"]
    list_filter = ["state"]
    actions = ["endorse", "revoke"]
    exclude = ["public_key", "statement"]

    @admin.action(description=gettext_lazy("Endorse the selected keys"))
    def endorse(self, request: HttpRequest, queryset: QuerySet[PublisherKey]) -> None:
        for key in queryset:
            endorsing.endorse(key, now=timezone.now())
        self.message_user(request, _("Endorsed."), messages.SUCCESS)

    @admin.action(description=gettext_lazy("Revoke the selected keys"))
    def revoke(self, request: HttpRequest, queryset: QuerySet[PublisherKey]) -> None:
        for key in queryset:
            endorsing.revoke(key, reason="admin")
        self.message_user(request, _("Revoked."), messages.SUCCESS)


@admin.register(EnrolmentToken)
class EnrolmentTokenAdmin(ReadOnly):
    list_display = ["id", "group", "approved", "created_by", "expires_at", "used_by"]
    exclude = ["secret_hash"]


@admin.register(ApiToken)
class ApiTokenAdmin(ReadOnly):
    list_display = ["id", "user", "name", "scope", "expires_at", "last_used"]
    exclude = ["secret_hash"]


@admin.register(Event)
class EventAdmin(ReadOnly):
    list_display = ["at", "actor", "origin", "verb", "object_name", "reason"]
    list_filter = ["verb", "object_type"]
    search_fields = ["actor", "verb", "object_name", "reason"]
    date_hierarchy = "at"

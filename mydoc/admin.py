"""The operator's door to user data: looks, and changes nothing; the wrapped keys are not shown."""

from django.contrib import admin

from clients.admin import ReadOnly
from mydoc.models import Custodian, FolderGrant, Look, Opening, Volume


@admin.register(Custodian)
class CustodianAdmin(ReadOnly):
    list_display = ["name", "place", "fingerprint", "state", "created_at"]
    list_filter = ["state", "place"]
    exclude = ["public_key"]


@admin.register(Volume)
class VolumeAdmin(ReadOnly):
    list_display = ["owner", "client", "limit_bytes", "told_at", "created_at"]
    search_fields = ["owner__username", "client__name"]
    exclude = ["server_half", "recovery"]


@admin.register(Opening)
class OpeningAdmin(ReadOnly):
    list_display = ["volume", "state", "address", "asked_at", "opened_at", "closed_at", "reason"]
    list_filter = ["state", "reason"]
    search_fields = ["volume__owner__username", "volume__client__name"]
    exclude = ["nonce"]


@admin.register(FolderGrant)
class FolderGrantAdmin(ReadOnly):
    list_display = ["volume", "person", "access", "reason", "created_at", "created_by"]
    search_fields = ["person__username", "volume__owner__username", "volume__client__name"]
    exclude = ["path"]


@admin.register(Look)
class LookAdmin(ReadOnly):
    list_display = ["at", "by", "act", "volume", "reason"]
    list_filter = ["act"]
    search_fields = ["by", "volume__owner__username", "reason"]
    exclude = ["path"]

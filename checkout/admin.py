"""The operator's door to checkout: looks at everything but keys; a deputy is dismissed by the same verb as on
the pages. Requests are decided by whom their chain means, and never here."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy

from checkout import deputizing
from checkout.models import ChainLink, CheckoutRequest, CheckoutTerms, Deputy, Lease, Letter, RequestStep
from clients.admin import Acting, ReadOnly
from clients.pages import user_of


class Rows(admin.TabularInline[Any, Any]):
    """Rows of a row, to be read."""

    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class Steps(Rows):
    model = RequestStep
    fields = [
        "round",
        "position",
        "kind",
        "person",
        "directory_group",
        "decision",
        "decided_by",
        "decided_at",
    ]


class Links(Rows):
    model = ChainLink
    fields = ["position", "kind", "person", "directory_group"]


@admin.register(CheckoutRequest)
class CheckoutRequestAdmin(ReadOnly):
    list_display = ["__str__", "requester", "client", "state", "starts", "ends", "destination"]
    list_filter = ["state", "group"]
    search_fields = ["requester__username", "client__name", "purpose", "destination"]
    list_select_related = ["requester", "client", "volume__owner", "volume__client"]
    exclude = ["folders"]  # names of somebody's own folders
    inlines = [Steps]


@admin.register(Lease)
class LeaseAdmin(ReadOnly):
    list_display = ["request", "client", "serial", "starts", "ends", "software", "ended", "ended_at"]
    list_filter = ["ended", "software"]
    search_fields = ["client__name", "request__requester__username"]
    fields = [
        *("request", "volume", "client", "serial", "starts", "ends", "issued_at", "software"),
        *("ended", "ended_at", "told_at"),
    ]


@admin.register(CheckoutTerms)
class CheckoutTermsAdmin(ReadOnly):
    list_display = ["group", "software", "max_days", "revision"]
    inlines = [Links]


@admin.register(Deputy)
class DeputyAdmin(Acting):
    list_display = ["principal", "deputy", "starts", "ends", "created_by"]
    search_fields = ["principal__username", "deputy__username"]
    actions = ["dismiss"]

    @admin.action(description=gettext_lazy("Dismiss the selected deputies"))
    def dismiss(self, request: HttpRequest, queryset: QuerySet[Deputy]) -> None:
        for row in queryset:
            deputizing.dismiss(row, by=user_of(request))


@admin.register(Letter)
class LetterAdmin(ReadOnly):
    list_display = ["made_at", "to", "subject", "sent_at"]
    search_fields = ["to", "subject"]

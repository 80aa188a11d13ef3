"""The operator's door to Workgroup Desktop: looks at everything, acts by the same verbs as every door."""

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from clients.admin import Acting, ReadOnly
from imaging import distributing, publishing
from imaging.models import Delivery, Distribution, ImageVersion, MasterImage, Pack, Subscription


@admin.register(MasterImage)
class MasterImageAdmin(ReadOnly):
    list_display = ["name", "keep_versions", "created_at"]
    search_fields = ["name"]


@admin.register(ImageVersion)
class ImageVersionAdmin(Acting):
    list_display = ["__str__", "state", "note", "size_bytes", "new_bytes", "published_by", "created_at"]
    list_filter = ["state", "image"]
    list_select_related = ["image"]
    actions = ["retire"]

    @admin.action(description=gettext_lazy("Retire the selected versions"))
    def retire(self, request: HttpRequest, queryset: QuerySet[ImageVersion]) -> None:
        for version in queryset:
            publishing.retire(version)
        self.message_user(request, _("Retired."), messages.SUCCESS)


@admin.register(Distribution)
class DistributionAdmin(Acting):
    list_display = ["__str__", "kind", "state", "created_by", "created_at", "finished_at"]
    list_filter = ["state", "kind", "group"]
    list_select_related = ["version__image", "group"]
    actions = ["retry"]

    @admin.action(description=gettext_lazy("Retry the failed PCs of the selected distributions"))
    def retry(self, request: HttpRequest, queryset: QuerySet[Distribution]) -> None:
        for distribution in queryset:
            distributing.retry_failed(distribution, now=timezone.now())
        self.message_user(request, _("Sent again."), messages.SUCCESS)


@admin.register(Delivery)
class DeliveryAdmin(ReadOnly):
    list_display = ["client", "distribution", "state", "done_bytes", "total_bytes", "code", "changed_at"]
    list_filter = ["state"]
    search_fields = ["client__name", "code"]
    list_select_related = ["client", "distribution__version__image", "distribution__group"]
    exclude = ["assignment"]


@admin.register(Subscription)
class SubscriptionAdmin(ReadOnly):
    list_display = ["group", "image", "on_publish", "on_join"]


@admin.register(Pack)
class PackAdmin(ReadOnly):
    list_display = ["id", "size_bytes", "created_at", "condemned_at"]

"""REST doors to sites."""

from typing import ClassVar

from rest_framework import serializers, viewsets
from rest_framework.serializers import BaseSerializer

from clients import auditing
from clients.models import Site


class SiteSerializer(serializers.ModelSerializer[Site]):
    """A place with addresses of its own."""

    class Meta:
        model = Site
        fields = ["id", "name", "ranges", "rates", "at_once", "peers"]


class SiteViewSet(viewsets.ModelViewSet[Site]):
    """Sites, by name."""

    queryset = Site.objects.all()
    serializer_class = SiteSerializer
    lookup_field = "name"
    lookup_value_regex = "[^/]+"
    search_fields: ClassVar = ["name"]
    http_method_names = ["get", "post", "patch", "delete", "head", "options"]

    def perform_create(self, serializer: BaseSerializer[Site]) -> None:
        auditing.record("site.created", serializer.save(), after=dict(serializer.data))

    def perform_update(self, serializer: BaseSerializer[Site]) -> None:
        auditing.record("site.changed", serializer.save(), after=dict(serializer.data))

    def perform_destroy(self, instance: Site) -> None:
        auditing.record("site.deleted", instance)
        instance.delete()

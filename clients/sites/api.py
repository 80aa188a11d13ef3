"""REST doors to sites."""

from typing import Any, ClassVar

from rest_framework import serializers, viewsets
from rest_framework.serializers import BaseSerializer

from clients.models import Site
from clients.sites import keeping


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
        serializer.instance = Site(**serializer.validated_data)
        keeping.keep(serializer.instance)

    def perform_update(self, serializer: BaseSerializer[Site]) -> None:
        site: Any = serializer.instance
        for name, value in serializer.validated_data.items():
            setattr(site, name, value)
        keeping.keep(site)

    def perform_destroy(self, instance: Site) -> None:
        keeping.delete(instance)

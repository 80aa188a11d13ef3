"""REST doors to groups."""

from typing import Any, ClassVar

from rest_framework import serializers, viewsets
from rest_framework.serializers import BaseSerializer

from clients.groups import grouping
from clients.models import Group


class GroupSerializer(serializers.ModelSerializer[Group]):
    pcs = serializers.IntegerField(source="clients.count", read_only=True)

    class Meta:
        model = Group
        fields = ["id", "name", "note", "pcs", "created_at"]


class GroupViewSet(viewsets.ModelViewSet[Group]):
    """Groups of PCs, by name."""

    queryset = Group.objects.all()
    serializer_class = GroupSerializer
    lookup_field = "name"
    lookup_value_regex = "[^/]+"
    search_fields: ClassVar = ["name", "note"]
    http_method_names = ["get", "post", "patch", "delete", "head", "options"]

    def perform_create(self, serializer: BaseSerializer[Group]) -> None:
        serializer.instance = Group(**serializer.validated_data)
        grouping.keep(serializer.instance)

    def perform_update(self, serializer: BaseSerializer[Group]) -> None:
        group: Any = serializer.instance
        for name, value in serializer.validated_data.items():
            setattr(group, name, value)
        grouping.keep(group)

    def perform_destroy(self, instance: Group) -> None:
        grouping.delete(instance)

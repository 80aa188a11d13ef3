"""The REST door to the audit log."""

from typing import ClassVar

from rest_framework import serializers, viewsets

from clients.models import Event


class EventSerializer(serializers.ModelSerializer[Event]):
    class Meta:
        model = Event
        fields = [
            "id",
            "at",
            "actor",
            "actor_kind",
            "origin",
            "verb",
            "object_type",
            "object_id",
            "object_name",
            "before",
            "after",
            "reason",
        ]


class EventViewSet(viewsets.ReadOnlyModelViewSet[Event]):
    """The audit log, newest first."""

    queryset = Event.objects.all()
    serializer_class = EventSerializer
    search_fields: ClassVar = ["actor", "verb", "object_name"]
    filterset_fields: ClassVar = {
        "verb": ["exact"],
        "object_type": ["exact"],
        "object_id": ["exact"],
        "actor": ["exact"],
    }

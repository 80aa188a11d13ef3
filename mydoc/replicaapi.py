"""Replicas over REST: each time that a volume was copied, and the wish that it be copied now."""

from typing import ClassVar

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers, viewsets

from mydoc.replicamodels import ReplicationRun


class ReplicationRunSerializer(serializers.ModelSerializer[ReplicationRun]):
    volume = serializers.UUIDField(source="replica.volume_id", read_only=True)
    name = serializers.CharField(source="replica.volume", read_only=True)
    total_bytes = serializers.SerializerMethodField(help_text="of the user's data")
    done_bytes = serializers.SerializerMethodField()
    sent_bytes = serializers.SerializerMethodField(help_text="new, as stored")
    words = serializers.SerializerMethodField()

    class Meta:
        model = ReplicationRun
        fields = [
            *("id", "volume", "name", "occasion", "state", "reason", "words", "files"),
            *("total_bytes", "done_bytes", "sent_bytes", "not_before", "asked_at", "begun_at", "ended_at"),
        ]

    @extend_schema_field(serializers.IntegerField())
    def get_total_bytes(self, run: ReplicationRun) -> int:
        return int(run.told.get("total_bytes", 0))

    @extend_schema_field(serializers.IntegerField())
    def get_done_bytes(self, run: ReplicationRun) -> int:
        return int(run.told.get("done_bytes", 0))

    @extend_schema_field(serializers.IntegerField())
    def get_sent_bytes(self, run: ReplicationRun) -> int:
        return int(run.told.get("sent_bytes", 0))

    def get_words(self, run: ReplicationRun) -> str:
        return str(run.told.get("words", ""))


class ReplicationRunViewSet(viewsets.ReadOnlyModelViewSet[ReplicationRun]):
    """Each time that a volume was, or is to be, copied to the NAS; newest first."""

    queryset = ReplicationRun.objects.select_related("replica__volume__owner", "replica__volume__client")
    serializer_class = ReplicationRunSerializer
    filterset_fields: ClassVar = {
        "state": ["exact", "in"],
        "replica__volume": ["exact"],
        "replica__volume__client__name": ["exact"],
    }

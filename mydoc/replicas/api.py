"""Replicas over REST: each time that a volume was copied, and the wish that it be copied now."""

import base64
from typing import Any, ClassVar

from django.utils import timezone
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from clients.serializers import ReasonSerializer
from mydoc.models import ReplicationRun, Volume
from mydoc.replicas import passwords, replicating
from mydoc.volumes.serializers import ReplicaRecoverySerializer


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


class VolumeReplicaViewSet(viewsets.GenericViewSet[Volume]):
    """What is asked of one volume's replica."""

    queryset = Volume.objects.select_related("owner", "client")
    serializer_class: Any = ReplicationRunSerializer
    filter_backends = []
    pagination_class = None

    @extend_schema(request=None, responses=ReplicationRunSerializer)
    @action(detail=True, methods=["post"])
    def replicate(self, request: Request, pk: str) -> Response:
        """Copies the volume to the NAS now, while it is open; else as soon as it is."""
        run = replicating.ask(self.get_object(), now=timezone.now())
        return Response(ReplicationRunSerializer(run).data)

    @extend_schema(request=ReasonSerializer, responses=ReplicaRecoverySerializer)
    @action(detail=True, methods=["post"], url_path="recover-replica")
    def recover_replica(self, request: Request, pk: str) -> Response:
        """The wrapped password of its replica: with both custodians' keys any restic reads it on the NAS."""
        volume = self.get_object()
        wish = ReasonSerializer(data=request.data)
        wish.is_valid(raise_exception=True)
        replica = passwords.hand_out(volume, reason=wish.validated_data["reason"])
        answer = {
            "volume": f"replica {volume.pk}",
            "name": str(volume),
            "repository": str(volume.pk),
            "custodians": replica.recovery_custodians,
            "wrapped": base64.b64encode(bytes(replica.recovery or b"")).decode(),
        }
        return Response(ReplicaRecoverySerializer(answer).data)

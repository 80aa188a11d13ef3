"""Replicas over REST: each time that a volume was copied, and the wish that it be copied now."""

import base64
from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from django.utils import timezone
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from clients.serializers import ReasonSerializer, reason_of
from mydoc.models import Replica, ReplicationRun, Volume
from mydoc.replicas import hindering, passwords, replicating
from mydoc.replicas.hindering import Hindrance
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


class LateReplicaSerializer(serializers.ModelSerializer[Volume]):
    """A volume without a good replica for longer than the working days that are bearable, and why."""

    name = serializers.CharField(source="*", read_only=True)
    last_good_at = serializers.SerializerMethodField()
    code = serializers.SerializerMethodField(help_text="of what is in the way")
    words = serializers.SerializerMethodField()
    to_do = serializers.SerializerMethodField(help_text="what to do next")

    class Meta:
        model = Volume
        fields = ["id", "name", "client", "last_good_at", "code", "words", "to_do"]

    @extend_schema_field(serializers.DateTimeField(allow_null=True))
    def get_last_good_at(self, volume: Volume) -> datetime | None:
        replica: Replica | None = getattr(volume, "replica", None)
        return replica.last_good_at if replica else None

    def get_code(self, volume: Volume) -> str:
        return self._why(volume).code

    def get_words(self, volume: Volume) -> str:
        return self._why(volume).words

    def get_to_do(self, volume: Volume) -> str:
        return self._why(volume).to_do

    def _why(self, volume: Volume) -> Hindrance:
        found: dict[UUID, Hindrance] = self.context["late"]
        return found.get(volume.pk, Hindrance("", "", ""))  # it was copied this very moment


class LateReplicaViewSet(viewsets.GenericViewSet[Volume]):
    """The alarm about replicas that are missing for days."""

    queryset = Volume.objects.select_related("owner", "client", "replica")
    serializer_class = LateReplicaSerializer
    filterset_fields: ClassVar = {
        "client": ["exact"],
        "client__name": ["exact"],
        "owner__username": ["exact"],
    }

    def list(self, request: Request) -> Response:
        """Which volumes have had no good replica for days, why, and what to do; the oldest first."""
        now = timezone.now()
        rows = self.filter_queryset(self.get_queryset().filter(pk__in=replicating.overdue(now=now)))
        page = self.paginate_queryset(rows.order_by("replica__last_good_at", "created_at", "pk")) or []
        context = {**self.get_serializer_context(), "late": hindering.of_each(page, now=now)}
        return self.get_paginated_response(LateReplicaSerializer(page, many=True, context=context).data)


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
        replica = passwords.hand_out(volume, reason=reason_of(request))
        answer = {
            "volume": f"replica {volume.pk}",
            "name": str(volume),
            "repository": str(volume.pk),
            "custodians": replica.recovery_custodians,
            "wrapped": base64.b64encode(bytes(replica.recovery or b"")).decode(),
        }
        return Response(ReplicaRecoverySerializer(answer).data)

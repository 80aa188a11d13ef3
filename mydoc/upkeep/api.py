"""REST doors to what the server does with replicas: alarms, acts, rules, the NAS."""

from typing import Any, ClassVar

from django.conf import settings
from django.utils import timezone
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from clients.serializers import ReasonSerializer, reason_of
from mydoc.models import Keeping, NasLook, Replica, ReplicaAlarm, Upkeep
from mydoc.nas import looking
from mydoc.replicas import alarming
from mydoc.upkeep import keeping, retaining


class ReplicaAlarmSerializer(serializers.ModelSerializer[ReplicaAlarm]):
    volume = serializers.UUIDField(source="replica.volume_id", read_only=True)
    name = serializers.CharField(source="replica.volume", read_only=True)
    words = serializers.CharField(source="get_kind_display", read_only=True)
    to_do = serializers.CharField(read_only=True, help_text="what to do next")
    keeps = serializers.UUIDField(source="keeps_id", read_only=True, help_text="this run is kept meanwhile")

    class Meta:
        model = ReplicaAlarm
        fields = [
            *("id", "volume", "name", "kind", "words", "to_do", "state", "run", "keeps", "found"),
            *("raised_at", "closed_at", "closed_by", "closed_reason"),
        ]


class ReplicaAlarmViewSet(viewsets.ReadOnlyModelViewSet[ReplicaAlarm]):
    """What is, or was, wrong with replicas; newest first."""

    queryset = ReplicaAlarm.objects.select_related("replica__volume__owner", "replica__volume__client")
    serializer_class = ReplicaAlarmSerializer
    filterset_fields: ClassVar = {
        "state": ["exact"],
        "kind": ["exact", "in"],
        "replica__volume": ["exact"],
    }

    @extend_schema(request=ReasonSerializer)
    @action(detail=True, methods=["post"])
    def release(self, request: Request, pk: str) -> Response:
        """Lets it go, and with it the generation that it kept."""
        alarm = self.get_object()
        alarming.close(alarm, reason=reason_of(request), now=timezone.now())
        return Response(self.get_serializer(alarm).data)


class UpkeepSerializer(serializers.ModelSerializer[Upkeep]):
    volume = serializers.UUIDField(source="replica.volume_id", read_only=True)
    name = serializers.CharField(source="replica.volume", read_only=True)

    class Meta:
        model = Upkeep
        fields = ["id", "volume", "name", "kind", "state", "code", "found", "begun_at", "ended_at"]


class UpkeepViewSet(viewsets.ReadOnlyModelViewSet[Upkeep]):
    """Each time that the server looked after a replica: deleted older ones, mended, read again, restored."""

    queryset = Upkeep.objects.select_related("replica__volume__owner", "replica__volume__client")
    serializer_class = UpkeepSerializer
    filterset_fields: ClassVar = {
        "kind": ["exact", "in"],
        "state": ["exact"],
        "replica__volume": ["exact"],
    }


class ReplicaSerializer(serializers.ModelSerializer[Replica]):
    name = serializers.CharField(source="volume", read_only=True)
    coverage = serializers.JSONField(
        read_only=True, help_text="bytes that lie there, and how many were really read again within days"
    )

    class Meta:
        model = Replica
        fields = ["id", "volume", "name", "last_good_at", "files", "total_bytes", "coverage"]


class ReplicaViewSet(viewsets.ReadOnlyModelViewSet[Replica]):
    """The replica of each volume, and how much of it was read again."""

    queryset = Replica.objects.select_related("volume__owner", "volume__client")
    serializer_class = ReplicaSerializer
    filterset_fields: ClassVar = {"volume": ["exact"], "volume__client__name": ["exact"]}


class KeepingSerializer(serializers.ModelSerializer[Keeping]):
    reason = serializers.CharField(max_length=500, write_only=True, required=False, default="")
    confirm = serializers.CharField(
        max_length=10,
        write_only=True,
        required=False,
        default="",
        allow_blank=True,
        help_text="how many snapshots these rules delete; without it you are told",
    )

    class Meta:
        model = Keeping
        fields = [
            *("last", "daily", "weekly", "monthly", "night_gib", "night_minutes", "drill_files"),
            *("changed_percent", "reason", "confirm"),
        ]


class DeletedSerializer(serializers.Serializer[Any]):
    volume = serializers.UUIDField()
    kept = serializers.IntegerField()
    deleted = serializers.IntegerField()


class KeepingViewSet(viewsets.GenericViewSet[Keeping]):
    """The rules of keeping: for how long, and what a night may cost."""

    queryset = Keeping.objects.all()
    serializer_class = KeepingSerializer
    pagination_class = None
    filterset_fields: ClassVar[dict[str, list[str]]] = {}

    @extend_schema(responses=KeepingSerializer)
    def list(self, request: Request) -> Response:
        """What holds now."""
        return Response(self.get_serializer(Keeping.now()).data)

    @extend_schema(responses=KeepingSerializer)
    def create(self, request: Request) -> Response:
        """Other rules. Without `confirm` nothing changes, and the answer says how much they would delete."""
        given, wish = self._wish(request)
        row = keeping.change(wish, reason=given["reason"], confirm=given["confirm"], now=timezone.now())
        return Response(self.get_serializer(row).data)

    @extend_schema(responses=DeletedSerializer(many=True))
    @action(detail=False, methods=["post"])
    def preview(self, request: Request) -> Response:
        """What these rules would delete, of each replica of which it is anything. Changes nothing."""
        _given, wish = self._wish(request)
        found = retaining.preview(wish, now=timezone.now())
        rows = [
            {"volume": replica.volume_id, "kept": len(choice.kept), "deleted": len(choice.deleted)}
            for replica, choice in found
        ]
        return Response(DeletedSerializer(rows, many=True).data)

    def _wish(self, request: Request) -> tuple[dict[str, Any], Keeping]:
        wish = self.get_serializer(Keeping.now(), data=request.data, partial=True)
        wish.is_valid(raise_exception=True)
        given = {"reason": "", "confirm": "", **wish.validated_data}
        row = Keeping.now()
        for name, value in wish.validated_data.items():
            if name not in ("reason", "confirm"):
                setattr(row, name, value)
        return given, row


class StepSerializer(serializers.Serializer[Any]):
    code = serializers.CharField()
    good = serializers.BooleanField()
    words = serializers.CharField()


class NasSerializer(serializers.ModelSerializer[NasLook]):
    url = serializers.SerializerMethodField(help_text="OPENVRAS_NAS_URL; empty: no NAS")
    steps = serializers.SerializerMethodField()

    class Meta:
        model = NasLook
        fields = ["url", "at", "good", "free_bytes", "steps"]

    @extend_schema_field(serializers.CharField())
    def get_url(self, look: NasLook) -> str:
        return settings.NAS.url if settings.NAS else ""

    @extend_schema_field(StepSerializer(many=True))
    def get_steps(self, look: NasLook) -> list[dict[str, Any]]:
        return [{"code": one.code, "good": one.good, "words": one.words} for one in looking.steps(look)]


class NasViewSet(viewsets.GenericViewSet[NasLook]):
    """How the NAS was found, newest first; and a test of it."""

    queryset = NasLook.objects.all()
    serializer_class = NasSerializer
    filterset_fields: ClassVar = {"good": ["exact"]}

    def list(self, request: Request) -> Response:
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        return self.get_paginated_response(self.get_serializer(page, many=True).data)

    @extend_schema(request=None, responses=NasSerializer)
    @action(detail=False, methods=["post"])
    def test(self, request: Request) -> Response:
        """Tries it now: name, port, account, share, a file written, read back and deleted, and room."""
        return Response(self.get_serializer(looking.look(now=timezone.now(), by_hand=True)).data)

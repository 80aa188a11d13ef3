"""Restorations over REST: everything of a volume, from its replica to another PC."""

from typing import Any, ClassVar

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from clients.serializers import ReasonSerializer, reason_of
from mydoc.models import Restoration, Volume
from mydoc.restorations import returning
from mydoc.restorations.words import words_of


class RestorationSerializer(serializers.ModelSerializer[Restoration]):
    name = serializers.CharField(source="__str__", read_only=True)
    as_of = serializers.DateTimeField(source="run.begun_at", read_only=True)
    words = serializers.SerializerMethodField(help_text="why it waits, or ended so; what to do")
    names = serializers.JSONField(read_only=True, help_text="of some that were left out: path, code")

    class Meta:
        model = Restoration
        fields = [
            *("id", "name", "source", "target", "run", "as_of", "state", "code", "words", "reason"),
            *("asked_at", "asked_by", "ended_at", "files", "total_bytes", "written", "written_bytes"),
            *("same", "beside", "left_out", "names"),
        ]

    def get_words(self, row: Restoration) -> str:
        return words_of(row.code)


class RestorationWishSerializer(serializers.Serializer[Any]):
    source = serializers.PrimaryKeyRelatedField(  # type: ignore[assignment]  # also what fields call theirs
        queryset=Volume.objects.select_related("owner", "client")
    )
    target = serializers.PrimaryKeyRelatedField(queryset=Volume.objects.select_related("owner", "client"))
    run = serializers.UUIDField(required=False, allow_null=True, help_text="whose replica; the last one's")


class RestorationOrderSerializer(RestorationWishSerializer):
    reason = serializers.CharField(max_length=500)
    confirm = serializers.CharField(
        max_length=20,
        default="",
        allow_blank=True,
        help_text="the number of its files; without it you are told what would happen",
    )


class PlanSerializer(serializers.Serializer[Any]):
    as_of = serializers.DateTimeField(source="kept.at")
    run = serializers.UUIDField(source="kept.run.pk")
    files = serializers.IntegerField()
    total_bytes = serializers.IntegerField()
    free_bytes = serializers.IntegerField(allow_null=True, help_text="null: that PC has not said")
    target_open = serializers.BooleanField(help_text="whether its owner is logged on there now")
    confirm = serializers.CharField()


class RestorationViewSet(viewsets.ReadOnlyModelViewSet[Restoration]):
    """Each time that everything was, or is being, restored to another PC; newest first."""

    queryset = Restoration.objects.select_related(
        "source__owner", "source__client", "target__owner", "target__client", "run"
    )
    serializer_class = RestorationSerializer
    filterset_fields: ClassVar = {"state": ["exact"], "source": ["exact"], "target": ["exact"]}

    @extend_schema(request=RestorationOrderSerializer, responses=RestorationSerializer)
    def create(self, request: Request) -> Response:
        """Begins one. Without `confirm` nothing happens, and the answer says what would."""
        wish = RestorationOrderSerializer(data=request.data)
        wish.is_valid(raise_exception=True)
        row = returning.begin(**wish.validated_data, now=timezone.now())
        return Response(self.get_serializer(row).data, status=201)

    @extend_schema(request=RestorationWishSerializer, responses=PlanSerializer)
    @action(detail=False, methods=["post"])
    def preview(self, request: Request) -> Response:
        """What it would do. Changes nothing."""
        wish = RestorationWishSerializer(data=request.data)
        wish.is_valid(raise_exception=True)
        return Response(PlanSerializer(returning.preview(**wish.validated_data)).data)

    @extend_schema(request=ReasonSerializer)
    @action(detail=True, methods=["post"])
    def stop(self, request: Request, pk: str) -> Response:
        """Nothing more of it comes; what has come stays."""
        row = self.get_object()
        returning.stop(row, reason=reason_of(request), now=timezone.now())
        return Response(self.get_serializer(row).data)

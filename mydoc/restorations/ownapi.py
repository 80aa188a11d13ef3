"""REST doors to one's own data: as it was at the time of each replica; a version of a file, put back."""

from typing import Any

from django.http import HttpResponseBase
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from clients.people.permissions import HasAPc
from mydoc import bytepaths
from mydoc.models import Volume
from mydoc.replicas import recalling
from mydoc.restorations import restoring
from mydoc.tree import browsing
from mydoc.tree.browsing import Listed, Looker
from mydoc.tree.serializers import (
    GIVES_FILE,
    ListedSerializer,
    SharedFolderSerializer,
    SharedPlaceSerializer,
    SharedWrittenSerializer,
    entries_json,
)
from mydoc.tree.serving import attachment


class OwnVolumeSerializer(serializers.ModelSerializer[Volume]):
    client = serializers.CharField(source="client.name", read_only=True)
    state = serializers.SerializerMethodField(help_text="as its PC told last: open, locked …; or unknown")

    class Meta:
        model = Volume
        fields = ["id", "client", "state", "limit_bytes"]

    def get_state(self, volume: Volume) -> str:
        return str(volume.told.get("state", "unknown"))


class TimeSerializer(serializers.Serializer[Any]):
    run = serializers.UUIDField(source="run.pk", help_text="names the replica")
    as_of = serializers.DateTimeField(source="at")


class VersionSerializer(serializers.Serializer[Any]):
    run = serializers.UUIDField(source="kept.run.pk")
    as_of = serializers.DateTimeField(source="kept.at", help_text="the first replica that had it")
    changed = serializers.DateTimeField(allow_null=True)
    size_bytes = serializers.IntegerField(source="line.size_bytes")
    sha256 = serializers.CharField(source="line.sha256")


class OldPlaceSerializer(SharedPlaceSerializer):
    run = serializers.UUIDField(help_text="of `times` or `versions`")


class OldFolderSerializer(SharedFolderSerializer):
    run = serializers.UUIDField(help_text="of `times`")


class OwnVolumeViewSet(viewsets.ReadOnlyModelViewSet[Volume]):
    """The data of the person who asks, on each PC; and what replicas have of it."""

    queryset = Volume.objects.none()
    serializer_class: Any = OwnVolumeSerializer
    permission_classes = [HasAPc]
    filter_backends = []

    def get_queryset(self) -> Any:
        mine = Volume.objects.filter(owner=self.request.user.pk)
        return mine.select_related("owner", "client").order_by("client__name")

    @extend_schema(responses=TimeSerializer(many=True))
    @action(detail=True, methods=["get"], pagination_class=None)
    def times(self, request: Request, pk: str) -> Response:
        """Of which times there are replicas; newest first."""
        return Response(TimeSerializer(recalling.all_of(self.get_object()), many=True).data)

    @extend_schema(parameters=[OldFolderSerializer], responses=ListedSerializer)
    @action(detail=True, methods=["get"], pagination_class=None)
    def folders(self, request: Request, pk: str) -> Response:
        """A page of a folder's entries, as a replica has it."""
        volume, wish = self._asked(OldFolderSerializer, request.query_params)
        kept = recalling.of(volume, wish["run"])
        after = bytepaths.path_of(wish["after"]) if wish["after"] else b""
        limit = browsing.PAGE_ENTRIES
        entries, more = recalling.folder(kept, wish["path"], after=after, limit=limit)
        last = entries[-1].name if entries else b""
        return Response(entries_json(wish["path"], Listed(entries, more, after=last, as_of=kept.at)))

    @extend_schema(parameters=[SharedPlaceSerializer], responses=VersionSerializer(many=True))
    @action(detail=True, methods=["get"], pagination_class=None)
    def versions(self, request: Request, pk: str) -> Response:
        """One file at all times that are kept, as far as they differ; newest first."""
        volume, wish = self._asked(SharedPlaceSerializer, request.query_params)
        return Response(VersionSerializer(recalling.versions(volume, wish["path"]), many=True).data)

    @extend_schema(parameters=[OldPlaceSerializer], responses=GIVES_FILE)
    @action(detail=True, methods=["get"], pagination_class=None)
    def files(self, request: Request, pk: str) -> HttpResponseBase:
        """A file as a replica has it."""
        volume, wish = self._asked(OldPlaceSerializer, request.query_params)
        looker, now = Looker(reason="", since=timezone.now()), timezone.now()
        found = browsing.recall(recalling.of(volume, wish["run"]), wish["path"], looker=looker, now=now)
        return attachment(request._request, found)

    @extend_schema(request=OldPlaceSerializer, responses=SharedWrittenSerializer)
    @action(detail=True, methods=["post"], url_path="put-back", pagination_class=None)
    def put_back(self, request: Request, pk: str) -> Response:
        """A version into the open volume, beside the present file. Nothing is overwritten."""
        volume, wish = self._asked(OldPlaceSerializer, request.data)
        kept = recalling.of(volume, wish["run"])
        written = restoring.put_back(volume, kept, wish["path"], now=timezone.now())
        return Response(SharedWrittenSerializer(written).data)

    def _asked(self, query: Any, given: Any) -> tuple[Volume, dict[str, Any]]:
        wish = query(data=given)
        wish.is_valid(raise_exception=True)
        return self.get_object(), wish.validated_data

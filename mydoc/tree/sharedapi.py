"""REST doors to what others share with whoever asks: list, read, write where that was granted."""

from collections.abc import Iterator
from typing import Any

from django.http import Http404, HttpRequest, HttpResponseBase
from django.shortcuts import get_object_or_404
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from clients.errors import Refusal
from clients.people.permissions import HasAPc
from mydoc import bytepaths
from mydoc.models import FolderGrant, person_id
from mydoc.tree import browsing, sharing, uploading
from mydoc.tree.browsing import ONE_LOOK, Looker
from mydoc.tree.serializers import (
    GIVES_FILE,
    ListedSerializer,
    PathField,
    SharedFolderSerializer,
    SharedPlaceSerializer,
    SharedWrittenSerializer,
    entries_json,
)
from mydoc.tree.serving import attachment
from mydoc.tree.uploading import MOST_BYTES

PIECE_BYTES = 1 << 20


class SharedSerializer(serializers.ModelSerializer[FolderGrant]):
    """A folder of somebody else's, and what the person who asks may do there."""

    path = PathField()
    owner = serializers.CharField(source="volume.owner.username", read_only=True)
    client = serializers.CharField(source="volume.client.name", read_only=True)

    class Meta:
        model = FolderGrant
        fields = ["id", "owner", "client", "path", "access"]


class SharedPutSerializer(SharedPlaceSerializer):
    replace = serializers.BooleanField(default=False, help_text="what has this name already")


class SharedViewSet(viewsets.ReadOnlyModelViewSet[FolderGrant]):
    """What others share with the person who asks. The owner sees what is opened and written."""

    queryset = FolderGrant.objects.none()
    serializer_class: Any = SharedSerializer
    permission_classes = [HasAPc]
    filter_backends = []

    def get_queryset(self) -> Any:
        return sharing.with_person(self.request.user)

    @extend_schema(parameters=[SharedFolderSerializer], responses=ListedSerializer)
    @action(detail=True, methods=["get"], pagination_class=None)
    def folders(self, request: Request, pk: str) -> Response:
        """A page of a folder's entries, by name."""
        grant, wish = self._asked(SharedFolderSerializer)
        after = bytepaths.path_of(wish["after"]) if wish["after"] else b""
        found = browsing.folder(
            grant.volume, wish["path"], after=after, looker=self._looker(), now=timezone.now()
        )
        return Response(entries_json(wish["path"], found))

    @extend_schema(methods=["GET"], parameters=[SharedPlaceSerializer], responses=GIVES_FILE)
    @extend_schema(
        methods=["PUT"],
        parameters=[SharedPutSerializer],
        request={"application/octet-stream": OpenApiTypes.BINARY},
        responses=SharedWrittenSerializer,
    )
    @action(detail=True, methods=["get", "put"], pagination_class=None)
    def files(self, request: Request, pk: str) -> HttpResponseBase:
        """GET: a file as it is now. PUT, where changing was granted: the body becomes the file, at once and
        durably; what has its name is left as it is unless `replace` is set."""
        if request.method == "GET":
            grant, wish = self._asked(SharedPlaceSerializer)
            found = browsing.download(grant.volume, wish["path"], looker=self._looker(), now=timezone.now())
            return attachment(request._request, found)
        grant, wish = self._asked(SharedPutSerializer)
        path: bytes = wish["path"]
        written = uploading.upload(
            grant,
            bytepaths.parent(path),
            bytepaths.last(path).decode("utf-8", "surrogateescape"),
            body(request._request),
            replace=wish["replace"],
            by=request.user,
            now=timezone.now(),
        )
        return Response(SharedWrittenSerializer(written).data)

    def _looker(self) -> Looker:
        since = timezone.now() - ONE_LOOK
        return Looker(reason="", since=since, person=person_id(self.request.user))

    def _asked(self, query: Any) -> tuple[FolderGrant, dict[str, Any]]:
        wish = query(data=self.request.query_params)
        wish.is_valid(raise_exception=True)
        grant = get_object_or_404(self.get_queryset(), pk=self.kwargs["pk"])
        if not bytepaths.within(wish.validated_data["path"], bytes(grant.path)):
            raise Http404
        return grant, wish.validated_data


def body(request: HttpRequest) -> Iterator[bytes]:
    """What somebody sends, as it comes. Raises Refusal(too_large)."""
    size = 0
    while piece := request.read(PIECE_BYTES):
        size += len(piece)
        if size > MOST_BYTES:
            raise Refusal("too_large", "A file sent in one go has at most 2 GiB.", status=413)
        yield piece

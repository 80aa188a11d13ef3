"""REST doors to what is in user data, and to who may see it: for administrators, as the pages are."""

from typing import Any

from django.http import HttpResponseBase
from django.shortcuts import get_object_or_404
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from clients import presence
from clients.etags import IF_MATCH, if_match
from clients.people import roles
from clients.people.permissions import IsStaffWithScope
from mydoc import bytepaths
from mydoc.models import FolderGrant, Look, Volume
from mydoc.tree import browsing, sharing
from mydoc.tree.browsing import ONE_LOOK, Looker
from mydoc.tree.serializers import (
    GIVES_FILE,
    FolderGrantSerializer,
    FolderQuerySerializer,
    GrantsSerializer,
    ListedSerializer,
    LookSerializer,
    PlaceSerializer,
    SearchQuerySerializer,
    WhySerializer,
    entries_json,
)
from mydoc.tree.serving import attachment
from mydoc.volumes import standing
from vrasnode.wire.mydoc import Access


class IsAdministrator(IsStaffWithScope):
    """Administrators alone, to read it too; a token that may only read changes nothing."""

    def has_permission(self, request: Request, view: Any) -> bool:
        return roles.may_change(request.user) and super().has_permission(request, view)


class VolumeTreeViewSet(viewsets.GenericViewSet[Volume]):
    """What lies in a volume, live from its PC; of one that is locked or off, as its last replica has it
    (`as_of`). Each look needs a reason, which its owner reads."""

    queryset = Volume.objects.select_related("owner", "client")
    serializer_class: Any = ListedSerializer
    permission_classes = [IsAdministrator]
    filter_backends = []
    pagination_class = None

    @extend_schema(parameters=[FolderQuerySerializer], responses=ListedSerializer)
    @action(detail=True, methods=["get"])
    def folders(self, request: Request, pk: str) -> Response:
        """A page of a folder's entries, by name."""
        volume, wish, looker = self._asked(FolderQuerySerializer)
        path, after = wish["path"], _after(wish["after"])
        listed = browsing.folder(volume, path, after=after, looker=looker, now=timezone.now())
        return Response(entries_json(path, listed))

    @extend_schema(parameters=[SearchQuerySerializer], responses=ListedSerializer)
    @action(detail=True, methods=["get"])
    def search(self, request: Request, pk: str) -> Response:
        """A page of what has a name like this, by path. May be empty and go on."""
        volume, wish, looker = self._asked(SearchQuerySerializer)
        listed = browsing.search(
            volume, wish["name"], after=_after(wish["after"]), looker=looker, now=timezone.now()
        )
        return Response(entries_json(b"", listed))

    @extend_schema(parameters=[PlaceSerializer], responses=GIVES_FILE)
    @action(detail=True, methods=["get"])
    def files(self, request: Request, pk: str) -> HttpResponseBase:
        """A file as it is now, or, with the header X-OpenVRAS-As-Of, as the last replica has it. It ends too
        early, and breaks the connection, when it changes meanwhile."""
        volume, wish, looker = self._asked(PlaceSerializer)
        found = browsing.download(volume, wish["path"], looker=looker, now=timezone.now())
        return attachment(request._request, found)

    @extend_schema(methods=["GET"], responses=GrantsSerializer)
    @extend_schema(
        methods=["POST"], request=FolderGrantSerializer, responses=GrantsSerializer, parameters=[IF_MATCH]
    )
    @action(detail=True, methods=["get", "post"], permission_classes=[IsStaffWithScope])
    def grants(self, request: Request, pk: str) -> Response:
        """Who else may read or change which folder, and whether the PC has applied it; ETag, If-Match."""
        volume = self.get_object()
        if request.method == "POST":
            wish = FolderGrantSerializer(data=request.data)
            wish.is_valid(raise_exception=True)
            sharing.share(
                volume,
                wish.validated_data["path"],
                person=wish.validated_data["person"],
                access=Access(wish.validated_data["access"]),
                revision=if_match(request),
                reason=wish.validated_data["reason"],
                now=timezone.now(),
            )
        return _grants(volume, status.HTTP_200_OK)

    @extend_schema(parameters=[WhySerializer, IF_MATCH], responses=GrantsSerializer)
    @action(detail=True, methods=["delete"], url_path=r"grants/(?P<grant>\d+)")
    def grant(self, request: Request, pk: str, grant: str) -> Response:
        """Ends a sharing."""
        volume, _wish, looker = self._asked(WhySerializer)
        row = get_object_or_404(FolderGrant.objects.select_related("person"), pk=grant, volume=volume)
        row.volume = volume
        sharing.withdraw(row, revision=if_match(request), reason=looker.reason, now=timezone.now())
        return _grants(volume, status.HTTP_200_OK)

    @extend_schema(responses=LookSerializer(many=True))
    @action(
        detail=True,
        methods=["get"],
        permission_classes=[IsStaffWithScope],
        pagination_class=viewsets.GenericViewSet.pagination_class,
    )
    def looks(self, request: Request, pk: str) -> Response:
        """Who looked at what, and why; newest first."""
        rows: Any = Look.objects.filter(volume=self.get_object())
        page: Any = self.paginate_queryset(rows)
        return self.get_paginated_response(LookSerializer(page, many=True).data)

    def _asked(self, query: Any) -> tuple[Volume, dict[str, Any], Looker]:
        wish = query(data=self.request.query_params)
        wish.is_valid(raise_exception=True)
        looker = Looker(wish.validated_data["reason"], since=timezone.now() - ONE_LOOK)
        return self.get_object(), wish.validated_data, looker


def _after(text: str) -> bytes:
    try:
        return bytepaths.path_of(text)
    except ValueError:
        return b""


def _grants(volume: Volume, code: int) -> Response:
    row = standing.rows().get(pk=volume.pk)
    heard = presence.of([row.client], now=timezone.now())[row.client_id]
    so = sharing.applied(standing.of(row, heard))
    said = {
        "revision": row.grants_revision,
        "progress": so.progress.value,
        "words": str(so.words),
        "grants": row.grants.select_related("person"),
    }
    return Response(GrantsSerializer(said).data, status=code, headers={"ETag": f'"{row.grants_revision}"'})

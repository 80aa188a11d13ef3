"""Workgroup Desktop's REST doors. Binary bodies (hashes, manifests) are application/octet-stream."""

from typing import Any, ClassVar

from django.http import FileResponse, HttpResponse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import status, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import NotFound
from rest_framework.parsers import BaseParser, MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from clients import auditing
from clients.errors import Refusal
from imaging import arriving, publishing
from imaging.models import ImageVersion, MasterImage, Subscription
from imaging.serializers import (
    ImageVersionSerializer,
    MasterImageSerializer,
    NoteSerializer,
    SubscriptionSerializer,
)
from imaging.store import store

DIGEST_BYTES = 32
MAX_DIGESTS = 1 << 17
BYTES: Any = {"application/octet-stream": OpenApiTypes.BINARY}
GIVES_BYTES: Any = {(200, "application/octet-stream"): OpenApiTypes.BINARY}


class BytesParser(BaseParser):
    """application/octet-stream, whole."""

    media_type = "application/octet-stream"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        return bytes(stream.read())


class MasterImageViewSet(viewsets.ModelViewSet[MasterImage]):
    """Master images, by name."""

    queryset = MasterImage.objects.all()
    serializer_class = MasterImageSerializer
    lookup_field = "name"
    lookup_value_regex = "[^/]+"
    search_fields: ClassVar = ["name"]
    http_method_names = ["get", "post", "patch", "head", "options"]

    def perform_create(self, serializer: BaseSerializer[MasterImage]) -> None:
        auditing.record("masterimage.created", serializer.save())

    def perform_update(self, serializer: BaseSerializer[MasterImage]) -> None:
        image = serializer.save()
        auditing.record("masterimage.changed", image, after=dict(serializer.data))

    @extend_schema(request=NoteSerializer, responses=ImageVersionSerializer)
    @action(detail=True, methods=["post"])
    def uploads(self, request: Request, name: str) -> Response:
        """Opens a version to upload packs for."""
        wish = NoteSerializer(data=request.data)
        wish.is_valid(raise_exception=True)
        version = publishing.open_version(self.get_object(), note=wish.validated_data["note"])
        return Response(ImageVersionSerializer(version).data, status=status.HTTP_201_CREATED)

    @extend_schema(
        request=BYTES,
        responses=ImageVersionSerializer,
        parameters=[OpenApiParameter("note", str, description="change note")],
    )
    @action(detail=True, methods=["post"], parser_classes=[BytesParser])
    def publish(self, request: Request, name: str) -> Response:
        """Seals a version from its signed manifest alone: every chunk is in the store already.

        200 with the newest version when nothing changed, 201 with the new one otherwise.
        """
        note = NoteSerializer(data={"note": request.query_params.get("note", "")})
        note.is_valid(raise_exception=True)
        version, new = publishing.publish(
            self.get_object(), _bytes(request), note=note.validated_data["note"], now=timezone.now()
        )
        code = status.HTTP_201_CREATED if new else status.HTTP_200_OK
        return Response(ImageVersionSerializer(version).data, status=code)

    @extend_schema(
        request={
            "multipart/form-data": {
                "type": "object",
                "properties": {"file": {"type": "string", "format": "binary"}, "note": {"type": "string"}},
            }
        },
        responses=ImageVersionSerializer,
    )
    @action(detail=True, methods=["post"], parser_classes=[MultiPartParser])
    def upload(self, request: Request, name: str) -> Response:
        """Takes a whole raw or qcow2 file; a worker cuts it and signs it with the server's key."""
        note = NoteSerializer(data=request.data)
        note.is_valid(raise_exception=True)
        if "file" not in request.FILES:
            raise Refusal("no_file", _("Choose an image file to upload."), status=400)
        version = arriving.take_file(
            self.get_object(), request.FILES["file"], note=note.validated_data["note"]
        )
        return Response(ImageVersionSerializer(version).data, status=status.HTTP_202_ACCEPTED)


class ImageVersionViewSet(viewsets.ReadOnlyModelViewSet[ImageVersion]):
    """Versions of master images."""

    queryset = ImageVersion.objects.select_related("image").prefetch_related("delta_sets__base")
    serializer_class = ImageVersionSerializer
    ordering_fields: ClassVar = ["number", "created_at", "size_bytes"]
    filterset_fields: ClassVar = {
        "image__name": ["exact"],
        "state": ["exact", "in"],
        "number": ["exact", "gte", "lt"],
    }

    @extend_schema(request=BYTES, responses=GIVES_BYTES)
    @action(detail=False, methods=["post"], parser_classes=[BytesParser])
    def missing(self, request: Request) -> HttpResponse:
        """Which of these chunks (32-byte digests, one after another) does the store lack? A bitmap, most
        significant bit first; 1 means lacking."""
        data = _bytes(request)
        if len(data) % DIGEST_BYTES or len(data) > MAX_DIGESTS * DIGEST_BYTES:
            raise Refusal(
                "bad_digests", _("Send up to 131072 digests of 32 bytes, one after another."), status=400
            )
        digests = [data[start : start + DIGEST_BYTES] for start in range(0, len(data), DIGEST_BYTES)]
        return HttpResponse(publishing.missing(digests), content_type="application/octet-stream")

    @extend_schema(methods=["GET"], responses=GIVES_BYTES)
    @extend_schema(methods=["PUT"], request=BYTES, responses=ImageVersionSerializer)
    @action(detail=True, methods=["put", "get"], parser_classes=[BytesParser])
    def manifest(self, request: Request, pk: str) -> Any:
        """PUT seals an upload with its signed manifest; GET gives the manifest of a version."""
        version = self.get_object()
        if request.method == "GET":
            if not version.manifest:
                raise NotFound
            path = store().manifest_path(version.manifest)
            return FileResponse(path.open("rb"), content_type="application/octet-stream")
        publishing.seal(version, _bytes(request), now=timezone.now())
        return Response(self.get_serializer(version).data)

    @extend_schema(request=None)
    @action(detail=True, methods=["post"])
    def retire(self, request: Request, pk: str) -> Response:
        """Ends a version that nothing uses."""
        version = self.get_object()
        publishing.retire(version)
        return Response(self.get_serializer(version).data)


class SubscriptionViewSet(viewsets.ModelViewSet[Subscription]):
    """Automatic distribution: what a group gets by itself."""

    queryset = Subscription.objects.select_related("group", "image")
    serializer_class = SubscriptionSerializer
    filterset_fields: ClassVar = {"group__name": ["exact"], "image__name": ["exact"], "machine": ["exact"]}
    http_method_names = ["get", "post", "patch", "delete", "head", "options"]

    def perform_create(self, serializer: BaseSerializer[Subscription]) -> None:
        auditing.record("subscription.created", serializer.save())

    def perform_update(self, serializer: BaseSerializer[Subscription]) -> None:
        row = serializer.save()
        auditing.record("subscription.changed", row, after=dict(serializer.data))

    def perform_destroy(self, instance: Subscription) -> None:
        auditing.record("subscription.deleted", instance)
        instance.delete()


def _bytes(request: Request) -> bytes:
    body: Any = request.data
    return body if isinstance(body, bytes) else b""  # an empty body is not parsed at all

"""REST doors to publishers' keys."""

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from clients.models import PublisherKey
from clients.publishers import endorsing
from clients.serializers import ReasonSerializer, reason_of


class PublisherKeySerializer(serializers.ModelSerializer[PublisherKey]):
    public_key = serializers.CharField(max_length=64, help_text="Ed25519, raw, hex")

    class Meta:
        model = PublisherKey
        fields = ["fingerprint", "name", "state", "public_key", "created_at"]
        read_only_fields = ["fingerprint", "state", "created_at"]

    def to_representation(self, instance: PublisherKey) -> dict[str, Any]:
        return {**super().to_representation(instance), "public_key": bytes(instance.public_key).hex()}

    def validate_public_key(self, text: str) -> bytes:
        try:
            key = bytes.fromhex(text)
        except ValueError:
            key = b""
        if len(key) != 32:
            raise serializers.ValidationError("An Ed25519 public key is 64 hex digits.")
        return key


class PublisherKeyViewSet(
    mixins.CreateModelMixin,
    mixins.RetrieveModelMixin,
    mixins.ListModelMixin,
    viewsets.GenericViewSet[PublisherKey],
):
    """Public keys of publishers; PCs trust those that the root vouches for."""

    queryset = PublisherKey.objects.all()
    serializer_class = PublisherKeySerializer

    def perform_create(self, serializer: BaseSerializer[PublisherKey]) -> None:
        wish = serializer.validated_data
        serializer.instance = endorsing.register(wish["public_key"], name=wish["name"])

    @extend_schema(request=None)
    @action(detail=True, methods=["post"])
    def endorse(self, request: Request, pk: str) -> Response:
        """Signs the key with the root, where the root key lies on the server."""
        key = self.get_object()
        endorsing.endorse(key, now=timezone.now())
        return Response(self.get_serializer(key).data)

    @extend_schema(request=ReasonSerializer)
    @action(detail=True, methods=["post"])
    def revoke(self, request: Request, pk: str) -> Response:
        """No PC accepts what this key signs any more."""
        key = self.get_object()
        endorsing.revoke(key, reason=reason_of(request))
        return Response(self.get_serializer(key).data)

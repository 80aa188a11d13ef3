"""PCs in JSON."""

from typing import Any
from uuid import UUID

from django.utils import timezone
from rest_framework import serializers

from clients import presence
from clients.models import Client, Group


class ClientListSerializer(serializers.ListSerializer[Client]):
    """Asks for the presence of the whole page at once."""

    def to_representation(self, data: Any) -> Any:
        rows = list(data.all() if hasattr(data, "all") else data)
        assert isinstance(self.child, ClientSerializer)  # noqa: S101  (many=True gives one)
        self.child._presences = presence.of(rows, now=timezone.now())
        return super().to_representation(rows)


class ClientSerializer(serializers.ModelSerializer[Client]):
    group: Any = serializers.SlugRelatedField(slug_field="name", read_only=True, allow_null=True)
    last_contact = serializers.SerializerMethodField()
    present = serializers.SerializerMethodField()
    user: Any = serializers.SlugRelatedField(
        source="assigned_user",
        slug_field="username",
        read_only=True,
        allow_null=True,
        help_text="who has this PC",
    )
    desktop = serializers.SerializerMethodField(help_text="the client VM: running, stopped, starting, absent")

    class Meta:
        model = Client
        list_serializer_class = ClientListSerializer
        fields = [
            "id",
            "name",
            "group",
            "user",
            "state",
            "simulated",
            "present",
            "last_contact",
            "desktop",
            "running",
            "certificate_expires",
            "enrolled_at",
            "facts",
        ]

    _presences: dict[UUID, presence.Presence] = {}

    def _presence(self, client: Client) -> presence.Presence:
        known = self._presences.get(client.pk)
        return known or presence.of([client], now=timezone.now())[client.pk]

    def get_last_contact(self, client: Client) -> str | None:
        seen = self._presence(client).seen
        return seen.isoformat() if seen else None

    def get_present(self, client: Client) -> bool:
        return self._presence(client).present

    def get_desktop(self, client: Client) -> str:
        return self._presence(client).desktop


class RegroupSerializer(serializers.Serializer[Any]):
    group = serializers.SlugRelatedField(slug_field="name", queryset=Group.objects.all(), allow_null=True)

"""The registry in JSON."""

from typing import Any
from uuid import UUID

from django.utils import timezone
from rest_framework import serializers

from clients import presence
from clients.models import ApiToken, Client, EnrolmentToken, Event, Group, PublisherKey


class GroupSerializer(serializers.ModelSerializer[Group]):
    pcs = serializers.IntegerField(source="clients.count", read_only=True)

    class Meta:
        model = Group
        fields = ["id", "name", "note", "pcs", "created_at"]


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


class ReasonSerializer(serializers.Serializer[Any]):
    reason = serializers.CharField(max_length=500)


class EnrolmentTokenSerializer(serializers.ModelSerializer[EnrolmentToken]):
    group = serializers.SlugRelatedField(
        slug_field="name", queryset=Group.objects.all(), allow_null=True, required=False, default=None
    )
    token = serializers.CharField(read_only=True, help_text="the token itself, shown this once")
    used_by = serializers.CharField(source="used_by.name", read_only=True, default=None)

    class Meta:
        model = EnrolmentToken
        fields = ["id", "group", "approved", "created_at", "created_by", "expires_at", "used_by", "token"]
        read_only_fields = ["id", "created_at", "created_by", "expires_at"]


class LoginSerializer(serializers.Serializer[Any]):
    username = serializers.CharField(max_length=150)
    password = serializers.CharField(max_length=1000, trim_whitespace=False, write_only=True)
    name = serializers.CharField(max_length=100, default="vrasctl", help_text="what the token is for")
    scope = serializers.ChoiceField(choices=ApiToken.Scope.choices, default=ApiToken.Scope.WRITE)


class ApiTokenSerializer(serializers.ModelSerializer[ApiToken]):
    token = serializers.CharField(read_only=True, help_text="the token itself, shown this once")

    class Meta:
        model = ApiToken
        fields = ["id", "name", "scope", "created_at", "expires_at", "last_used", "token"]
        read_only_fields = ["id", "created_at", "expires_at", "last_used"]


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


class EventSerializer(serializers.ModelSerializer[Event]):
    class Meta:
        model = Event
        fields = [
            "id",
            "at",
            "actor",
            "actor_kind",
            "origin",
            "verb",
            "object_type",
            "object_id",
            "object_name",
            "before",
            "after",
            "reason",
        ]

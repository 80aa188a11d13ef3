"""User data in JSON: how volumes stand and who can recover them; never a key."""

from typing import Any

from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from mydoc.models import Custodian, Opening, Volume


class HexField(serializers.CharField):
    """Bytes, as hexadecimal digits."""

    def to_internal_value(self, data: Any) -> Any:
        try:
            return bytes.fromhex(super().to_internal_value(data))
        except ValueError as error:
            raise serializers.ValidationError(_("These are no hexadecimal digits.")) from error

    def to_representation(self, value: Any) -> str:
        return bytes(value).hex()


class CustodianSerializer(serializers.ModelSerializer[Custodian]):
    public_key = HexField(max_length=64, help_text="X25519, raw, hex")

    class Meta:
        model = Custodian
        fields = ["id", "name", "place", "public_key", "fingerprint", "state", "created_at"]
        read_only_fields = ["id", "fingerprint", "state", "created_at"]
        # Who has the place is replaced: the verb says so, not a validator.
        validators: list[Any] = []


class OpeningSerializer(serializers.ModelSerializer[Opening]):
    owner = serializers.CharField(source="volume.owner.username", read_only=True)
    client = serializers.CharField(source="volume.client.name", read_only=True)

    class Meta:
        model = Opening
        fields = [
            *("id", "volume", "owner", "client", "state", "address", "asked_at", "opened_at"),
            *("closed_at", "checked_at", "reason"),
        ]


class VolumeSerializer(serializers.ModelSerializer[Volume]):
    name = serializers.CharField(source="__str__", read_only=True, help_text="as it is typed to confirm")
    owner = serializers.CharField(source="owner.username", read_only=True)
    client = serializers.CharField(source="client.name", read_only=True)
    state = serializers.SerializerMethodField(
        help_text="as its PC told last: open, locked, broken …; or unknown"
    )
    words = serializers.SerializerMethodField(help_text="what the PC said of it, when something is wrong")
    used_bytes = serializers.SerializerMethodField()
    size_bytes = serializers.SerializerMethodField()
    opens_by_logon = serializers.SerializerMethodField(
        help_text="whether the server still has its half of the key"
    )
    recoverable = serializers.SerializerMethodField(help_text="whether a recovery key was deposited")
    custodians = serializers.JSONField(
        source="recovery_custodians",
        read_only=True,
        help_text="fingerprints of the two who recover it, in order",
    )

    class Meta:
        model = Volume
        fields = [
            *("id", "name", "owner", "client", "state", "words", "used_bytes", "size_bytes", "limit_bytes"),
            *("opens_by_logon", "recoverable", "custodians", "luks_uuid", "told_at", "created_at"),
        ]

    def get_state(self, volume: Volume) -> str:
        return str(volume.told.get("state", "unknown"))

    def get_words(self, volume: Volume) -> str:
        return str(volume.told.get("words", ""))

    @extend_schema_field(serializers.IntegerField())
    def get_used_bytes(self, volume: Volume) -> int:
        return int(volume.told.get("used_bytes", 0))

    @extend_schema_field(serializers.IntegerField())
    def get_size_bytes(self, volume: Volume) -> int:
        return int(volume.told.get("size_bytes", 0))

    def get_opens_by_logon(self, volume: Volume) -> bool:
        return volume.server_half is not None

    def get_recoverable(self, volume: Volume) -> bool:
        return volume.recovery is not None


class ForgetHalfSerializer(serializers.Serializer[Any]):
    reason = serializers.CharField(max_length=500)
    confirm = serializers.CharField(
        max_length=300,
        default="",
        allow_blank=True,
        help_text="the volume's name; without it you are told what would happen",
    )


class ReplicaRecoverySerializer(serializers.Serializer[Any]):
    """What the two custodians open, one after the other: the password of a restic repository."""

    volume = serializers.CharField(help_text="what it was wrapped for: `replica <volume>`")
    name = serializers.CharField()
    repository = serializers.CharField(help_text="the repository's folder on the NAS")
    custodians = serializers.ListField(child=serializers.CharField(), help_text="fingerprints, outer first")
    wrapped = serializers.CharField(help_text="base64")


class RecoverySerializer(serializers.Serializer[Any]):
    """What the two custodians open, one after the other."""

    volume = serializers.UUIDField()
    name = serializers.CharField()
    luks_uuid = serializers.CharField()
    custodians = serializers.ListField(child=serializers.CharField(), help_text="fingerprints, outer first")
    wrapped = serializers.CharField(help_text="base64")

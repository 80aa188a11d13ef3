"""What is in user data, and who may see it, in JSON. Paths travel as base64url: names are bytes."""

from typing import Any

from django.contrib.auth import get_user_model
from drf_spectacular.types import OpenApiTypes
from rest_framework import serializers

from mydoc import bytepaths
from mydoc.models import FolderGrant, Look
from mydoc.tree import listing
from mydoc.tree.browsing import Listed
from mydoc.tree.reasons import MAX_REASON
from vrasnode.wire.mydoc import EntryKind

GIVES_FILE: Any = {(200, "application/octet-stream"): OpenApiTypes.BINARY}
KEY = "base64url of the path's bytes, as answers give it; the root is empty"


class PathField(serializers.CharField):
    """A path as base64url."""

    def __init__(self, **more: Any) -> None:
        super().__init__(allow_blank=True, max_length=6000, help_text=KEY, **more)

    def to_internal_value(self, data: Any) -> Any:
        try:
            return bytepaths.path_of(super().to_internal_value(data))
        except ValueError as error:
            raise serializers.ValidationError(str(error)) from error

    def to_representation(self, value: Any) -> str:
        return bytepaths.word(bytes(value)) if value else ""


class ShownField(serializers.CharField):
    """A name for people: what cannot be seen is written as its code."""

    def to_representation(self, value: Any) -> str:
        return bytepaths.shown(bytes(value))


class EntrySerializer(serializers.Serializer[Any]):
    name = serializers.CharField(help_text="for people; what cannot be seen is written as its code")
    path = PathField()
    kind = serializers.ChoiceField(choices=[(kind.value, kind.value) for kind in EntryKind])
    size_bytes = serializers.IntegerField()
    changed = serializers.DateTimeField(allow_null=True)
    target = serializers.CharField(help_text="of a link; links are never followed")


class ListedSerializer(serializers.Serializer[Any]):
    entries = EntrySerializer(many=True)
    after = serializers.CharField(help_text="what to send as `after` for the next page; empty: that was all")
    as_of = serializers.DateTimeField(
        allow_null=True,
        help_text="the volume is locked or its PC off: it was so at this time, by its replica",
    )


class WhySerializer(serializers.Serializer[Any]):
    """Why a program looks: the owner reads it."""

    reason = serializers.CharField(max_length=MAX_REASON, help_text="the owner reads it")


class PlaceSerializer(WhySerializer):
    path = PathField(default=b"")


class FolderQuerySerializer(PlaceSerializer):
    after = serializers.CharField(default="", max_length=6000, allow_blank=True)


class SearchQuerySerializer(WhySerializer):
    name = serializers.CharField(max_length=100, help_text="part of a name, in any case")
    after = serializers.CharField(default="", max_length=6000, allow_blank=True)


class FolderGrantSerializer(serializers.ModelSerializer[FolderGrant]):
    path = PathField()
    folder = ShownField(source="path", read_only=True, help_text="the path for people")
    person = serializers.SlugRelatedField(
        slug_field="username",
        queryset=get_user_model()._default_manager.filter(is_active=True),
        help_text="user name",
    )

    class Meta:
        model = FolderGrant
        fields = ["id", "path", "folder", "person", "access", "reason", "created_at", "created_by"]
        read_only_fields = ["created_at", "created_by"]
        validators: list[Any] = []  # a second grant replaces the first


class GrantsSerializer(serializers.Serializer[Any]):
    """What is wanted, and whether it is so."""

    revision = serializers.IntegerField()
    progress = serializers.ChoiceField(
        choices=["nothing", "applied", "pending", "failed"], help_text="whether the PC has applied it"
    )
    words = serializers.CharField(help_text="why not, if not")
    grants = FolderGrantSerializer(many=True)


class LookSerializer(serializers.ModelSerializer[Look]):
    path = PathField()
    place = ShownField(source="path", help_text="for people; of a search: the words")

    class Meta:
        model = Look
        fields = ["id", "at", "by", "act", "path", "place", "reason", "as_of"]


class SharedPlaceSerializer(serializers.Serializer[Any]):
    path = PathField(default=b"")


class SharedFolderSerializer(SharedPlaceSerializer):
    after = serializers.CharField(default="", max_length=6000, allow_blank=True)


class SharedWrittenSerializer(serializers.Serializer[Any]):
    path = PathField()
    size_bytes = serializers.IntegerField()
    sha256 = serializers.CharField()


def entries_json(folder: bytes, listed: Listed) -> dict[str, Any]:
    """For `ListedSerializer`."""
    entries = [
        {
            "name": bytepaths.shown(row.name),
            "path": bytepaths.word(row.path),
            "kind": row.entry.kind.value,
            "size_bytes": row.entry.size_bytes,
            "changed": row.entry.changed,
            "target": bytepaths.shown(row.entry.target),
        }
        for row in listing.rows(folder, listed)
    ]
    after = bytepaths.word(listed.after) if listed.more else ""
    return {"entries": entries, "after": after, "as_of": listed.as_of}

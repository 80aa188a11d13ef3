"""Workgroup Desktop in JSON."""

from typing import Any, ClassVar

from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from clients.models import Client, Group
from imaging import reasons
from imaging.models import (
    MACHINES,
    NO_AGENT,
    NO_PILOTS,
    Delivery,
    DeltaSet,
    Distribution,
    ImageVersion,
    MasterImage,
    Sample,
    Subscription,
)
from vrasnode.wire.imaging import Apply, Machine

APPLY = list(Distribution._meta.get_field("apply").choices or [])


class DeltaSetSerializer(serializers.ModelSerializer[DeltaSet]):
    """Delta frames for PCs that hold the version `base`."""

    base = serializers.IntegerField(source="base.number", read_only=True)

    class Meta:
        model = DeltaSet
        fields = [
            "base",
            "state",
            "percent",
            "chunks",
            "delta_chunks",
            "plain_bytes",
            "delta_bytes",
            "saved_bytes",
            "failure_code",
            "failure_words",
            "ready_at",
        ]
        read_only_fields = fields


class ImageVersionSerializer(serializers.ModelSerializer[ImageVersion]):
    image = serializers.CharField(source="image.name", read_only=True)
    deltas = DeltaSetSerializer(source="delta_sets", many=True, read_only=True)

    class Meta:
        model = ImageVersion
        fields = [
            "id",
            "image",
            "number",
            "state",
            "note",
            "published_by",
            "publisher_key",
            "manifest",
            "size_bytes",
            "data_bytes",
            "packed_bytes",
            "new_bytes",
            "saved_by_dedup_bytes",
            "deltas",
            "failure_code",
            "failure_words",
            "created_at",
            "ready_at",
        ]
        read_only_fields = [name for name in fields if name != "note"]


class MasterImageSerializer(serializers.ModelSerializer[MasterImage]):
    latest = ImageVersionSerializer(read_only=True, allow_null=True)
    health_command = serializers.ListField(
        child=serializers.CharField(max_length=500), max_length=20, required=False
    )

    class Meta:
        model = MasterImage
        fields = [
            "id",
            "name",
            "machine",
            "keep_versions",
            "health_within_s",
            "health_agent",
            "health_command",
            "created_at",
            "latest",
        ]

    def validate_machine(self, machine: str) -> str:
        if self.instance is not None and machine != self.instance.machine:
            raise serializers.ValidationError(
                _("An image stays for the machine that it was made for. Make another image.")
            )
        return machine

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        now = {"health_agent": True, "health_command": []} if self.instance is None else vars(self.instance)
        if not {**now, **attrs}["health_agent"] and {**now, **attrs}["health_command"]:
            raise serializers.ValidationError({"health_command": NO_AGENT})
        return attrs


class NoteSerializer(serializers.Serializer[Any]):
    note = serializers.CharField(max_length=500, allow_blank=True, default="")


class SubscriptionSerializer(serializers.ModelSerializer[Subscription]):
    group = serializers.SlugRelatedField(slug_field="name", queryset=Group.objects.all())
    image = serializers.SlugRelatedField(slug_field="name", queryset=MasterImage.objects.all())
    pilots = serializers.ListField(
        child=serializers.CharField(max_length=64),
        max_length=1000,
        required=False,
        help_text="names of PCs that get each version first; one that has left the group is replaced",
    )

    class Meta:
        model = Subscription
        fields = [
            *(
                "id",
                "group",
                "image",
                "machine",
                "on_publish",
                "on_join",
                "apply",
                "wave_size",
                "rate_bytes_s",
            ),
            *("pilots", "pilot_count", "approval", "halt_failures", "halt_percent", "fetch_hours"),
            *("switch_hours", "postponements", "deadline_days"),
        ]
        read_only_fields = ["machine"]
        extra_kwargs: ClassVar = {
            "wave_size": {"min_value": 1, "max_value": 100_000},
            "rate_bytes_s": {"min_value": 1024},
            "halt_failures": {"min_value": 1},
            "halt_percent": {"min_value": 1, "max_value": 100},
            "postponements": {"max_value": 100},
            "deadline_days": {"min_value": 1, "max_value": 365},
        }
        # That of the constraint would take the machine's default, not the image's.
        validators: ClassVar[list[Any]] = []

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """One per group and machine, said before the database has to."""
        group = attrs.get("group") or getattr(self.instance, "group", None)
        image = attrs.get("image") or getattr(self.instance, "image", None)
        others = Subscription.objects.filter(group=group, image__machine=getattr(image, "machine", ""))
        if self.instance is not None:
            others = others.exclude(pk=self.instance.pk)
        if others.exists():
            raise serializers.ValidationError(_("This group gets another image for this machine by itself."))
        before = {"approval": False, "pilots": [], "pilot_count": 0}
        then = {**before, **(vars(self.instance) if self.instance is not None else {}), **attrs}
        if then["approval"] and not then["pilots"] and not then["pilot_count"]:
            raise serializers.ValidationError({"approval": NO_PILOTS})
        return attrs


class DeliverySerializer(serializers.ModelSerializer[Delivery]):
    client = serializers.CharField(source="client.name", read_only=True)
    client_id = serializers.UUIDField(read_only=True)
    version = serializers.CharField(source="distribution.version", read_only=True)
    reason = serializers.SerializerMethodField(
        help_text="why it has not come to its end, or how it failed: code, words, remedy"
    )

    class Meta:
        model = Delivery
        fields = [
            "id",
            "distribution",
            "version",
            "client",
            "client_id",
            "serial",
            "state",
            "percent",
            "done_bytes",
            "total_bytes",
            "peer_bytes",
            "delta_bytes",
            "broken_deltas",
            "refetched_chunks",
            "boot_s",
            "ring",
            "paused_at",
            "rate_bytes_s",
            "postponed",
            "postponed_until",
            "code",
            "words",
            "reason",
            "changed_at",
        ]

    def get_reason(self, delivery: Delivery) -> dict[str, str] | None:
        reason = reasons.why(delivery, now=timezone.now())
        return None if reason is None else vars(reason)


class DistributionSerializer(serializers.ModelSerializer[Distribution]):
    version = serializers.CharField(read_only=True, help_text="name@number")
    group = serializers.CharField(source="group.name", read_only=True)
    deliveries = serializers.SerializerMethodField(help_text="how many PCs are in which state")

    class Meta:
        model = Distribution
        fields = [
            "id",
            "version",
            "group",
            "kind",
            "state",
            "apply",
            "wave_size",
            "rate_bytes_s",
            "rings",
            "ring",
            "approval",
            "approved_by",
            "halt_failures",
            "halt_percent",
            "fetch_hours",
            "switch_hours",
            "postponements",
            "deadline",
            "stop_code",
            "stop_words",
            "created_by",
            "created_at",
            "finished_at",
            "deliveries",
        ]

    def get_deliveries(self, distribution: Distribution) -> dict[str, int]:
        return distribution.deliveries.all().by_state()


class TermsSerializer(serializers.Serializer[Any]):
    apply = serializers.ChoiceField(choices=APPLY, default=Apply.NEXT_START.value)
    wave_size = serializers.IntegerField(min_value=1, max_value=100_000, default=50)
    rate_bytes_s = serializers.IntegerField(min_value=1024, allow_null=True, default=None)
    pilots = serializers.ListField(
        child=serializers.CharField(max_length=64),
        max_length=1000,
        default=list,
        help_text="names of PCs that get it first; the others wait for them",
    )
    pilot_count = serializers.IntegerField(min_value=0, default=0, help_text="or how many")
    approval = serializers.BooleanField(default=False, help_text="another person lets the others follow")
    halt_failures = serializers.IntegerField(min_value=1, allow_null=True, default=None)
    halt_percent = serializers.IntegerField(min_value=1, max_value=100, allow_null=True, default=None)
    fetch_hours = serializers.CharField(
        max_length=2000, allow_blank=True, default="", help_text="such as `mon-fri 20-6; sat,sun 0-24`"
    )
    switch_hours = serializers.CharField(max_length=2000, allow_blank=True, default="")
    postponements = serializers.IntegerField(min_value=0, max_value=100, default=0)
    deadline = serializers.DateTimeField(allow_null=True, default=None)


class StartSerializer(TermsSerializer):
    group = serializers.SlugRelatedField(slug_field="name", queryset=Group.objects.all())
    image = serializers.SlugRelatedField(slug_field="name", queryset=MasterImage.objects.all())
    number = serializers.IntegerField(
        min_value=1, required=False, allow_null=True, help_text="default: the newest"
    )


class RollbackSerializer(TermsSerializer):
    """Of a group, or of one PC."""

    group = serializers.SlugRelatedField(slug_field="name", queryset=Group.objects.all(), required=False)
    client = serializers.SlugRelatedField(
        slug_field="name",
        queryset=Client.objects.approved().select_related("group"),
        required=False,
        help_text="instead of a group: the name of one PC",
    )
    number = serializers.IntegerField(
        min_value=1, required=False, allow_null=True, help_text="default: the one before"
    )
    machine = serializers.ChoiceField(choices=MACHINES, default=Machine.CLIENT_VM.value)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if ("group" in attrs) == ("client" in attrs):
            raise serializers.ValidationError(_("Name a group, or one PC."))
        return super().validate(attrs)  # type: ignore[no-any-return]


class SteerSerializer(serializers.Serializer[Any]):
    reason = serializers.CharField(max_length=500, allow_blank=True, default="")


class SampleSerializer(serializers.ModelSerializer[Sample]):
    class Meta:
        model = Sample
        fields = ["at", "waiting", "fetching", "staged", "booted", "failed", "done_bytes"]


class StuckSerializer(serializers.Serializer[Any]):
    """Why PCs are stuck, and what to do about it."""

    pcs = serializers.IntegerField()
    code = serializers.CharField()
    words = serializers.CharField()
    remedy = serializers.CharField()


class DistributionProgressSerializer(serializers.Serializer[Any]):
    """How a distribution runs."""

    counts = serializers.DictField(child=serializers.IntegerField(), help_text="PCs by state")
    total = serializers.IntegerField()
    ended = serializers.IntegerField()
    done_bytes = serializers.IntegerField()
    bytes_s = serializers.IntegerField(allow_null=True, help_text="now, all PCs together")
    expected_end = serializers.DateTimeField(allow_null=True, help_text="of fetching")
    open_end = serializers.CharField(help_text="why no end can be said: standing, no_turn, unknown")
    stuck = StuckSerializer(many=True)
    samples = SampleSerializer(many=True)


class DistributionPreviewSerializer(serializers.Serializer[Any]):
    """What a distribution would do."""

    pcs = serializers.IntegerField()
    pilots = serializers.ListField(child=serializers.CharField())
    heard = serializers.IntegerField(help_text="heard of in the last minutes")
    have_it = serializers.IntegerField(help_text="run it already")
    superseded = serializers.IntegerField(help_text="have something else under way, which it replaces")
    other_pcs = serializers.IntegerField(help_text="of the group, not approved: do not get it")
    sites = serializers.DictField(child=serializers.IntegerField(), help_text="PCs by site")
    most_bytes = serializers.IntegerField(help_text="from the server, at most")

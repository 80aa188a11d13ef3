"""Checkout in JSON: requests, their steps, deputies, a group's chain; never a key."""

from typing import Any

from django.contrib.auth import get_user_model
from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from checkout import forms
from checkout.chaining import Link, Terms
from checkout.models import CheckoutRequest, Deputy, Kind, RequestStep
from mydoc.models import Volume


class ApprovalStepSerializer(serializers.ModelSerializer[RequestStep]):
    who = serializers.CharField(source="words", read_only=True)
    decided_by = serializers.CharField(source="decided_by.username", read_only=True, default=None)
    instead_of = serializers.CharField(source="instead_of.username", read_only=True, default=None)

    class Meta:
        model = RequestStep
        fields = [
            *("id", "round", "position", "kind", "who", "decision", "decided_by", "instead_of"),
            *("decided_at", "decided_words"),
        ]


class CheckoutSerializer(serializers.ModelSerializer[CheckoutRequest]):
    requester = serializers.CharField(source="requester.username", read_only=True)
    client = serializers.CharField(source="client.name", read_only=True)
    group = serializers.CharField(source="group.name", read_only=True, default=None)
    folders = serializers.SerializerMethodField(help_text="empty: everything")
    steps = ApprovalStepSerializer(many=True, read_only=True)

    class Meta:
        model = CheckoutRequest
        fields = [
            *("id", "requester", "volume", "client", "group", "state", "starts", "ends", "asked_ends"),
            *("purpose", "destination", "contact", "folders", "round", "steps_done", "steps_total"),
            *("created_at", "waits_since", "ended_at", "words", "obstacle", "waived_by", "steps"),
        ]

    def get_folders(self, request: CheckoutRequest) -> list[str]:
        return forms.folders_of(request)


class WishSerializer(serializers.Serializer[Any]):
    starts = serializers.DateTimeField()
    ends = serializers.DateTimeField()
    purpose = serializers.CharField(max_length=500)
    destination = serializers.CharField(max_length=200)
    contact = serializers.CharField(max_length=200)
    folders = serializers.ListField(
        child=serializers.CharField(max_length=4096), required=False, default=list
    )


class SubmitSerializer(WishSerializer):
    volume = serializers.PrimaryKeyRelatedField(queryset=Volume.objects.select_related("client__group"))


class DecisionSerializer(serializers.Serializer[Any]):
    seen = serializers.IntegerField(
        required=False, allow_null=True, default=None, help_text="id of the step that was looked at"
    )
    words = serializers.CharField(max_length=500, required=False, allow_blank=True, default="")


class ApprovalSerializer(DecisionSerializer):
    ends = serializers.DateTimeField(
        required=False, allow_null=True, default=None, help_text="shortens the period"
    )


class DeputySerializer(serializers.ModelSerializer[Deputy]):
    principal = serializers.CharField(source="principal.username", read_only=True)
    deputy = serializers.SlugRelatedField(
        slug_field="username", queryset=get_user_model()._default_manager.filter(is_active=True)
    )

    class Meta:
        model = Deputy
        fields = ["id", "principal", "deputy", "starts", "ends", "created_by"]
        read_only_fields = ["created_by"]


class LinkSerializer(serializers.Serializer[Any]):
    """One step: `group` with a group of the directory, `person` with a user name, the others alone."""

    kind = serializers.ChoiceField(choices=Kind.choices)
    directory_group = serializers.CharField(
        max_length=400, required=False, allow_blank=True, default="", help_text="distinguished name"
    )
    person = serializers.SlugRelatedField(
        slug_field="username",
        queryset=get_user_model()._default_manager.filter(is_active=True),
        required=False,
        allow_null=True,
        default=None,
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        needs = {Kind.GROUP: (True, False), Kind.PERSON: (False, True)}.get(attrs["kind"], (False, False))
        if (bool(attrs["directory_group"]), attrs["person"] is not None) != needs:
            raise serializers.ValidationError(_("A step names one group of the directory, or one person."))
        return attrs


class TermsSerializer(serializers.Serializer[Any]):
    """What holds for checkouts of a group's PCs."""

    software = serializers.BooleanField(help_text="PCs without a hardware TPM are lent, too")
    max_days = serializers.IntegerField(min_value=1, max_value=366)
    chain = LinkSerializer(many=True, allow_empty=False)
    reason = serializers.CharField(max_length=500, default="", allow_blank=True, write_only=True)

    def terms(self, revision: int) -> Terms:
        """What was sent, on top of this revision."""
        said = self.validated_data
        chain = tuple(Link(**link) for link in said["chain"])
        return Terms(said["software"], said["max_days"], chain, revision)


class LendableSerializer(serializers.ModelSerializer[Volume]):
    client = serializers.CharField(source="client.name", read_only=True)

    class Meta:
        model = Volume
        fields = ["id", "client"]

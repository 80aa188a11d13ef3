"""REST doors to enrolment tokens."""

from django.utils import timezone
from rest_framework import mixins, serializers, viewsets
from rest_framework.serializers import BaseSerializer

from clients.enrolment import enrolling
from clients.models import EnrolmentToken, Group


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


class EnrolmentTokenViewSet(
    mixins.CreateModelMixin,
    mixins.ListModelMixin,
    mixins.DestroyModelMixin,
    viewsets.GenericViewSet[EnrolmentToken],
):
    """One-time tokens by which PCs join. The token itself is in the answer to its creation only."""

    queryset = EnrolmentToken.objects.select_related("group", "used_by")
    serializer_class = EnrolmentTokenSerializer

    def perform_create(self, serializer: BaseSerializer[EnrolmentToken]) -> None:
        wish = serializer.validated_data
        row, text = enrolling.make_token(
            group=wish.get("group"), approved=wish.get("approved", False), now=timezone.now()
        )
        row.token = text  # type: ignore[attr-defined]  # shown once, never stored
        serializer.instance = row

    def perform_destroy(self, instance: EnrolmentToken) -> None:
        enrolling.delete_token(instance)

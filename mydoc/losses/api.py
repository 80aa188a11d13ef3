"""REST doors to lost PCs: declared, found again, let in; how each loss stands."""

from typing import Any, ClassVar

from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from clients.models import Client
from clients.people.permissions import HasAPc
from clients.serializers import ReasonSerializer, reason_of
from mydoc.losses import lockingout, losing
from mydoc.losses.serving import certificate_file
from mydoc.models import Loss


class LossSerializer(serializers.ModelSerializer[Loss]):
    client = serializers.CharField(source="client.name", read_only=True)
    order = serializers.ChoiceField(
        choices=["queued", "handed_out", "acknowledged", "withdrawn"],
        read_only=True,
        help_text="how far the order came by which the PC throws its keys away",
    )

    class Meta:
        model = Loss
        fields = [
            *("id", "client", "declared_at", "declared_by", "reason", "seen_at", "seen_where"),
            *("last_contact", "order", "handed_out_at", "acknowledged_at", "halves_until"),
            *("halves_deleted_at", "ended_at", "ended_by", "ended_reason"),
        ]


class DeclareSerializer(ReasonSerializer):
    seen_at = serializers.DateTimeField(required=False, allow_null=True, default=None)
    seen_where = serializers.CharField(max_length=200, required=False, allow_blank=True, default="")
    confirm = serializers.CharField(
        max_length=64,
        default="",
        allow_blank=True,
        help_text="the PC's name; without it you are told what would happen",
    )


class LossViewSet(viewsets.ReadOnlyModelViewSet[Loss]):
    """PCs that were declared lost, newest first; also those that were found again."""

    queryset = Loss.objects.select_related("client")
    serializer_class = LossSerializer
    filterset_fields: ClassVar = {"client": ["exact"], "client__name": ["exact"], "ended_at": ["isnull"]}

    @extend_schema(responses={(200, "application/json"): OpenApiTypes.BINARY})
    @action(detail=True, methods=["get"])
    def erasure(self, request: Request, pk: str) -> HttpResponse:
        """The signed certificate of what was erased (wire `ErasureCertificate`), as a file."""
        return certificate_file(self.get_object())


class ClientLossViewSet(viewsets.GenericViewSet[Client]):
    """What is said of a PC that is away."""

    queryset = Client.objects.select_related("assigned_user")
    serializer_class: Any = LossSerializer
    filter_backends = []
    pagination_class = None

    @extend_schema(request=DeclareSerializer, responses=LossSerializer)
    @action(detail=True, methods=["post"], permission_classes=[HasAPc])
    def lost(self, request: Request, pk: str) -> Response:
        """The PC is refused from now on and gets no key; its own are thrown away at its next contact.

        By who has the PC as well. Without `confirm` nothing happens, and the answer says what would.
        """
        wish = DeclareSerializer(data=request.data)
        wish.is_valid(raise_exception=True)
        now = timezone.now()
        by: Any = request.user  # somebody with a role
        loss = losing.declare(self.get_object(), by=by, now=now, **wish.validated_data)
        return Response(LossSerializer(loss).data)

    @extend_schema(request=ReasonSerializer, responses=LossSerializer)
    @action(detail=True, methods=["post"])
    def found(self, request: Request, pk: str) -> Response:
        """Lets a lost PC in again. What was thrown away or deleted meanwhile stays gone."""
        client, wish = self._asked(request)
        losing.find_again(client, reason=wish, now=timezone.now())
        return Response(LossSerializer(client.losses.first()).data)

    @extend_schema(request=ReasonSerializer, responses={204: None})
    @action(detail=True, methods=["post"], url_path="let-in")
    def let_in(self, request: Request, pk: str) -> Response:
        """A PC that was away for too long gets keys again."""
        client, wish = self._asked(request)
        lockingout.let_in(client, reason=wish, now=timezone.now())
        return Response(status=204)

    def _asked(self, request: Request) -> tuple[Client, str]:
        client = self.get_object()
        return client, str(reason_of(request))

"""REST doors to PCs."""

from typing import ClassVar

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from clients.enrolment import enrolling
from clients.models import Client
from clients.pcs.serializers import ClientSerializer, RegroupSerializer
from clients.serializers import ReasonSerializer, reason_of


class ClientViewSet(viewsets.ReadOnlyModelViewSet[Client]):
    """Client PCs."""

    queryset = Client.objects.select_related("group", "assigned_user")
    serializer_class = ClientSerializer
    search_fields: ClassVar = ["name", "group__name"]
    ordering_fields: ClassVar = ["name", "state", "enrolled_at"]
    filterset_fields: ClassVar = {
        "state": ["exact", "in"],
        "group__name": ["exact"],
        "name": ["exact", "in"],
        "assigned_user__username": ["exact"],
        "simulated": ["exact"],
    }

    @extend_schema(request=None)
    @action(detail=True, methods=["post"])
    def approve(self, request: Request, pk: str) -> Response:
        """Gives a pending PC its certificate."""
        client = self.get_object()
        enrolling.approve(client, now=timezone.now())
        return Response(self.get_serializer(client).data)

    @extend_schema(request=ReasonSerializer)
    @action(detail=True, methods=["post"])
    def revoke(self, request: Request, pk: str) -> Response:
        """Refuses a PC from its next contact on."""
        client = self.get_object()
        enrolling.revoke(client, reason=reason_of(request))
        return Response(self.get_serializer(client).data)

    @extend_schema(request=RegroupSerializer)
    @action(detail=True, methods=["post"])
    def regroup(self, request: Request, pk: str) -> Response:
        """Moves a PC to another group, or to none."""
        client = self.get_object()
        wish = RegroupSerializer(data=request.data)
        wish.is_valid(raise_exception=True)
        enrolling.regroup(client, wish.validated_data["group"], now=timezone.now())
        return Response(self.get_serializer(client).data)

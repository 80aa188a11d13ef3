"""My Doc Manager's REST doors: custodians, volumes, logons."""

import base64
from typing import ClassVar

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from clients.serializers import ReasonSerializer, reason_of
from mydoc.models import Custodian, Opening, Volume
from mydoc.volumes import recovering, unlocking
from mydoc.volumes.serializers import (
    CustodianSerializer,
    ForgetHalfSerializer,
    OpeningSerializer,
    RecoverySerializer,
    VolumeSerializer,
)


class CustodianViewSet(
    mixins.CreateModelMixin,
    mixins.RetrieveModelMixin,
    mixins.ListModelMixin,
    viewsets.GenericViewSet[Custodian],
):
    """Who holds the two keys that together recover volumes. A new one replaces who had the place."""

    queryset = Custodian.objects.all()
    serializer_class = CustodianSerializer
    filterset_fields: ClassVar = {"state": ["exact"], "place": ["exact"], "fingerprint": ["exact"]}

    def perform_create(self, serializer: BaseSerializer[Custodian]) -> None:
        wish = serializer.validated_data
        serializer.instance = recovering.appoint(
            name=wish["name"], place=wish["place"], public_key=wish["public_key"]
        )


class VolumeViewSet(viewsets.ReadOnlyModelViewSet[Volume]):
    """Volumes of user data: one for each user on each PC."""

    queryset = Volume.objects.select_related("owner", "client")
    serializer_class = VolumeSerializer
    search_fields: ClassVar = ["owner__username", "client__name"]
    ordering_fields: ClassVar = ["owner__username", "client__name", "created_at"]
    filterset_fields: ClassVar = {
        "owner__username": ["exact"],
        "client": ["exact"],
        "client__name": ["exact"],
    }

    @extend_schema(request=ForgetHalfSerializer)
    @action(detail=True, methods=["post"], url_path="forget-half")
    def forget_half(self, request: Request, pk: str) -> Response:
        """Deletes the server's half of the key for good: then only the custodians open the volume.

        Without `confirm` nothing happens, and the answer says what would.
        """
        volume = self.get_object()
        wish = ForgetHalfSerializer(data=request.data)
        wish.is_valid(raise_exception=True)
        unlocking.forget_half(volume, **wish.validated_data, now=timezone.now())
        return Response(self.get_serializer(volume).data)

    @extend_schema(request=ReasonSerializer, responses=RecoverySerializer)
    @action(detail=True, methods=["post"])
    def recover(self, request: Request, pk: str) -> Response:
        """The wrapped recovery key. It takes both custodians' private keys to open it."""
        volume = self.get_object()
        wrapped = recovering.hand_out(volume, reason=reason_of(request))
        answer = {
            "volume": volume.pk,
            "name": str(volume),
            "luks_uuid": volume.luks_uuid,
            "custodians": volume.recovery_custodians,
            "wrapped": base64.b64encode(wrapped).decode(),
        }
        return Response(RecoverySerializer(answer).data)


class OpeningViewSet(viewsets.ReadOnlyModelViewSet[Opening]):
    """Logons that opened volumes, newest first."""

    queryset = Opening.objects.select_related("volume__owner", "volume__client")
    serializer_class = OpeningSerializer
    filterset_fields: ClassVar = {
        "state": ["exact", "in"],
        "volume": ["exact"],
        "volume__owner__username": ["exact"],
        "volume__client__name": ["exact"],
        "reason": ["exact"],
    }

    @extend_schema(request=ReasonSerializer)
    @action(detail=True, methods=["post"])
    def close(self, request: Request, pk: str) -> Response:
        """Locks the volume now. Its owner may log on again."""
        opening = self.get_object()
        unlocking.close_by_hand(opening, reason=reason_of(request), now=timezone.now())
        return Response(self.get_serializer(opening).data)

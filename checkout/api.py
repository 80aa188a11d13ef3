"""Checkout's REST doors: the pages' acts, for everybody with a role; the verbs say whose they are."""

from typing import Any, ClassVar

from django.db.models import Q, QuerySet
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from checkout import approvers, deciding, deputizing, lending, requesting
from checkout.approvers import Asked
from checkout.models import CheckoutRequest, Deputy
from checkout.requesting import Wish
from checkout.serializers import (
    ApprovalSerializer,
    CheckoutSerializer,
    DecisionSerializer,
    DeputySerializer,
    LendableSerializer,
    SubmitSerializer,
    WishSerializer,
)
from clients.people import roles
from clients.people.permissions import HasARole
from clients.serializers import ReasonSerializer


class CheckoutViewSet(mixins.CreateModelMixin, viewsets.ReadOnlyModelViewSet[CheckoutRequest]):
    """Requests to use data away from the company: one's own, those that one decided or may decide; all of
    them for those who may look."""

    queryset = CheckoutRequest.objects.none()
    serializer_class: Any = CheckoutSerializer
    permission_classes = [HasARole]
    search_fields: ClassVar = ["requester__username", "client__name", "purpose", "destination"]
    filterset_fields: ClassVar = {
        "state": ["exact", "in"],
        "requester__username": ["exact"],
        "client__name": ["exact"],
        "volume": ["exact"],
        "starts": ["gte", "lt"],
        "ends": ["gte", "lt"],
    }

    def get_queryset(self) -> QuerySet[CheckoutRequest]:
        if getattr(self, "swagger_fake_view", False):
            return CheckoutRequest.objects.none()
        rows, user = approvers.full(CheckoutRequest.objects.all()), self.request.user
        if roles.may_look(user):
            return rows
        # Whoever may decide reads what waits; the verbs say who decides what.
        mine = Q(requester=user.pk) | Q(steps__decided_by=user.pk)
        if self.action not in ("list",):
            mine |= Q(pk__in=[row.pk for row in self._inbox()])
        return rows.filter(mine).distinct()

    @extend_schema(request=SubmitSerializer, responses={201: CheckoutSerializer})
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Submits a request about one's own data."""
        said = _said(SubmitSerializer, request)
        made = requesting.submit(said.pop("volume"), _wish(said), by=_user(request), now=timezone.now())
        return Response(CheckoutSerializer(made).data, status=status.HTTP_201_CREATED)

    @extend_schema(responses=CheckoutSerializer(many=True), filters=False)
    @action(detail=False, methods=["get"], pagination_class=None, filter_backends=[])
    def inbox(self, request: Request) -> Response:
        """What waits for whoever asks, the oldest first."""
        return Response(CheckoutSerializer(self._inbox(), many=True).data)

    @extend_schema(responses=LendableSerializer(many=True), filters=False)
    @action(detail=False, methods=["get"], pagination_class=None, filter_backends=[])
    def lendable(self, request: Request) -> Response:
        """One's own data, by the PC that it is on: what a request may be about."""
        return Response(LendableSerializer(requesting.volumes_of(_user(request)), many=True).data)

    @extend_schema(request=WishSerializer, responses=CheckoutSerializer)
    @action(detail=True, methods=["post"])
    def mend(self, request: Request, pk: str) -> Response:
        """Submits anew what was sent back."""
        row = self.get_object()
        requesting.mend(row, _wish(_said(WishSerializer, request)), by=_user(request), now=timezone.now())
        return self._again(row)

    @extend_schema(request=None, responses=CheckoutSerializer)
    @action(detail=True, methods=["post"])
    def withdraw(self, request: Request, pk: str) -> Response:
        row = self.get_object()
        requesting.withdraw(row, by=_user(request), now=timezone.now())
        return self._again(row)

    @extend_schema(request=None, responses=CheckoutSerializer)
    @action(detail=True, methods=["post"], url_path="return")
    def give_back(self, request: Request, pk: str) -> Response:
        """Ends early what is lent."""
        row = self.get_object()
        requesting.give_back(row, by=_user(request), now=timezone.now())
        return self._again(row)

    @extend_schema(request=ApprovalSerializer, responses=CheckoutSerializer)
    @action(detail=True, methods=["post"])
    def approve(self, request: Request, pk: str) -> Response:
        """This step's yes; with the last one the key is made."""
        row = self.get_object()
        deciding.approve(row, **_said(ApprovalSerializer, request), by=_user(request), now=timezone.now())
        return self._again(row)

    @extend_schema(request=DecisionSerializer, responses=CheckoutSerializer)
    @action(detail=True, methods=["post"], url_path="send-back")
    def send_back(self, request: Request, pk: str) -> Response:
        """Its requester may mend it; `words` says why."""
        row = self.get_object()
        deciding.send_back(row, **_said(DecisionSerializer, request), by=_user(request), now=timezone.now())
        return self._again(row)

    @extend_schema(request=DecisionSerializer, responses=CheckoutSerializer)
    @action(detail=True, methods=["post"])
    def reject(self, request: Request, pk: str) -> Response:
        """The end of it; `words` says why."""
        row = self.get_object()
        deciding.reject(row, **_said(DecisionSerializer, request), by=_user(request), now=timezone.now())
        return self._again(row)

    @extend_schema(request=ReasonSerializer, responses=CheckoutSerializer)
    @action(detail=True, methods=["post"])
    def waive(self, request: Request, pk: str) -> Response:
        """The key is made without a recent replica: administrators, for a reason."""
        row, said = self.get_object(), _said(ReasonSerializer, request)
        lending.waive_replica(row, by=_user(request), reason=said["reason"], now=timezone.now())
        return self._again(row)

    @extend_schema(request=ReasonSerializer, responses=CheckoutSerializer)
    @action(detail=True, methods=["post"], url_path="call-back")
    def call_back(self, request: Request, pk: str) -> Response:
        """Ends what is lent: administrators, for a reason."""
        row, said = self.get_object(), _said(ReasonSerializer, request)
        lending.call_back(row, by=_user(request), reason=said["reason"], now=timezone.now())
        return self._again(row)

    def _inbox(self) -> list[CheckoutRequest]:
        return approvers.waiting_for(_user(self.request), asked=Asked(), now=timezone.now())

    @staticmethod
    def _again(row: CheckoutRequest) -> Response:
        return Response(CheckoutSerializer(approvers.full(CheckoutRequest.objects.all()).get(pk=row.pk)).data)


class DeputyViewSet(
    mixins.CreateModelMixin, mixins.ListModelMixin, mixins.DestroyModelMixin, viewsets.GenericViewSet[Deputy]
):
    """Who decides in one's own place, from when to when."""

    queryset = Deputy.objects.none()
    serializer_class = DeputySerializer
    permission_classes = [HasARole]
    filter_backends = []

    def get_queryset(self) -> QuerySet[Deputy]:
        if getattr(self, "swagger_fake_view", False):
            return Deputy.objects.none()
        return Deputy.objects.filter(principal=self.request.user.pk).select_related("principal", "deputy")

    def perform_create(self, serializer: Any) -> None:
        user = _user(self.request)
        serializer.instance = deputizing.appoint(user, **serializer.validated_data, by=user)

    def perform_destroy(self, instance: Deputy) -> None:
        deputizing.dismiss(instance, by=_user(self.request))


def _said(kind: Any, request: Request) -> dict[str, Any]:
    wish = kind(data=request.data)
    wish.is_valid(raise_exception=True)
    return dict(wish.validated_data)


def _wish(said: dict[str, Any]) -> Wish:
    return Wish(**{**said, "folders": [name.strip("/").encode() for name in said["folders"]]})


def _user(request: Request) -> Any:
    return request.user

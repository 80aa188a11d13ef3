"""REST doors to distributions, and to each PC's part of them."""

from typing import Any, ClassVar

from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import mixins, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from clients.errors import Refusal
from clients.models import Client
from clients.serializers import ReasonSerializer, reason_of
from imaging import distributing, previewing, reasons, steering, tabling, waving
from imaging.distributing import Terms
from imaging.models import Delivery, DeliveryQuerySet, Distribution, ImageVersion, MasterImage
from imaging.serializers import (
    DeliverySerializer,
    DistributionPreviewSerializer,
    DistributionProgressSerializer,
    DistributionSerializer,
    RollbackSerializer,
    StartSerializer,
    SteerSerializer,
    TermsSerializer,
)
from vrasnode.wire.imaging import Apply, Machine

CSV: Any = {(200, "text/csv"): OpenApiTypes.STR}


class DistributionViewSet(
    mixins.RetrieveModelMixin, mixins.ListModelMixin, viewsets.GenericViewSet[Distribution]
):
    """Distributions: bringing a version to a group."""

    queryset = Distribution.objects.select_related("version__image", "group")
    serializer_class = DistributionSerializer
    filterset_fields: ClassVar = {"group__name": ["exact"], "state": ["exact", "in"], "kind": ["exact", "in"]}

    @extend_schema(request=StartSerializer, responses={202: DistributionSerializer})
    def create(self, request: Request) -> Response:
        """Begins to bring a version to every approved PC of a group."""
        wish = StartSerializer(data=request.data)
        wish.is_valid(raise_exception=True)
        version = _version(wish.validated_data["image"], wish.validated_data.get("number"))
        return self._started(
            distributing.start(
                version, wish.validated_data["group"], now=timezone.now(), terms=_terms(wish.validated_data)
            )
        )

    @extend_schema(request=RollbackSerializer, responses={202: DistributionSerializer})
    @action(detail=False, methods=["post"])
    def rollback(self, request: Request) -> Response:
        """Brings the version before back to a group, or to one PC."""
        wish = RollbackSerializer(data=request.data)
        wish.is_valid(raise_exception=True)
        said = wish.validated_data
        client: Client | None = said.get("client")
        machine, terms, now = Machine(said["machine"]), _terms(said), timezone.now()
        if client is not None:
            to = _numbered(distributing.last_sent_to(client, machine), said.get("number"))
            made = distributing.roll_back_pc(client, now=now, to=to, terms=terms, machine=machine)
        else:
            to = _numbered(distributing.last_sent(said["group"], machine), said.get("number"))
            made = distributing.roll_back(said["group"], now=now, to=to, terms=terms, machine=machine)
        return self._started(made)

    @extend_schema(request=None)
    @action(detail=True, methods=["post"])
    def retry(self, request: Request, pk: str) -> Response:
        """Sends the version again to the PCs where it failed, to no other."""
        distribution = self.get_object()
        distributing.retry_failed(distribution, now=timezone.now())
        return Response(self.get_serializer(distribution).data)

    @extend_schema(request=ReasonSerializer)
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: str) -> Response:
        """Stops what is not staged yet."""
        distribution = self.get_object()
        steering.cancel(distribution, reason=reason_of(request), now=timezone.now())
        return Response(self.get_serializer(distribution).data)

    @extend_schema(request=SteerSerializer)
    @action(detail=True, methods=["post"])
    def pause(self, request: Request, pk: str) -> Response:
        """No PC fetches on, none starts what it has staged, until it goes on."""
        distribution = self.get_object()
        steering.pause(distribution, reason=_why(request))
        return Response(self.get_serializer(distribution).data)

    @extend_schema(request=SteerSerializer)
    @action(detail=True, methods=["post"])
    def resume(self, request: Request, pk: str) -> Response:
        """Goes on where it stood, paused or halted."""
        distribution = self.get_object()
        steering.resume(distribution, now=timezone.now(), reason=_why(request))
        return Response(self.get_serializer(distribution).data)

    @extend_schema(request=SteerSerializer)
    @action(detail=True, methods=["post"])
    def approve(self, request: Request, pk: str) -> Response:
        """After the pilots, lets the others have it; not for whoever began it."""
        distribution = self.get_object()
        steering.approve(distribution, now=timezone.now(), reason=_why(request))
        return Response(self.get_serializer(distribution).data)

    @extend_schema(request=SteerSerializer, responses={202: DistributionSerializer(many=True)})
    @action(detail=True, methods=["post"], url_path="rollback-ring", pagination_class=None)
    def rollback_ring(self, request: Request, pk: str) -> Response:
        """Brings the PCs that it reached back to what each ran before; calls off the rest."""
        made = steering.roll_back_ring(self.get_object(), now=timezone.now(), reason=_why(request))
        return Response(self.get_serializer(made, many=True).data, status=status.HTTP_202_ACCEPTED)

    @extend_schema(responses=DistributionProgressSerializer)
    @action(detail=True, methods=["get"])
    def progress(self, request: Request, pk: str) -> Response:
        """How many are through, the speed now, the expected end, and how it ran until now."""
        distribution = self.get_object()
        shown = vars(waving.progress(distribution, now=timezone.now()))
        samples = distribution.samples.order_by("at", "pk")
        found = reasons.gathered(distribution, now=timezone.now())
        stuck = [{"pcs": count, **vars(reason)} for reason, count in found]
        return Response(DistributionProgressSerializer({**shown, "samples": samples, "stuck": stuck}).data)

    @extend_schema(responses=CSV)
    @action(detail=True, methods=["get"], url_path="pcs.csv", url_name="csv", pagination_class=None)
    def table(self, request: Request, pk: str) -> HttpResponse:
        """Each PC's state, bytes, why, and what to do, as a table; in the language that is asked for."""
        return tabling.answer(self.get_object(), now=timezone.now())

    @extend_schema(request=StartSerializer, responses=DistributionPreviewSerializer)
    @action(detail=False, methods=["post"])
    def preview(self, request: Request) -> Response:
        """What a distribution would do. Changes nothing."""
        wish = StartSerializer(data=request.data)
        wish.is_valid(raise_exception=True)
        version = _version(wish.validated_data["image"], wish.validated_data.get("number"))
        found = previewing.preview(
            version, wish.validated_data["group"], now=timezone.now(), terms=_terms(wish.validated_data)
        )
        return Response(DistributionPreviewSerializer({**vars(found), "sites": dict(found.sites)}).data)

    def _started(self, distribution: Distribution) -> Response:
        location = f"/api/v1/distributions/{distribution.pk}/"
        data = self.get_serializer(distribution).data
        return Response(data, status=status.HTTP_202_ACCEPTED, headers={"Location": location})


class DeliveryViewSet(viewsets.ReadOnlyModelViewSet[Delivery]):
    """Each PC's part of each distribution."""

    queryset = Delivery.objects.select_related("client", "distribution__version__image")
    serializer_class = DeliverySerializer
    filterset_fields: ClassVar = {
        "distribution": ["exact"],
        "client": ["exact"],
        "client__name": ["exact"],
        "state": ["exact", "in"],
    }

    @extend_schema(
        parameters=[OpenApiParameter("stuck", bool, description="only those that somebody has to see to")]
    )
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Each PC's part, of one distribution or of all."""
        return super().list(request, *args, **kwargs)

    def get_queryset(self) -> DeliveryQuerySet:
        rows = Delivery.objects.select_related("client", "distribution__version__image")
        asked = self.action == "list" and self.request.query_params.get("stuck", "").lower()
        return rows.stuck(timezone.now()) if asked in ("true", "1") else rows

    @extend_schema(request=SteerSerializer)
    @action(detail=True, methods=["post"])
    def pause(self, request: Request, pk: str) -> Response:
        """This PC neither fetches nor switches until it goes on."""
        delivery = self.get_object()
        steering.pause_pc(delivery, reason=_why(request), now=timezone.now())
        return Response(self.get_serializer(delivery).data)

    @extend_schema(request=None)
    @action(detail=True, methods=["post"])
    def resume(self, request: Request, pk: str) -> Response:
        """Goes on with this PC."""
        delivery = self.get_object()
        steering.resume_pc(delivery, now=timezone.now())
        return Response(self.get_serializer(delivery).data)

    @extend_schema(request=SteerSerializer)
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: str) -> Response:
        """This PC keeps what it runs; the others go on."""
        delivery = self.get_object()
        steering.cancel_pc(delivery, reason=_why(request), now=timezone.now())
        return Response(self.get_serializer(delivery).data)

    @extend_schema(request=None)
    @action(detail=True, methods=["post"])
    def retry(self, request: Request, pk: str) -> Response:
        """Sends the version again to this PC, where it failed."""
        delivery = self.get_object()
        steering.retry_pc(delivery, now=timezone.now())
        return Response(self.get_serializer(delivery).data)


def _numbered(last: Distribution | None, number: int | None) -> ImageVersion | None:
    """This version of the image that was sent last; None: the verb finds the one before."""
    return _version(last.version.image, number) if last is not None and number else None


def _version(image: MasterImage, number: int | None) -> ImageVersion:
    if number is not None:
        return get_object_or_404(image.versions.select_related("image"), number=number)
    latest = image.latest()
    if latest is None:
        raise Refusal(
            "no_version", _("%(image)s has no version that is ready. Publish one first.") % {"image": image}
        )
    return latest


def _terms(wish: dict[str, Any]) -> Terms:
    names = set(TermsSerializer().fields) - {"apply"}
    return Terms(apply=Apply(wish["apply"]), **{name: wish[name] for name in names})


def _why(request: Request) -> str:
    wish = SteerSerializer(data=request.data)
    wish.is_valid(raise_exception=True)
    return str(wish.validated_data["reason"])

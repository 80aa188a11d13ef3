"""REST doors to the dossier of a lost PC, as the pages' files: for administrators and auditors."""

from typing import Any

from django.http import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import viewsets
from rest_framework.decorators import action
from rest_framework.request import Request

from checkout import dossiers
from mydoc.losses.api import LossSerializer
from mydoc.models import Loss

LANGUAGE = OpenApiParameter("lang", enum=sorted(dossiers.LANGUAGES), description="the report's language")
CSV: Any = {(200, "text/csv"): OpenApiTypes.STR}
PDF: Any = {(200, "application/pdf"): OpenApiTypes.BINARY}


class DossierViewSet(viewsets.GenericViewSet[Loss]):
    """What was on a lost PC, and whether it was readable. Each reading is written down."""

    queryset = Loss.objects.all()
    serializer_class: Any = LossSerializer
    filter_backends = []
    pagination_class = None

    @extend_schema(parameters=[LANGUAGE], responses=CSV)
    @action(detail=True, methods=["get"], url_path="dossier.csv", url_name="csv")
    def table(self, request: Request, pk: str) -> HttpResponseBase:
        """The whole report with every file."""
        return dossiers.table(request._request, pk, user=request.user)

    @extend_schema(parameters=[LANGUAGE], responses=PDF)
    @action(detail=True, methods=["get"], url_path="dossier.pdf", url_name="pdf")
    def paper(self, request: Request, pk: str) -> HttpResponseBase:
        """The report on paper, with the first files."""
        return dossiers.paper(request._request, pk, user=request.user)

"""REST doors to the chain of approvers and the terms of a group: read by whoever may look, replaced whole by
administrators, on top of what they looked at."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from checkout import chaining
from checkout.serializers import TermsSerializer
from clients.etags import IF_MATCH, if_match
from clients.models import Group


class GroupTermsViewSet(viewsets.GenericViewSet[Group]):
    """What a group's address offers about checkout."""

    queryset = Group.objects.all()
    serializer_class: Any = TermsSerializer
    lookup_field = "name"
    lookup_value_regex = "[^/]+"

    @extend_schema(methods=["GET"], responses=TermsSerializer)
    @extend_schema(methods=["PUT"], request=TermsSerializer, responses=TermsSerializer, parameters=[IF_MATCH])
    @action(detail=True, methods=["get", "put"])
    def checkout(self, request: Request, **_kwargs: str) -> Response:
        """Whose word it takes, step by step, and for how long PCs of the group are lent; with its ETag. PUT
        replaces it for what is submitted from then on, on top of the revision that If-Match names."""
        group = self.get_object()
        if request.method == "PUT":
            revision = if_match(request)
            wish = TermsSerializer(data=request.data)
            wish.is_valid(raise_exception=True)
            on_top_of = chaining.of(group).revision if revision is None else revision
            chaining.save(group, wish.terms(on_top_of), reason=wish.validated_data["reason"])
        terms = chaining.of(group)
        return Response(TermsSerializer(terms).data, headers={"ETag": f'"{terms.revision}"'})

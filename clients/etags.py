"""Optimistic concurrency over REST: who changes something says on top of what (RFC 9110 §13.1.1)."""

import re

from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request

from clients.errors import Refusal

IF_MATCH = OpenApiParameter(
    "If-Match",
    str,
    OpenApiParameter.HEADER,
    description='the ETag of what you looked at, or "*": whatever it is',
)


def if_match(request: Request) -> int | None:
    """The revision that If-Match names; None for "*". Raises Refusal(if_match_required, bad_if_match)."""
    text = request.headers.get("If-Match", "").strip()
    if text == "*":
        return None
    if not text:
        raise Refusal(
            "if_match_required",
            _("Say in If-Match which revision you looked at (its ETag), so that nobody's change is lost."),
            status=428,
        )
    if found := re.fullmatch(r'(?:W/)?"(\d{1,9})"', text):
        return int(found[1])
    raise Refusal("bad_if_match", _('If-Match is the ETag of what you looked at, such as "3".'), status=400)

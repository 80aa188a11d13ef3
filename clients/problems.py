"""Refusals as RFC 9457 problem details, for the doors that answer programs and PCs."""

from http import HTTPStatus

import msgspec
from django.http import HttpResponse

from clients.errors import Refusal
from vrasnode.errors import Refused, VrasError

MEDIA_TYPE = "application/problem+json"


def status_of(refusal: Refusal | VrasError) -> int:
    """The status of a refusal; bytes that do not fit a schema or signature are the sender's fault (400)."""
    if isinstance(refusal, Refusal):
        return refusal.status
    return 400 if isinstance(refusal, Refused) else 500


def problem(refusal: Refusal | VrasError) -> dict[str, object]:
    """The members of a problem details object; `code` is ours."""
    status = status_of(refusal)
    more = refusal.more if isinstance(refusal, Refusal) else {}
    return {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": refusal.code,
        "detail": str(refusal.words),
        **more,
    }


def body(refusal: Refusal | VrasError) -> bytes:
    return msgspec.json.encode(problem(refusal))


def response(refusal: Refusal | VrasError) -> HttpResponse:
    return HttpResponse(body(refusal), status=status_of(refusal), content_type=MEDIA_TYPE)

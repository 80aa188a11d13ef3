"""The PC's doors to what people ask of open volumes."""

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_GET, require_POST

from clients.enrolment.node import JSON, node_door
from clients.models import Client
from mydoc.tree import asking
from vrasnode.wire import codec
from vrasnode.wire import mydoc as wire


@node_door()
@require_GET
def questions(request: HttpRequest, client: Client) -> HttpResponse:
    """What somebody waits for; each question is given out once."""
    found = wire.Questions(questions=asking.take(client))
    return HttpResponse(codec.encode(found), content_type=JSON)


@node_door(limit=wire.MAX_ANSWER_BYTES)
@require_POST
def answer(request: HttpRequest, client: Client, question: str) -> HttpResponse:
    """The sealed answer, as it is: only who asked can open it."""
    asking.hear(client, question, request.body)
    return HttpResponse(status=204)

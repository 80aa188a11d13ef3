"""The PC's doors to checkout: the server's time. Keys come in its slice, which lies on its disk sealed."""

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_POST

from checkout import wishes
from clients.enrolment.node import JSON, node_door
from clients.models import Client
from vrasnode.wire import codec
from vrasnode.wire.checkout import TimeRequest


@node_door()
@require_POST
def time(request: HttpRequest, client: Client) -> HttpResponse:
    """What time it is, for the PC that asks and its nonce alone."""
    answer = wishes.time_for(client, codec.decode(request.body, TimeRequest), now=timezone.now())
    return HttpResponse(codec.encode(answer), content_type=JSON, headers={"Cache-Control": "no-store"})

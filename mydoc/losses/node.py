"""The door of a PC that was declared lost: every other one is closed to it."""

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from clients.enrolment.node import JSON, node_door
from clients.models import Client
from mydoc.losses import losing
from vrasnode.wire import codec
from vrasnode.wire.mydoc import KillReport


@node_door(lost=True)
@require_http_methods(["GET", "POST"])
def kill(request: HttpRequest, client: Client) -> HttpResponse:
    """The one door that opens to a lost PC: what it has to do, and that it has done it."""
    now = timezone.now()
    if request.method == "POST":
        losing.acknowledge(client, codec.decode(request.body, KillReport), now=now)
        return HttpResponse(status=204)
    notice = codec.encode(losing.order_for(client, now=now))
    return HttpResponse(notice, content_type=JSON, headers={"Cache-Control": "no-store"})

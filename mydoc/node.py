"""The PC's doors to user data: the server's half of a key, the deposit of a recovery key."""

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST

from clients.models import Client
from clients.node import JSON, node_door
from mydoc import losing, recovering, unlocking
from vrasnode.wire import codec
from vrasnode.wire.mydoc import KeyRequest, KillReport, RecoveryDeposit


@node_door()
@require_POST
def key(request: HttpRequest, client: Client) -> HttpResponse:
    answer = unlocking.give_key(client, codec.decode(request.body, KeyRequest), now=timezone.now())
    return HttpResponse(codec.encode(answer), content_type=JSON, headers={"Cache-Control": "no-store"})


@node_door()
@require_POST
def recovery(request: HttpRequest, client: Client) -> HttpResponse:
    recovering.deposit(client, codec.decode(request.body, RecoveryDeposit), now=timezone.now())
    return HttpResponse(status=204)


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

"""The PC's doors to user data: the server's half of a key, the deposit of a recovery key."""

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_POST

from clients.enrolment.node import JSON, node_door
from clients.models import Client
from mydoc.volumes import recovering, unlocking
from vrasnode.wire import codec
from vrasnode.wire.mydoc import KeyRequest, RecoveryDeposit


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

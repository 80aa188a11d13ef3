"""The PC's doors to replicas: the key of one run, the manifest of what was copied."""

import uuid

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST

from clients.enrolment.node import JSON, node_door
from clients.models import Client
from mydoc.replicas import manifests, replicating
from vrasnode.wire import codec
from vrasnode.wire.replication import MAX_MANIFEST_BYTES, ReplicationKeyRequest


@node_door()
@require_POST
def key(request: HttpRequest, client: Client) -> HttpResponse:
    wish = codec.decode(request.body, ReplicationKeyRequest)
    answer = replicating.give_key(client, wish, now=timezone.now())
    return HttpResponse(codec.encode(answer), content_type=JSON, headers={"Cache-Control": "no-store"})


@node_door(limit=MAX_MANIFEST_BYTES)
@require_http_methods(["PUT"])
def manifest(request: HttpRequest, client: Client, pk: uuid.UUID) -> HttpResponse:
    signed = {name.lower(): value for name, value in request.headers.items()}
    manifests.take(client, pk, request.body, signed=signed, now=timezone.now())
    return HttpResponse(status=204)

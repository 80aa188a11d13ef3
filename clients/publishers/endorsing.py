"""How a publisher's key becomes one that PCs trust: registered, vouched for by the root, revoked."""

from datetime import datetime

from django.db import transaction

from clients import auditing, nudge
from clients.enrolment import signing
from clients.models import Client, PublisherKey
from vrasnode.wire import codec, signatures
from vrasnode.wire.signatures import Role


def register(public_key: bytes, *, name: str) -> PublisherKey:
    """Notes a publisher's key, to be vouched for. The same key again is the same row."""
    row, made = PublisherKey.objects.get_or_create(
        pk=signatures.fingerprint(public_key), defaults={"name": name, "public_key": public_key}
    )
    if made:
        auditing.record("publisherkey.registered", row)
    return row


def endorse(key: PublisherKey, *, now: datetime) -> None:
    """Signs the key with the root. Raises Refusal(root_offline), WrongState."""
    statement = signing.store().endorse(bytes(key.public_key), role=Role.IMAGE, name=key.name, now=now)
    with transaction.atomic():
        key.move(PublisherKey.State.ENDORSED, statement=codec.encode(statement))
    nudge.nodes(list(Client.objects.approved()))


def revoke(key: PublisherKey, *, reason: str) -> None:
    """No PC accepts what this key signs from its next look on."""
    with transaction.atomic():
        key.move(PublisherKey.State.REVOKED, reason=reason)
    nudge.nodes(list(Client.objects.approved()))

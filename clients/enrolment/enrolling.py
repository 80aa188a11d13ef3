"""How a PC joins, in the order it is lived: token, request, approval, certificate, renewal, revocation."""

import hashlib
from datetime import datetime
from typing import Any

import msgspec
from cryptography.hazmat.primitives.serialization import Encoding
from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from clients import auditing, credentials, nudge
from clients.enrolment import identity, signing
from clients.errors import Refusal
from clients.models import Client, DeviceRecord, EnrolmentToken, Group
from clients.signals import client_joined, client_revoked
from vrasnode.errors import Refused
from vrasnode.wire import clients as wire
from vrasnode.wire import names

MAX_CSR_CHARS = 8192


def make_token(*, group: Group | None, approved: bool, now: datetime) -> tuple[EnrolmentToken, str]:
    """A one-time token and its text, which is shown this once and carries what the PC must trust."""
    fresh = credentials.fresh()
    pinned = hashlib.sha256(signing.store().installation).hexdigest()
    token = EnrolmentToken.objects.create(
        id=fresh.id,
        secret_hash=credentials.hashed(fresh.secret),
        group=group,
        approved=approved,
        created_by=auditing.actor().name,
        expires_at=now + settings.ENROLMENT_TOKEN_LIFE,
    )
    auditing.record("enrolmenttoken.created", token, after={"group": str(group or ""), "approved": approved})
    return token, f"vrasenroll_{fresh.id}_{fresh.secret}_{pinned}"


def delete_token(token: EnrolmentToken) -> None:
    """Ends a token that nobody should use."""
    with transaction.atomic():
        auditing.record("enrolmenttoken.deleted", token)
        token.delete()


def enrol(request: wire.EnrolRequest, *, now: datetime) -> Client:
    """Takes a PC in as pending, or approved when its token says so. Raises Refusal."""
    _check(request)
    with transaction.atomic():
        client = Client(
            name=request.name,
            csr=request.csr,
            signing_key=signing.public_key_of(request.csr),
            hpke_key=request.hpke_key,
            **_facts(request.facts),
        )
        token = _token(request.token, now=now)
        if earlier := token.used_by:
            # The answer to a first try may have been lost: the same key gets the same answer.
            if bytes(earlier.signing_key) == bytes(client.signing_key):
                return earlier
            raise Refusal(
                "token_used", _("This enrolment token was used by another PC. Make a new one."), status=403
            )
        client.group = token.group
        try:
            with transaction.atomic():
                client.save(force_insert=True)
        except IntegrityError as error:
            raise Refusal(
                "name_taken", _("A PC named %(name)s exists. Choose another name.") % {"name": request.name}
            ) from error
        if not EnrolmentToken.objects.filter(pk=token.pk, used_by=None).update(used_by=client):
            raise Refusal(
                "token_used", _("This enrolment token was used by another PC. Make a new one."), status=403
            )
        _describe(client, request.facts)
        auditing.record(
            "client.enrolled", client, after={"token": token.pk, "group": str(client.group or "")}
        )
        if token.approved:
            approve(client, now=now)
    nudge.pages("clients")
    return client


def approve(client: Client, *, now: datetime) -> None:
    """Gives the PC its certificate. Raises WrongState when it was decided before."""
    certificate = _certificate(client, client.csr, now=now)
    with transaction.atomic():
        # A lost PC is let in again by who found it, not by an approval that comes late.
        client.move(Client.State.APPROVED, start=Client.State.PENDING, **certificate)
        client_joined.send(Client, client=client, now=now)
    nudge.node(client)
    nudge.pages("clients")


def renew(client: Client, csr: str, *, now: datetime) -> None:
    """A new certificate for the same key. Raises Refusal when the key is another one."""
    if signing.public_key_of(csr) != bytes(client.signing_key):
        raise Refusal(
            "other_key", _("A certificate is renewed for the same key only. Enrol again."), status=403
        )
    fields = _certificate(client, csr, now=now)
    Client.objects.filter(pk=client.pk).update(**fields)
    for name, value in fields.items():
        setattr(client, name, value)
    auditing.record("client.renewed", client)


def revoke(client: Client, *, reason: str) -> None:
    """Refuses the PC from its next contact on; the name becomes free."""
    with transaction.atomic():
        client.move(Client.State.REVOKED, reason=reason)
        client_revoked.send(Client, client=client, now=timezone.now())
        transaction.on_commit(lambda: identity.forget(client))
    nudge.node(client)
    nudge.pages("clients")


def regroup(client: Client, group: Group | None, *, now: datetime) -> None:
    """Moves the PC to another group; what that group gets by itself comes to it."""
    before = client.group
    if before == group:
        return
    with transaction.atomic():
        Client.objects.filter(pk=client.pk).update(group=group)
        client.group = group
        auditing.record(
            "client.regrouped", client, before={"group": str(before or "")}, after={"group": str(group or "")}
        )
        if client.state == Client.State.APPROVED:
            client_joined.send(Client, client=client, now=now)
    nudge.node(client)
    nudge.pages("clients")


def assign(client: Client, user: AbstractBaseUser | None) -> None:
    """Says which employee has this PC, or none: what was granted to them is granted here."""
    before = client.assigned_user
    if before == user:
        return
    with transaction.atomic():
        Client.objects.filter(pk=client.pk).update(assigned_user=user)
        client.assigned_user = user  # type: ignore[assignment]  # the installation's own user model
        auditing.record(
            "client.assigned", client, before={"user": str(before or "")}, after={"user": str(user or "")}
        )
    nudge.node(client)
    nudge.pages("clients", f"client.{client.pk}")


def answer(client: Client) -> wire.EnrolAnswer:
    """What the PC is told about its enrolment."""
    return wire.EnrolAnswer(
        client_id=str(client.pk),
        state=wire.ClientState(client.state),
        certificate=client.certificate or None,
    )


def describe(client: Client, facts: wire.HostFacts) -> None:
    """Keeps what a PC says of itself."""
    with transaction.atomic():
        Client.objects.filter(pk=client.pk).update(**_facts(facts))
        _describe(client, facts)
    nudge.pages(f"client.{client.pk}")


def _facts(facts: wire.HostFacts) -> dict[str, Any]:
    """Facts for the PC's row; its devices have a row of their own."""
    plain: dict[str, Any] = msgspec.to_builtins(facts)
    plain.pop("devices")
    return {"facts": plain, "simulated": facts.simulated}


def _describe(client: Client, facts: wire.HostFacts) -> None:
    if facts.devices is not None:
        devices = msgspec.to_builtins(facts.devices)
        DeviceRecord.objects.update_or_create(client=client, defaults={"facts": devices})


def _check(request: wire.EnrolRequest) -> None:
    try:
        names.check_name(request.name)
    except Refused as error:
        raise Refusal(error.code, error.words, status=400) from error
    if len(request.csr) > MAX_CSR_CHARS or len(request.hpke_key) != 32:
        raise Refusal("bad_keys", _("The keys in this request have the wrong length."), status=400)


def _token(text: str, *, now: datetime) -> EnrolmentToken:
    parts = text.split("_")
    row = None
    if len(parts) == 4 and parts[0] == "vrasenroll":
        row = EnrolmentToken.objects.select_for_update(of=("self",)).filter(pk=parts[1]).first()
    if row is None or not credentials.matches(parts[2], row.secret_hash):
        raise Refusal("token_unknown", _("This enrolment token is unknown. Make a new one."), status=403)
    if row.used_by is None and row.expires_at <= now:
        raise Refusal("token_expired", _("This enrolment token has expired. Make a new one."), status=403)
    return row


def _certificate(client: Client, csr: str, *, now: datetime) -> dict[str, Any]:
    certificate = signing.store().issue(csr, client_id=str(client.pk), now=now)
    return {
        "certificate": certificate.public_bytes(Encoding.PEM).decode(),
        "certificate_expires": certificate.not_valid_after_utc,
    }

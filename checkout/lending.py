"""Usage keys, in the order they are lived: made, handed to the PC, told of by it, ended.

A key is made once its request was approved at each step and a recent replica lies on the NAS. Its secret is
made here, sealed to the PC, and forgotten: what is kept is what the PC gets. Nothing here reaches a PC: its
slice says what is lent to it, and what no longer is.
"""

import logging
import secrets
from contextlib import suppress
from datetime import datetime, timedelta

from django.conf import settings
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from checkout import chaining
from checkout.models import CheckoutRequest, Lease
from clients import auditing, nudge
from clients.enrolment import signing
from clients.errors import Refusal, WrongState
from clients.models import Client
from clients.people import roles
from mydoc import bytepaths
from mydoc.models import Lockout, Volume, person_id
from mydoc.replicas import lastreplica, replicating
from mydoc.volumes import accounts
from vrasnode import sealing
from vrasnode.wire import codec, signatures
from vrasnode.wire.checkout import UsageKey
from vrasnode.wire.signatures import Role

log = logging.getLogger("openvras.checkout")

State = CheckoutRequest.State
SECRET_BYTES = 32
LEAD = timedelta(days=7)  # before its start at the earliest is a key made

OBSTACLES: dict[str, str | Promise] = {
    "too_early": _("The key is made seven days before the start."),
    "no_tpm": _(
        "This PC has no TPM that is known of, and its group's PCs are not lent without one. Ask your IT "
        "department."
    ),
    "group_changed": _(
        "The PC came to another group since the request was submitted. It has to be submitted anew, to that "
        "group's approvers: withdraw it and copy it, or send it back."
    ),
    "no_replica": _(
        "No recent copy of the data lies on the file server: nobody would know what was on the PC. It is "
        "being copied: leave the PC on the company's network, or shut it down there."
    ),
    "pc_not_approved": _("The PC is no member here, or was declared lost."),
    "locked_out": _("The PC was away for too long: an administrator has to let it in again."),
    "account": _("The requester's account may have no user data open, says the company's directory."),
    "directory": _("The company's directory does not answer. It is tried again."),
    "lent_before": _("The key before this one has not ended yet."),
    "half_deleted": _("The server's half of this data's key was deleted: it opens no more."),
    "no_keys": _("The server has no key to sign with: the operator has to run `manage.py keys create`."),
}


class NotYet(Refusal):
    """No key is made; `code` is an obstacle that may go away."""

    def __init__(self, code: str) -> None:
        super().__init__(code, OBSTACLES[code])


def keeper_missing(client: Client, *, software: bool) -> bool:
    """Whether this PC has nothing that its group trusts a key to."""
    return not (has_tpm(client) or software)


def has_tpm(client: Client) -> bool:
    """Whether the PC told of a TPM of its own."""
    facts = client.host_facts()
    return bool(facts and facts.platform and facts.platform.tpm)


def lend(request: CheckoutRequest, *, now: datetime) -> Lease:
    """Makes the key of an approved request. Raises NotYet, WrongState."""
    request.refresh_from_db()
    if request.state != State.PERMITTED:
        raise WrongState(request, request.state, State.LENT)
    try:
        software = _check(request, now=now)
        lease = _make(request, software=software, now=now)
    except NotYet as obstacle:
        CheckoutRequest.objects.filter(pk=request.pk).update(obstacle=obstacle.code)
        if obstacle.code == "no_replica":
            with suppress(Refusal):  # none are made here, or one is on its way
                replicating.ask(request.volume, now=now)
        raise
    log.info("%s lent until %s", request.volume, request.ends)
    _show(request)
    return lease


def waive_replica(request: CheckoutRequest, *, by: User, reason: str, now: datetime) -> None:
    """The key may be made without a recent replica. Raises Refusal: not_for_you, own_request, no_reason;
    WrongState; and what else is in the way, as NotYet."""
    if not roles.may_change(by):
        raise Refusal("not_for_you", _("Only administrators may do without a replica."), status=403)
    if by.pk == request.requester_id:
        raise Refusal("own_request", _("Nobody decides about their own request."), status=403)
    if not reason.strip():
        raise Refusal("no_reason", _("Say why: it is kept in the audit log."), status=400)
    with transaction.atomic():
        rows = CheckoutRequest.objects.filter(pk=request.pk, state=State.PERMITTED)
        if not rows.update(waived_by=by.get_username(), waived_why=reason[:500]):
            request.refresh_from_db()
            raise WrongState(request, request.state, State.LENT)
        auditing.record("checkoutrequest.replica_waived", request, reason=reason[:500])
    lend(request, now=now)


def call_back(request: CheckoutRequest, *, by: User, reason: str, now: datetime) -> None:
    """An administrator ends it: the PC locks when it hears of it, or at the deadline. Raises not_for_you,
    WrongState."""
    if not roles.may_change(by):
        raise Refusal("not_for_you", _("Only administrators may call a key back."), status=403)
    with transaction.atomic():
        request.move(State.REVOKED, reason=reason, words=reason[:500], ended_at=now)
        end(request, code="withdrawn", now=now)
    _show(request)


def end(request: CheckoutRequest, *, code: str, now: datetime) -> None:
    """Its current key is lent no longer. Call it inside the transaction that moves the request."""
    for lease in Lease.objects.current().filter(request=request):
        Lease.objects.filter(pk=lease.pk, ended="").update(ended=code, ended_at=now)
        auditing.record("lease.ended", lease, after={"code": code})


def end_all_of(client: Client, *, code: str, now: datetime) -> None:
    """The PC is lost, or revoked: so is what was lent to it."""
    for request in CheckoutRequest.objects.filter(
        client=client, state__in=(State.PERMITTED, State.LENT, State.OVERDUE)
    ):
        with suppress(WrongState), transaction.atomic():
            request.move(State.REVOKED, reason=code, words=code, ended_at=now)
            end(request, code=code, now=now)


def has_recent_replica(volume: Volume, *, now: datetime) -> bool:
    """Whether what was on it lies on the NAS, as it was not long ago."""
    replica = lastreplica.last(volume, before=now)
    return replica is not None and replica.at >= now - settings.CHECKOUT_REPLICA_AGE


def _check(request: CheckoutRequest, *, now: datetime) -> bool:
    """Whether the key is for a PC without a hardware TPM. Raises NotYet."""
    client = Client.objects.select_related("group").get(pk=request.client_id)
    if now < request.starts - LEAD:
        raise NotYet("too_early")
    if client.state != Client.State.APPROVED:
        raise NotYet("pc_not_approved")
    if client.group_id != request.group_id:
        raise NotYet("group_changed")
    software = not has_tpm(client)
    if keeper_missing(client, software=chaining.of(client.group).software):
        raise NotYet("no_tpm")
    if Lockout.objects.current().filter(client=client).exists():
        raise NotYet("locked_out")
    if request.volume.server_half is None:
        raise NotYet("half_deleted")
    if not request.waived_by and not has_recent_replica(request.volume, now=now):
        raise NotYet("no_replica")
    try:
        found = accounts.ask(request.requester, now=now)
    except Refusal as error:
        raise NotYet("directory") from error
    if found.no is not None:
        raise NotYet("account")
    return software


def _make(request: CheckoutRequest, *, software: bool, now: datetime) -> Lease:
    try:
        with transaction.atomic():
            client = Client.objects.select_for_update(of=("self",)).get(pk=request.client_id)
            if client.state != Client.State.APPROVED:
                raise NotYet("pc_not_approved")
            last = Lease.objects.filter(client=client).order_by("-serial").values_list("serial", flat=True)
            lease = Lease(
                request=request,
                volume=request.volume,
                client=client,
                serial=(last.first() or 0) + 1,
                starts=request.starts,
                ends=request.ends,
                issued_at=now,
                software=software,
            )
            lease.key = codec.encode(signing.store().seal(_usage_key(lease), Role.LEASE))
            lease.save(force_insert=True)
            request.move(State.LENT, obstacle="")
            auditing.record("lease.made", lease, after={"serial": lease.serial, "request": request.pk})
    except IntegrityError as error:  # the one before is still out, or two made it at once
        raise NotYet("lent_before") from error
    except FileNotFoundError as error:
        raise NotYet("no_keys") from error
    return lease


def _usage_key(lease: Lease) -> UsageKey:
    request, client = lease.request, lease.client
    sealed = sealing.seal(
        secrets.token_bytes(SECRET_BYTES),
        bytes(client.hpke_key),
        purpose=sealing.lease_purpose(str(lease.pk)),
    )
    owner = request.requester
    return UsageKey(
        lease=str(lease.pk),
        serial=lease.serial,
        client=client.pk,
        pc_key=signatures.fingerprint(bytes(client.signing_key)),
        volume=str(lease.volume_id),
        owner=person_id(owner),
        owner_name=owner.get_full_name() or owner.get_username(),
        starts=lease.starts,
        ends=lease.ends,
        issued=lease.issued_at,
        budget_s=int((lease.ends - lease.starts).total_seconds()),
        secret=sealed,
        folders=[bytepaths.path_of(word) for word in request.folders],
        software=lease.software,
    )


def _show(request: CheckoutRequest) -> None:
    nudge.node(request.client)
    nudge.pages("checkouts", f"my.{request.requester_id}", f"client.{request.client_id}")

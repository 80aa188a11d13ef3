"""How user data is copied to the NAS, in the order it is lived: due, asked for, key given, heard, ended.

A PC copies by itself what its slice names; here it is said when, each run is given its key, and nothing
counts as a replica that did not end well and whose manifest was not handed in. All times are the server's.
"""

import hashlib
import logging
import uuid
from contextlib import suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import msgspec
from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from clients import auditing, nudge, workdays
from clients.errors import Refusal, WrongState
from clients.models import Client
from mydoc.models import Opening, Replica, ReplicationRun, Volume
from mydoc.replicas import passwords, tending
from mydoc.volumes import halves, unlocking
from vrasnode import sealing
from vrasnode.wire import codec
from vrasnode.wire.replication import (
    ReplicationKey,
    ReplicationKeyAnswer,
    ReplicationKeyRequest,
    ReplicationReport,
    RunReport,
    RunState,
)

if TYPE_CHECKING:
    from django.db.models import QuerySet

log = logging.getLogger("openvras.mydoc")

RESUME_AFTER = timedelta(minutes=1)
FAILED_AFTER = timedelta(hours=1)
MAX_RUNS = 64  # in one report
PASSING = {"no_such_run", "volume_open"}  # the PC's own news was on its way
Occasion = ReplicationRun.Occasion
State = ReplicationRun.State
ENDED = {RunState.CUT_OFF: State.CUT_OFF, RunState.FAILED: State.FAILED}


def enabled() -> bool:
    """Whether there is somewhere to copy to."""
    return settings.NAS is not None and settings.GATEWAY is not None


def plan(*, now: datetime) -> int:
    """Ends runs of which nothing is heard any more, asks for those that are due; how many these are. Safe to
    run twice, at once, or never."""
    silent = Q(state=State.RUNNING, heard_at__lt=now - settings.REPLICA_SILENCE)
    for run in ReplicationRun.objects.filter(silent).select_related("replica__volume__client"):
        _end(run, State.CUT_OFF, reason="pc_silent", now=now)
    if not enabled():
        return 0
    asked = 0
    for volume in Volume.objects.filter(client__state=Client.State.APPROVED).select_related(
        "owner", "client"
    ):
        occasion = _due(volume, now=now)
        if occasion is not None:
            wait = _slot(volume) if occasion == Occasion.SCHEDULE else timedelta(0)
            asked += _ask(passwords.replica_of(volume), occasion, not_before=now + wait, now=now) is not None
    return asked


def ask(volume: Volume, *, now: datetime) -> ReplicationRun:
    """Somebody wants it copied now; a run that waits for its turn need not wait any longer. Raises Refusal:
    no_nas, unknown_client, run_under_way."""
    if not enabled():
        raise no_nas()
    if volume.client.state != Client.State.APPROVED:
        raise Refusal("unknown_client", _("This PC is not a member here. Enrol it."), status=404)
    replica = passwords.replica_of(volume)
    run = _ask(replica, Occasion.BY_HAND, not_before=None, now=now)
    if run is None:
        run = ReplicationRun.objects.current().filter(replica=replica).first()
        if run is None or run.state == State.RUNNING:
            raise Refusal("run_under_way", _("This volume is being copied already."))
        ReplicationRun.objects.filter(pk=run.pk, state=State.WAITING).update(
            occasion=Occasion.BY_HAND, not_before=None
        )
        run.occasion, run.not_before = Occasion.BY_HAND, None
        auditing.record("replicationrun.hurried", run)
        _tell(volume)
    return run


def give_key(client: Client, request: ReplicationKeyRequest, *, now: datetime) -> ReplicationKeyAnswer:
    """What one run needs, sealed for this one answer; the run is under way from now on.

    Without a `run` the PC begins by itself. With `locked` the server's half of the volume's key is in it, so
    that a replica which was cut off is finished before anybody logs on: for no other run, to no PC that is
    lost or locked out, and never for a volume that is open. A "no" is kept, to be said of a replica that is
    late. Raises Refusal: no_nas, no_such_run,
    not_on_the_lan, gateway_busy, replica_tended, volume_open, locked_out, half_deleted, bad_reply_key.
    """
    try:
        return _give_key(client, request, now=now)
    except Refusal as refusal:
        if refusal.code not in PASSING:
            rows = Replica.objects.filter(volume=_uuid(request.volume), volume__client=client)
            rows.update(refused=refusal.code[:40], refused_at=now)
        raise


def _give_key(client: Client, request: ReplicationKeyRequest, *, now: datetime) -> ReplicationKeyAnswer:
    if not enabled():
        raise no_nas()
    volume = Volume.objects.filter(pk=_uuid(request.volume), client=client).select_related("client").first()
    if volume is None or client.state != Client.State.APPROVED:
        raise _no_run()
    if not unlocking.on_the_lan(client, now=now):
        raise unlocking.not_on_the_lan()
    run = _resumed(volume, request, now=now) if request.locked else _run_of(volume, request, now=now)
    fresh = now - settings.REPLICA_SILENCE
    others = ReplicationRun.objects.filter(state=State.RUNNING, heard_at__gte=fresh).exclude(pk=run.pk)
    if others.count() >= settings.REPLICAS_AT_ONCE:
        raise Refusal("gateway_busy", _("Many PCs copy now. It is this one's turn later."), status=503)
    replica = run.replica
    key = ReplicationKey(
        run=str(run.pk),
        repository=f"{volume.pk}/",
        user=str(volume.pk),
        password=passwords.password_of(replica),
        repository_password=passwords.repository_password_of(replica),
        server_half=halves.half_of(volume) if request.locked else b"",
        read_s=int(settings.REPLICA_LOCKED_READ.total_seconds()) if request.locked else 0,
    )
    try:
        purpose = sealing.replication_purpose(str(volume.pk))
        sealed = sealing.seal(codec.encode(key), request.reply_key, purpose=purpose)
    except ValueError as error:
        raise Refusal("bad_reply_key", _("This is no X25519 public key."), status=400) from error
    with transaction.atomic():
        if request.locked:
            unlocking.hold(client)  # not declared lost, not locked out, until this is written down
            after = {"read_s": key.read_s}
            auditing.record("replicationrun.half_given", run, after=after, reason="to resume while locked")
        _begin(run, now=now)
    return ReplicationKeyAnswer(sealed=sealed)


def hear(client: Client, report: ReplicationReport, *, now: datetime) -> None:
    """How far the runs of this PC have come. What is not its own, or has ended, is passed over."""
    for told in report.runs[:MAX_RUNS]:
        run = (
            ReplicationRun.objects.current()
            .filter(pk=_uuid(told.run), replica__volume__client=client, replica__volume=_uuid(told.volume))
            .select_related("replica__volume__owner", "replica__volume__client")
            .first()
        )
        if run is not None:
            with suppress(WrongState):  # it ended meanwhile
                _hear(run, told, now=now)


def close_all_of(client: Client, *, reason: str, now: datetime) -> None:
    """This PC copies nothing any more."""
    rows = ReplicationRun.objects.current().filter(replica__volume__client=client)
    for run in rows.select_related("replica__volume__client"):
        _end(run, State.CUT_OFF, reason=reason, now=now)


def current_of(client: Client) -> "dict[uuid.UUID, ReplicationRun]":
    """The runs of this PC's volumes that have not ended."""
    rows = ReplicationRun.objects.current().filter(replica__volume__client=client).select_related("replica")
    return {run.replica.volume_id: run for run in rows}


def overdue(*, now: datetime) -> "QuerySet[Volume]":
    """Volumes without a good replica for longer than the working days that are bearable. PCs do not say it:
    it is seen here, also of those that are silent."""
    if not enabled():
        return Volume.objects.none()
    since = working_days_before(now, settings.REPLICA_PATIENCE_DAYS)
    never = Q(replica=None) | Q(replica__last_good_at=None)
    rows = Volume.objects.filter(client__state=Client.State.APPROVED)
    return rows.filter(Q(replica__last_good_at__lt=since) | (never & Q(created_at__lt=since)))


def working_days_before(now: datetime, days: int) -> datetime:
    """The same time of the day, so many working days earlier."""
    today = timezone.localtime(now).date()
    return now - (today - workdays.before(today, days))


def no_nas() -> Refusal:
    return Refusal(
        "no_nas", _("No replicas are made here: set OPENVRAS_NAS_URL and OPENVRAS_GATEWAY_URL."), status=503
    )


def _due(volume: Volume, *, now: datetime) -> Occasion | None:
    last = ReplicationRun.objects.filter(replica__volume=volume).order_by("-asked_at").first()
    if last is None:
        return Occasion.SCHEDULE if volume.told else None
    if last.ended_at is None:
        return None
    if last.state == State.DONE:
        return Occasion.SCHEDULE if now - last.asked_at >= settings.REPLICA_EVERY else None
    cut = last.state == State.CUT_OFF
    wait = RESUME_AFTER if cut else FAILED_AFTER
    if now - last.ended_at < wait:
        return None
    return Occasion.RESUME if cut else Occasion.SCHEDULE


def _slot(volume: Volume) -> timedelta:
    """Its place among all: always the same, so that no two sweeps make a storm."""
    seconds = max(1, int(settings.REPLICA_SPREAD.total_seconds()))
    return timedelta(seconds=int.from_bytes(hashlib.sha256(volume.pk.bytes).digest()[:4], "big") % seconds)


def _ask(
    replica: Replica, occasion: Occasion, *, not_before: datetime | None, now: datetime
) -> ReplicationRun | None:
    """None: one is asked for, or under way, already."""
    try:
        with transaction.atomic():
            run = ReplicationRun.objects.create(
                replica=replica, occasion=occasion, not_before=not_before, asked_at=now
            )
            auditing.record("replicationrun.waiting", run, after={"occasion": occasion})
    except IntegrityError:
        return None
    _tell(replica.volume)
    return run


def _run_of(volume: Volume, request: ReplicationKeyRequest, *, now: datetime) -> ReplicationRun:
    replica = passwords.replica_of(volume)
    current = ReplicationRun.objects.current().filter(replica=replica).select_related("replica__volume")
    if request.run:
        run = current.filter(pk=_uuid(request.run)).first()
        if run is None:
            raise _no_run()
        return run
    found = current.first() or _ask(replica, Occasion(request.occasion), not_before=None, now=now)
    if found is None:  # somebody else's, this very moment
        raise _no_run()
    return found


def _resumed(volume: Volume, request: ReplicationKeyRequest, *, now: datetime) -> ReplicationRun:
    """The run that goes on where one was cut off, or was itself cut off by the PC's end."""
    if Opening.objects.current().filter(volume=volume).exists():
        raise Refusal("volume_open", _("This volume is open: it is copied as it is, by its own key."))
    rows = ReplicationRun.objects.filter(replica__volume=volume).select_related("replica__volume")
    run = rows.current().filter(pk=_uuid(request.run)).first() if request.run else rows.current().first()
    last = rows.order_by("-asked_at").first()
    if run is None and not request.run and last is not None and last.state == State.CUT_OFF:
        run = _ask(last.replica, Occasion.RESUME, not_before=None, now=now)
    if run is None or not (run.occasion == Occasion.RESUME or run.begun_at is not None):
        raise _no_run()
    return run


def _begin(run: ReplicationRun, *, now: datetime) -> None:
    """A PC that asks again for the same run (it was killed meanwhile) is answered again. Raises Busy."""
    with transaction.atomic():
        tending.let_copy(run.replica, now=now)
        if run.state == State.WAITING:
            run.move(State.RUNNING, begun_at=now, heard_at=now)
        else:
            ReplicationRun.objects.filter(pk=run.pk).update(heard_at=now)
            auditing.record("replicationrun.key_given_again", run)
    _show(run.replica.volume)


def _hear(run: ReplicationRun, told: RunReport, *, now: datetime) -> None:
    ReplicationRun.objects.filter(pk=run.pk).update(told=msgspec.to_builtins(told), heard_at=now)
    run.told = msgspec.to_builtins(told)
    if told.state in ENDED:
        _end(run, ENDED[told.state], reason=told.code or "pc_said", now=now)
    elif told.state == RunState.DONE:
        _done(run, told, now=now)
    else:
        _show(run.replica.volume)


def _done(run: ReplicationRun, told: RunReport, *, now: datetime) -> None:
    if not told.snapshot or not run.manifest or run.manifest != told.manifest:
        _end(run, State.FAILED, reason="no_manifest", now=now)
        return
    with transaction.atomic():
        _end(run, State.DONE, reason="", now=now)
        Replica.objects.filter(pk=run.replica_id).update(
            last_good_at=run.begun_at,  # what was written later may not be in it
            snapshot=told.snapshot[:64],
            manifest=run.manifest,
            files=run.files,
            total_bytes=max(0, told.total_bytes),
        )


def _end(run: ReplicationRun, state: str, *, reason: str, now: datetime) -> None:
    with suppress(WrongState):
        run.move(state, reason=reason[:40], ended_at=now)
        ReplicationRun.objects.filter(pk=run.pk).update(reason=reason[:40])
        run.reason = reason[:40]
    _tell(run.replica.volume)


def _uuid(text: str) -> uuid.UUID:
    """What is no name is nobody's."""
    try:
        return uuid.UUID(text)
    except ValueError:
        return uuid.UUID(int=0)


def _no_run() -> Refusal:
    return Refusal("no_such_run", _("Nothing of this kind is to be copied now. Look again."))


def _tell(volume: Volume) -> None:
    nudge.node(volume.client)
    _show(volume)


def _show(volume: Volume) -> None:
    pages = ("volumes", f"volume.{volume.pk}", f"client.{volume.client_id}", f"my.{volume.owner_id}")
    nudge.pages(*pages)

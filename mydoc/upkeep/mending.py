"""What is put in order on the NAS itself, for the gateway forbids it to PCs: indexes of runs that were cut
off, locks of the dead, and packs that are not any more what was stored.

A pack's name is the hash of its content. So what restic takes for damaged is read once more here before it is
touched: a NAS that goes away in the middle of a check damages nothing.
"""

import json
import logging
import re
import socket
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from django.utils.translation import gettext_lazy as _

from mydoc.models import Replica, ReplicaAlarm, ReplicationRun, Upkeep
from mydoc.nas import fileserver
from mydoc.replicas import alarming, repositories, tending
from mydoc.replicas.repositories import Repository, Said

if TYPE_CHECKING:
    from django.db.models import QuerySet

log = logging.getLogger("openvras.mydoc")

DEAD_AFTER = timedelta(minutes=12)  # restic writes a lock anew every five minutes, under another name
INDEX_S = 3600.0
ASIDE = ".openvras-set-aside"
PACK = re.compile(r"\b(?:want|pack) ([0-9a-f]{64})\b")
State = ReplicationRun.State


def due(replica: Replica, *, now: datetime) -> bool:
    """Whether a run was cut off since the index was put in order."""
    return _cut_off(replica).exists() and not tending.rests(replica, Upkeep.Kind.MENDING, now=now)


def mend(replica: Replica, *, now: datetime) -> Upkeep:
    """After a run that was cut off: what it sent is in no index, so that the next would send it again.

    Raises Refusal: copying, repository_locked, …
    """
    with tending.tending(replica, Upkeep.Kind.MENDING, now=now) as act:
        runs = list(_cut_off(replica).values_list("pk", flat=True))
        try:
            act.found["locks"] = lift_dead_locks(replica, now=now)
            index(repositories.of(replica), act)
        except repositories.RepositoryFailed as failed:
            if failed.code != "no_repository":  # it was cut off before there was one
                raise
        ReplicationRun.objects.filter(pk__in=runs).update(mended_at=now)
        act.found["runs"] = len(runs)
    return act.row


def index(repository: Repository, act: tending.Act) -> None:
    """What is stored is in an index again, and what is not there is in none."""
    repositories.run(repository, "rebuild-index", limit_s=INDEX_S, alive=act.alive)


def lift_dead_locks(replica: Replica, *, now: datetime) -> int:
    """Lifts locks of which it is sure that nobody holds them; how many. Call it while nothing else is done
    with this replica.

    Sure is what this server left behind itself, and what nobody wrote anew for long while no run goes on.
    Raises Busy(repository_locked) when any other lock is there.
    """
    repository = repositories.of(replica)
    names = repositories.run(repository, "--no-lock", "list", "locks").out.split()
    known = {name: replica.locks.get(name, now.isoformat()) for name in names}
    Replica.objects.filter(pk=replica.pk).update(locks=known)
    replica.locks = known
    alive = [name for name in names if not _is_dead(repository, name, known[name], now=now)]
    if alive:
        raise tending.Busy("repository_locked", _("Somebody works on this replica on the NAS. Later again."))
    if names:
        repositories.run(repository, "unlock", "--remove-all")
        log.info("%s: %d dead locks lifted", replica, len(names))
    return len(names)


def damaged_in(repository: Repository, said: Said) -> list[str]:
    """Which of the packs that restic complains of are really not what their names say. Raises NasFailed when
    one cannot be read for another reason."""
    suspects = dict.fromkeys(PACK.findall(said.complaints))
    return [
        pack for pack in suspects if fileserver.digest(repository.place, _where(repository, pack)) != pack
    ]


def set_aside(replica: Replica, packs: list[str], *, now: datetime) -> Upkeep:
    """Takes damaged packs out of the way, so that the PC sends again with its next copy what was in them.

    Nothing is deleted: what can still be read of them lies in a folder beside. Raises Refusal: copying, …
    """
    with tending.tending(replica, Upkeep.Kind.MENDING, now=now) as act:
        repository = repositories.of(replica)
        lift_dead_locks(replica, now=now)
        for pack in packs:
            aside = f"{ASIDE}/{repository.name}/{pack}"
            fileserver.move(repository.place, _where(repository, pack), aside)
            act.alive()
        index(repository, act)
        act.found["set_aside"] = len(packs)
        found = {"set_aside": packs[:50], "set_aside_at": now.isoformat()}
        alarming.raise_alarm(replica, ReplicaAlarm.Kind.DAMAGED, found=found, now=now)
    return act.row


def _cut_off(replica: Replica) -> "QuerySet[ReplicationRun]":
    rows = ReplicationRun.objects.filter(replica=replica, state__in=(State.CUT_OFF, State.FAILED))
    return rows.filter(mended_at=None).exclude(begun_at=None)


def _is_dead(repository: Repository, name: str, seen: str, *, now: datetime) -> bool:
    if now - datetime.fromisoformat(seen) >= DEAD_AFTER:
        return True
    try:
        told = json.loads(repositories.run(repository, "--no-lock", "cat", "lock", name).out)
    except (repositories.RepositoryFailed, ValueError):
        return False
    return bool(told.get("hostname") == socket.gethostname())


def _where(repository: Repository, pack: str) -> str:
    return f"{repository.name}/data/{pack[:2]}/{pack}"

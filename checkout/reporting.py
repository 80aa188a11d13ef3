"""The dossier of a lost PC: what was on it, whether anybody could read it, and what nobody knows. What was
lent then is told by `lentthen`.

It says what the rows say, each with its time, and what they do not say it calls unknown: never hidden, never
guessed. Facts come as words in the reader's language, so that page, CSV and PDF are the same report. Files
come as a stream: there may be a million. Nothing here decides or changes anything.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec
from django.utils.dateparse import parse_datetime
from django.utils.functional import Promise
from django.utils.translation import gettext as _

from checkout import lentthen
from checkout.facts import Fact, Table, when
from checkout.lentthen import Lent
from clients.models import Client, Event
from clients.people import calling
from mydoc import bytepaths
from mydoc.models import Look, Loss, Opening, Volume
from mydoc.replicas import lastreplica
from mydoc.replicas.lastreplica import KeptFile, LastReplica
from mydoc.templatetags.losses import ORDERS
from mydoc.templatetags.userdata import ACTS
from mydoc.volumes import standing
from vrasnode.wire import mydoc as wire
from vrasnode.wire.checkout import SESSION

LATELY = timedelta(days=30)
MOST_ROWS = 500  # of logons and of looks, of each volume
OPEN_THEN = {wire.VolumeState.OPEN, wire.VolumeState.OPENING, wire.VolumeState.LOCKING}


@dataclass(frozen=True)
class VolumeReport:
    """Of one volume. `replica` is None where there is none."""

    volume: Volume
    title: str
    facts: tuple[Fact, ...]
    tables: tuple[Table, ...]
    replica: LastReplica | None
    before: datetime

    def files(self) -> Iterator[KeptFile]:
        """Everything in the last replica."""
        return lastreplica.files(self.volume, before=self.before)


@dataclass(frozen=True)
class Section:
    title: str
    facts: tuple[Fact, ...]


@dataclass(frozen=True)
class Dossier:
    """The whole report, in the language that was active when it was made."""

    loss: Loss
    client: Client
    made_at: datetime
    sections: tuple[Section, ...]
    volumes: tuple[VolumeReport, ...]

    @property
    def title(self) -> str:
        return _("Loss dossier: %(pc)s") % {"pc": self.client}


def dossier(loss: Loss, *, now: datetime) -> Dossier:
    """What is known of a loss by now."""
    client = loss.client
    volumes = list(Volume.objects.filter(client=client).select_related("owner", "client").order_by("pk"))
    then = {str(one.get("volume")): one for one in loss.then}
    deleted = _deletions(volumes)
    since = loss.declared_at - LATELY
    opened = Opening.objects.filter(volume__in=volumes, asked_at__gte=since)
    logons = _by_volume(opened.order_by("-asked_at"))
    looks = _by_volume(Look.objects.filter(volume__in=volumes, at__gte=since).order_by("-at"))
    replicas = lastreplica.newest(volumes, before=loss.declared_at)
    lent = lentthen.of_each(volumes, loss=loss, since=since)
    return Dossier(
        loss=loss,
        client=client,
        made_at=now,
        sections=(
            Section(_("The PC"), _pc(client)),
            Section(_("How it was lost"), _happened(loss)),
            Section(_("Protection"), _protection(client)),
        ),
        volumes=tuple(
            _volume(
                volume,
                loss,
                then.get(str(volume.pk)),
                deleted=deleted.get(str(volume.pk)),
                lent=lent[volume.pk],
                tables=(_logons(logons.get(volume.pk, [])), _looks(looks.get(volume.pk, []))),
                replica=replicas.get(volume.pk),
            )
            for volume in volumes
        ),
    )


def _pc(client: Client) -> tuple[Fact, ...]:
    facts = client.host_facts()
    user = client.assigned_user
    return (
        Fact(_("Name"), client.name),
        Fact(_("Model"), (facts and facts.platform and facts.platform.model) or _("unknown")),
        Fact(_("Host name"), facts.hostname if facts else _("unknown")),
        Fact(_("Group"), str(client.group or "–")),
        Fact(_("Given to"), calling.name_of(user) if user else _("nobody")),
        Fact(_("State now"), str(client.get_state_display())),
    )


def _happened(loss: Loss) -> tuple[Fact, ...]:
    order = ORDERS[loss.order][1]
    unread = loss.acknowledged.get("unread", 0)
    obeyed = (
        _("%(when)s; %(count)s volumes, %(unread)s seen to be unreadable afterwards")
        % {
            "when": when(loss.acknowledged_at),
            "count": len(loss.acknowledged.get("volumes", [])),
            "unread": unread,
        }
        if loss.acknowledged_at
        else _("not yet, perhaps never")
    )
    return (
        Fact(_("Declared lost"), f"{when(loss.declared_at)}, {loss.declared_by}"),
        Fact(_("Reason"), loss.reason),
        Fact(_("Seen last, by who had it"), " ".join(filter(None, [when(loss.seen_at), loss.seen_where]))),
        Fact(_("Last contact with the server"), when(loss.last_contact)),
        Fact(_("Order to throw the keys away"), str(order), grave=loss.order in ("queued", "handed_out")),
        Fact(_("Obeyed by the PC"), obeyed, grave=loss.acknowledged_at is None),
        Fact(
            _("Server's halves of the keys"),
            _("deleted %(when)s") % {"when": when(loss.halves_deleted_at)}
            if loss.halves_deleted_at
            else _("kept until %(when)s, then deleted") % {"when": when(loss.halves_until)},
        ),
        *(
            [Fact(_("Found again"), f"{when(loss.ended_at)}, {loss.ended_by}: {loss.ended_reason}")]
            if loss.ended_at
            else []
        ),
    )


def _protection(client: Client) -> tuple[Fact, ...]:
    facts = client.host_facts()
    platform = facts.platform if facts else None
    tpm, disk = (platform.tpm, platform.encrypted_state) if platform else (None, None)
    return (
        Fact(_("Encryption of user data"), _("LUKS1, AES-256-XTS, a volume for each user")),
        Fact(
            _("Keys"),
            _("in two halves, one on the PC and one on the server; neither gives anything away alone"),
        ),
        Fact(
            _("The PC's halves"),
            _("sealed by its TPM %(version)s") % {"version": tpm}
            if tpm
            else _("on its disk: no TPM is known of"),
            grave=tpm is None,
        ),
        Fact(_("Disk below them encrypted"), _yes_no(disk), grave=disk is not True),
        Fact(_("Secure Boot"), _yes_no(platform.secure_boot if platform else None)),
    )


def _volume(
    volume: Volume,
    loss: Loss,
    stood: dict[str, Any] | None,
    *,
    deleted: datetime | None,
    lent: Lent,
    tables: tuple[Table, ...],
    replica: LastReplica | None,
) -> VolumeReport:
    owner = calling.name_of(volume.owner)
    told = _told((stood or {}).get("told"))
    told_at = parse_datetime((stood or {}).get("told_at") or "")
    return VolumeReport(
        volume=volume,
        title=_("Data of %(owner)s") % {"owner": owner},
        facts=(
            Fact(_("Volume"), f"{volume.pk} (LUKS {volume.luks_uuid or '–'})"),
            *_readable(told, told_at, stood or {}),
            *lent.facts,
            *_known(volume, loss, replica),
            Fact(
                _("Server's half of the key"),
                _half(volume, deleted),
            ),
            Fact(
                _("Recovery"),
                _("by the two custodians together: %(who)s") % {"who": ", ".join(volume.recovery_custodians)}
                if volume.recovery
                else _("no recovery key was deposited"),
            ),
        ),
        tables=(*tables, lent.table),
        replica=replica,
        before=loss.declared_at,
    )


def _readable(told: wire.VolumeReport | None, told_at: datetime | None, stood: dict[str, Any]) -> list[Fact]:
    """Whether anybody who held the PC could read it."""
    if told is None:
        return [Fact(_("State at the last contact"), _("unknown: the PC never told"), grave=True)]
    is_open = told.state in OPEN_THEN
    state = str(standing.STATES[told.state.value])
    facts = [Fact(_("State at the last contact"), f"{state} ({when(told_at)})", grave=is_open)]
    if is_open:
        facts.append(Fact(_("Readable then"), _open_then(told), grave=True))
    if stood.get("opening"):
        logon = when(parse_datetime(stood.get("logged_on_at") or ""))
        facts.append(Fact(_("Logon at that time"), f"{logon}, {stood.get('address') or '–'}"))
    proof = told.proof
    if proof is None:
        facts.append(Fact(_("Proof of the last lock"), _("none"), grave=True))
    else:
        seen = _("a read failed afterwards") if proof.read_failed else _("a read did not fail")
        gone = _("its daemon was gone") if proof.daemon_gone else _("its daemon was not gone")
        why = standing.reason_words(proof.reason)
        words = f"{when(told.since)}: {why}; {seen}; {gone}; {proof.seconds:.1f} s"
        facts.append(Fact(_("Proof of the last lock"), words, grave=not proof.read_failed))
    return facts


def _open_then(told: wire.VolumeReport) -> str:
    """What was open locks by itself, sooner or later."""
    if told.session.startswith(SESSION):
        return _(
            "It was open by its usage key when the PC was heard last. It locks by itself when the key's time "
            "is over, and when the PC is shut down; of that there is no proof here."
        )
    return _(
        "It was open when the PC was heard last. It locks by itself 70 seconds after the PC leaves the "
        "company's network, and when it is shut down; of that there is no proof here."
    )


def _known(volume: Volume, loss: Loss, replica: LastReplica | None) -> list[Fact]:
    """What is known of its content, and since when nothing is."""
    used = int(volume.told.get("used_bytes") or 0)
    if replica is None:
        return [
            Fact(_("Last replica"), _("no replica: everything on the PC is unknown"), grave=True),
            Fact(
                _("Unknown"),
                _("all that was written from %(begin)s until it is found")
                % {"begin": when(volume.created_at)},
                grave=True,
            ),
            Fact(_("Used, as the PC told last"), _bytes(used)),
        ]
    unread = _("%(count)s files or folders: what they held then is known to nobody")
    not_read = Fact(
        _("Could not be read when it was copied"), unread % {"count": replica.unreadable}, grave=True
    )
    return [
        Fact(
            _("Last replica"),
            _("%(when)s: %(files)s files, %(size)s")
            % {"when": when(replica.at), "files": replica.files, "size": _bytes(replica.size_bytes)},
        ),
        Fact(
            _("Unknown"),
            _("all that was written from %(begin)s until it is found") % {"begin": when(replica.at)},
            grave=True,
        ),
        *([not_read] if replica.unreadable else []),
    ]


def _half(volume: Volume, deleted: datetime | None) -> str:
    if volume.server_half is not None:
        return _("kept, and not given to this PC")
    return _("deleted %(when)s") % {"when": when(deleted)} if deleted else _("none")


def _logons(rows: list[Opening]) -> Table:
    return Table(
        _("Logons of the 30 days before"),
        (_("Logged on"), _("Address"), _("Key given"), _("Locked"), _("Why")),
        tuple(
            (
                when(row.asked_at),
                row.address or "–",
                when(row.opened_at),
                when(row.closed_at),
                standing.reason_words(row.reason) if row.reason else "–",
            )
            for row in rows[:MOST_ROWS]
        ),
        more=len(rows) > MOST_ROWS,
    )


def _looks(rows: list[Look]) -> Table:
    return Table(
        _("Who looked in the 30 days before"),
        (_("Time"), _("Who"), _("Act"), _("On what"), _("Reason")),
        tuple(
            (
                when(row.at),
                row.by,
                str(ACTS.get(row.act, row.act)),
                bytepaths.shown(bytes(row.path)) or _("Everything"),
                row.reason,
            )
            for row in rows[:MOST_ROWS]
        ),
        more=len(rows) > MOST_ROWS,
    )


def _by_volume(rows: Iterable[Any]) -> dict[Any, list[Any]]:
    found: dict[Any, list[Any]] = {}
    for row in rows:
        listed = found.setdefault(row.volume_id, [])
        if len(listed) <= MOST_ROWS:
            listed.append(row)
    return found


def _deletions(volumes: list[Volume]) -> dict[str, datetime]:
    """When the server's halves were deleted, by what the audit log says."""
    keys = [str(volume.pk) for volume in volumes]
    rows = Event.objects.filter(verb="volume.half_deleted", object_id__in=keys)
    return dict(rows.values_list("object_id", "at"))


def _told(stored: object) -> wire.VolumeReport | None:
    try:
        return msgspec.convert(stored, wire.VolumeReport)
    except msgspec.ValidationError:  # of another version of the product, or nothing
        return None


def _yes_no(known: bool | None) -> str:
    words: dict[bool | None, str | Promise] = {True: _("yes"), False: _("no"), None: _("unknown")}
    return str(words[known])


def _bytes(count: int) -> str:
    from django.template.defaultfilters import filesizeformat

    return f"{filesizeformat(count)} ({count:,} B)"

"""What ends open user data while nobody asks: the one sweep over all openings. Safe to run twice, or never.

The directory is asked for what changed since the last time, so that the cost does not grow with the accounts:
who changed is looked at again at once, everybody when groups did or another controller answers, and some of
the others each time, for what the server's account is not shown. A directory that does not answer changes
nothing: how long data stays open then is the PC's own rule. It is said on home, and once in the log.
"""

import logging
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import F, Q
from ldap.ldapobject import LDAPObject

from clients import presence
from clients.people import directory
from clients.people.directory import DirectoryFailed, Position
from clients.people.directorysettings import DirectorySettings
from clients.people.rolenames import Role
from clients.presence import Presence
from mydoc.models import DirectoryWatch, Opening, OpeningQuerySet
from mydoc.volumes import accounts, unlocking

log = logging.getLogger("openvras.mydoc")

ROTATION = 100  # openings looked at again in each sweep though nothing speaks for it
PAUSE = timedelta(minutes=1)  # between sweeps: after a longer one PCs get time before they count as silent
PATIENCE = timedelta(minutes=2)
CLOCK_BEARS = timedelta(minutes=5)  # Kerberos proves nothing beyond (RFC 4120 §3.2.3)


def watch(*, now: datetime) -> int:
    """Closes what must not be open any longer; returns how many that were."""
    row, _new = DirectoryWatch.objects.get_or_create(pk=1)
    place: DirectorySettings | None = settings.DIRECTORY
    closed = _watch_rows(now) + _watch_pcs(row, now)
    if place is None:
        closed += _watch_local(now)
        DirectoryWatch.objects.filter(pk=row.pk).update(checked_at=now, trouble="", trouble_since=None)
        return closed
    try:
        return closed + _watch_directory(row, place, now)
    except DirectoryFailed as failed:
        _note(row, failed, now)
        return closed


def trouble() -> DirectoryWatch | None:
    """Since when the directory has not answered, and why (a code); None while it does."""
    return DirectoryWatch.objects.exclude(trouble="").first() if settings.DIRECTORY else None


def clock_off_s() -> int:
    """Our clock less the directory's, as long as that keeps logons from being proven; else 0."""
    row = DirectoryWatch.objects.first() if settings.DIRECTORY else None
    return row.clock_off_s if row else 0


def _open_ones() -> OpeningQuerySet:
    return Opening.objects.current().select_related("volume__owner__directory_user", "volume__client")


def _watch_rows(now: datetime) -> int:
    """What our own rows say: keys that nobody fetched, accounts that expire, that are switched off here."""
    ends = {
        "not_fetched": Q(state=Opening.State.ASKED, asked_at__lte=now - settings.LOGON_LIFE),
        accounts.No.EXPIRED.value: Q(expires_at__lte=now),
        accounts.No.SWITCHED_OFF.value: Q(volume__owner__is_active=False),
    }
    return sum(
        unlocking.close(opening, reason=reason, now=now)
        for reason, ended in ends.items()
        for opening in _open_ones().filter(ended)
    )


def _watch_pcs(row: DirectoryWatch, now: datetime) -> int:
    """PCs that were last heard from outside the company, or not at all for long: they locked themselves."""
    if row.checked_at is None or now - row.checked_at > PAUSE or row.begun_at is None:
        row.begun_at = now
        DirectoryWatch.objects.filter(pk=row.pk).update(begun_at=now)
    closed = 0
    for opening, heard in _heard(Q(volume__client__in=presence.outside()), now):
        if heard.outside and heard.seen and heard.seen > opening.asked_at:
            closed += unlocking.close(opening, reason="left_the_lan", now=now)
    if now - row.begun_at < PATIENCE:
        return closed
    limit = now - settings.OPEN_SILENCE
    # The rows hear of heartbeats once a minute: who they say was heard lately was.
    kept = Q(volume__client__last_seen=None) | Q(volume__client__last_seen__lt=limit)
    for opening, heard in _heard(kept & Q(asked_at__lt=limit), now):
        if heard.seen is None or heard.seen < limit:
            closed += unlocking.close(opening, reason="pc_silent", now=now)
    return closed


def _heard(which: Q, now: datetime) -> list[tuple[Opening, Presence]]:
    rows = list(_open_ones().filter(which))
    heard = presence.of({opening.volume.client for opening in rows}, now=now)
    return [(opening, heard[opening.volume.client.pk]) for opening in rows]


def _watch_local(now: datetime) -> int:
    closed = 0
    for opening in _open_ones():
        found = accounts.of_row(opening.volume.owner)
        if found.no is not None:
            closed += unlocking.close(opening, reason=found.no, now=now)
    return closed


def _watch_directory(row: DirectoryWatch, place: DirectorySettings, now: datetime) -> int:
    closed = 0
    for opening in _open_ones().filter(volume__owner__directory_user=None):
        closed += unlocking.close(opening, reason=accounts.No.LOCAL, now=now)
    with directory.asked(place) as link:
        at = directory.position(link)
        _mark(row, place, at, link)
        _compare(row, at, now)
        employees = accounts.employees(link, place)
        for opening in _due(now):
            guid = accounts.guid_of(opening.volume.owner)
            assert guid is not None  # noqa: S101  (local ones were closed)
            person = directory.find_again(link, place, guid)
            found = accounts.of_person(person, employees, link, now=now)
            if found.no is not None:
                closed += unlocking.close(opening, reason=found.no, now=now)
            else:
                Opening.objects.filter(pk=opening.pk).update(checked_at=now, expires_at=found.expires)
    if row.trouble:
        log.info("the directory answers again; it did not since %s", row.trouble_since)
    DirectoryWatch.objects.filter(pk=row.pk).update(checked_at=now, trouble="", trouble_since=None)
    return closed


def _compare(row: DirectoryWatch, at: Position, now: datetime) -> None:
    """Whether our clock is the directory's. Nothing closes for it: tickets alone are judged by clocks."""
    off = now - at.time if at.time else timedelta(0)
    off_s = round(off.total_seconds()) if abs(off) > CLOCK_BEARS else 0
    if off_s and not row.clock_off_s:
        log.error("this server's clock is %d s away from the directory's: no logon can be proven", off_s)
    if off_s != row.clock_off_s:
        DirectoryWatch.objects.filter(pk=row.pk).update(clock_off_s=off_s)


def _mark(row: DirectoryWatch, place: DirectorySettings, at: Position, link: LDAPObject) -> None:
    """Takes the mark of having been checked from whom changes may be about. Only then the place in the
    changes is kept: a kill between the two repeats, and never skips."""
    if at.controller == row.controller and at.usn == row.usn:
        return
    if at.controller != row.controller or at.usn < row.usn:
        _open_ones().update(checked_at=None)
    else:
        since = Position(controller=row.controller, usn=row.usn, base=at.base)
        found = directory.changes(link, since, group=place.roles.get(Role.EMPLOYEE, ""))
        whom = Opening.objects.current()
        if not (found.everything or found.groups):
            whom = whom.filter(volume__owner__directory_user__guid__in=found.people)
        whom.update(checked_at=None)
    DirectoryWatch.objects.filter(pk=row.pk).update(controller=at.controller, usn=at.usn)


def _due(now: datetime) -> list[Opening]:
    rows = _open_ones().exclude(volume__owner__directory_user=None)
    marked = list(rows.filter(checked_at=None))
    older = rows.filter(checked_at__lt=now).order_by(F("checked_at"))
    return marked + list(older[:ROTATION])


def _note(row: DirectoryWatch, failed: DirectoryFailed, now: datetime) -> None:
    """The PCs' silence is measured on, for they speak to us and not to the directory."""
    fields: dict[str, object] = {"checked_at": now}
    if not row.trouble:
        fields["trouble_since"] = now
        log.warning("the directory does not answer, what is open stays open: %s", failed)
    DirectoryWatch.objects.filter(pk=row.pk).update(trouble=failed.code, **fields)

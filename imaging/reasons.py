"""Why a PC did not get a version, and what to do about it: by the code that it reported, in the reader's
language. A code that is not here is shown with the PC's own words."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.utils.formats import date_format
from django.utils.timezone import localtime
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from imaging.models import LOST, NO_CONTACT, QUIET, REVOKED, Delivery, Distribution

_DISK = gettext_lazy("See to the disk of this PC, then send the version again.")
_SEND = gettext_lazy("Send the version again.")
_VERSION = gettext_lazy("Try the version on one PC, mend it and publish it anew; or roll back.")
_CLOCK = gettext_lazy("Check the clock and the keys of the installation, then send the version again.")

WORDS: dict[str, tuple[Any, Any]] = {
    "superseded": (gettext_lazy("A later distribution to this PC replaced it."), ""),
    "cancelled": (gettext_lazy("The distribution was cancelled."), ""),
    REVOKED: (
        gettext_lazy("The PC was revoked."),
        gettext_lazy("Enrol it anew if it is to have versions again."),
    ),
    LOST: (gettext_lazy("The PC was declared lost."), ""),
    "disk_full": (
        gettext_lazy("The disk of this PC is full."),
        gettext_lazy("Make room on it, then send the version again."),
    ),
    "disk_read_only": (gettext_lazy("The disk of this PC can only be read."), _DISK),
    "disk_failed": (gettext_lazy("The disk of this PC reports errors."), _DISK),
    "pointer_unreadable": (
        gettext_lazy("The PC's record of what it starts cannot be read."),
        gettext_lazy("Restore it, or enrol the PC anew."),
    ),
    "overlay_failed": (gettext_lazy("No disk could be made over the version."), _DISK),
    "storage_daemon_failed": (gettext_lazy("The PC's storage service ended."), _SEND),
    "storage_daemon_stuck": (gettext_lazy("The PC's storage service does not answer."), _SEND),
    "no_answer": (gettext_lazy("The machine did not answer after its start, in three starts."), _VERSION),
    "unhealthy": (gettext_lazy("The health command did not succeed, in three starts."), _VERSION),
    "ended_early": (gettext_lazy("The machine ended soon after its start, three times."), _VERSION),
    "wrong_bytes": (
        gettext_lazy("The server sent wrong bytes again and again."),
        gettext_lazy("Check the store of the server, then send the version again."),
    ),
    "bad_frame": (gettext_lazy("What the server sent cannot be unpacked."), _SEND),
    "bad_frame_map": (gettext_lazy("The server's list of frames is wrong."), _SEND),
    "bad_manifest": (gettext_lazy("The manifest of the version is damaged."), _VERSION),
    "wrong_manifest": (gettext_lazy("The server's manifest is that of another version."), _SEND),
    "unsigned_manifest": (gettext_lazy("The version is not signed."), _VERSION),
    "unknown_key": (gettext_lazy("It is signed by a key that this installation does not know."), _CLOCK),
    "wrong_key": (gettext_lazy("The signature is wrong."), _CLOCK),
    "key_expired": (gettext_lazy("The key that signed it has expired."), _CLOCK),
    "assignment_expired": (gettext_lazy("The assignment has expired: the PC was off for too long."), _SEND),
    "lower_serial": (gettext_lazy("The PC has a later assignment than the server knows."), _SEND),
    "serial_reused": (gettext_lazy("This assignment named another version before."), _SEND),
    "not_ours": (gettext_lazy("The assignment was made for another PC."), _SEND),
    "wrong_machine": (gettext_lazy("The assignment is for the PC's other machine."), _SEND),
    "no_ranges": (
        gettext_lazy("Something between PC and server does not let parts of files through."),
        gettext_lazy("Check proxies and the web server in front, then send the version again."),
    ),
    "pass_through_failed": (
        gettext_lazy("A device could not be passed through."),
        gettext_lazy("See the devices on the PC's page."),
    ),
}


@dataclass(frozen=True)
class Reason:
    """`code` and `words` say why; `remedy` what to do next, "" where nothing has to be done."""

    code: str
    words: str
    remedy: str = ""


def why(delivery: Delivery, *, now: datetime) -> Reason | None:
    """Why this PC has not come to its end, or how it failed; None when all goes well."""
    if delivery.code:
        return _reported(delivery)
    return _waits(delivery, now) if delivery.state in Delivery.OPEN else None


def gathered(distribution: Distribution, *, now: datetime) -> list[tuple[Reason, int]]:
    """Why PCs are stuck, each reason once with how many they are, the most first."""
    rows = distribution.deliveries.all().stuck(now).select_related("distribution").defer("assignment")
    found = Counter(reason for row in rows.iterator() if (reason := why(row, now=now)))
    return found.most_common()


def _waits(delivery: Delivery, now: datetime) -> Reason | None:
    if delivery.paused_at is not None:
        return Reason("paused", _("Somebody paused this PC."), _("Let it go on."))
    if delivery.held:
        return Reason("not_now", _("Its site or the distribution lets no PC fetch at this hour."))
    if delivery.state == Delivery.State.STAGED:
        return _staged(delivery)
    if delivery.released_at is None:
        return Reason("not_its_turn", _("waits for its turn"))
    return _is_late(delivery, now)


def _is_late(delivery: Delivery, now: datetime) -> Reason | None:
    """Though it may fetch."""
    if delivery.distrusted_at is not None:
        words = _("It gave other PCs wrong bytes, so it gets the version from the server, after them.")
        return Reason("comes_last", words, _("It goes on by itself. Check its memory and its disk."))
    if delivery.heard_at is not None and now - delivery.heard_at > QUIET:
        return Reason("silent", _("Nothing was heard of it for some minutes."), _("Is it on and connected?"))
    return None


def _reported(delivery: Delivery) -> Reason:
    if delivery.code == NO_CONTACT:
        minutes = int(settings.DELIVERY_SILENCE / timedelta(minutes=1))
        words = _("Nothing was heard of this PC for %(minutes)d minutes. Is it on and connected?")
        return Reason(delivery.code, words % {"minutes": minutes}, _("Switch it on, then send it again."))
    words, remedy = WORDS.get(delivery.code, (delivery.words, ""))
    return Reason(delivery.code, str(words), str(remedy))


def _staged(delivery: Delivery) -> Reason:
    if delivery.postponed_until is not None:
        until = date_format(localtime(delivery.postponed_until), "m/d H:i")
        words = _("Its user has put it off until %(until)s (%(count)d of %(all)d times).")
        told = {"until": until, "count": delivery.postponed, "all": delivery.distribution.postponements}
        return Reason("put_off", words % told)
    return Reason("waits_for_start", _("Ready; waits for the next start of the client VM."))

"""How a volume stands, for people: what its PC told last, and whether that PC is there. Changes nothing."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from django.db.models import F, OuterRef, Prefetch, QuerySet, Subquery
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _

from clients.models import Client
from clients.presence import Presence
from mydoc import bytepaths
from mydoc.models import Opening, Volume
from mydoc.volumes import accounts
from vrasnode import words as pcwords
from vrasnode.wire import mydoc as wire
from vrasnode.wire.checkout import SESSION

STATES = {
    "open": _("unlocked"),
    "opening": _("being unlocked"),
    "locking": _("being locked"),
    "locked": _("locked"),
    "broken": _("damaged"),
    "absent": _("not made yet"),
    "off": _("PC off"),
}
REASONS = {
    "server_said": _("the server said so"),
    "left_the_lan": _("the PC left the company's network"),
    "server_silent": _("the server was silent for too long"),
    "machine_off": _("the PC was shut down"),
    "by_hand": _("an administrator locked it"),
    "logged_off": _("the user logged off"),
    "logged_on_again": _("the user logged on again"),
    "half_deleted": _("the server's half of the key was deleted"),
    "pc_silent": _("the PC was silent for too long"),
    "pc_revoked": _("the PC was revoked"),
    "pc_lost": _("the PC was declared lost"),
    "pc_away": _("the PC was away for too long"),
    "pc_locked": _("the PC locked it"),
    "period_over": _("the usage key's period was over"),
    "budget_over": _("the usage key's hours were used up"),
    "returned": _("the usage key was returned"),
    "withdrawn": _("the usage key was withdrawn"),
    "replaced": _("another usage key took its place"),
    "clock_set_back": _("the PC's clock had been set back"),
}


@dataclass(frozen=True)
class Standing:
    """One volume as a page shows it. `since` and `why` are of the state."""

    volume: Volume
    heard: Presence | None
    state: str
    told: wire.VolumeReport | None
    since: datetime | None = None
    why: str = ""

    @property
    def words(self) -> Any:
        return STATES[self.state]

    @property
    def open(self) -> bool:
        return self.state == "open"

    @property
    def replica_at(self) -> datetime | None:
        """The time of its last good replica."""
        at: datetime | None = getattr(self.volume, "replica_at", None)
        return at

    @property
    def seen(self) -> bool:
        """Whether it can be looked into: as it is, or as it was."""
        return self.open or self.replica_at is not None

    @property
    def used_bytes(self) -> int:
        return self.told.used_bytes if self.told else 0

    @property
    def proof(self) -> wire.LockProof | None:
        return self.told.proof if self.told else None


def rows() -> QuerySet[Volume]:
    """Volumes with what `of` needs of each, in as many questions for all as for one."""
    current = Prefetch("openings", Opening.objects.current(), to_attr="current_openings")
    ended = Opening.objects.filter(volume=OuterRef("pk"), state=Opening.State.CLOSED).order_by("-closed_at")
    return (
        Volume.objects.select_related("owner", "client")
        .prefetch_related(current)
        .annotate(last_reason=Subquery(ended.values("reason")[:1]), replica_at=F("replica__last_good_at"))
    )


def told(volume: Volume) -> wire.VolumeReport | None:
    """What the PC said last; None when it said nothing that we can read."""
    try:
        return msgspec.convert(volume.told, wire.VolumeReport)
    except msgspec.ValidationError:  # of another version of the product, or nothing
        return None


def is_open(volume: Volume) -> bool:
    """Whether it may be looked into: somebody is logged on there, and the PC says that it is open."""
    report = told(volume)
    return report is not None and report.state is wire.VolumeState.OPEN and _may_be_open(volume)


def of(volume: Volume, heard: Presence | None) -> Standing:
    """How this volume stands, seen from here."""
    report = told(volume)
    if heard is None or not heard.present or volume.client.state != Client.State.APPROVED:
        return Standing(volume, heard, "off", report, since=heard.seen if heard else None)
    if report is None:
        return Standing(volume, heard, "absent", report)
    state = report.state.value
    if state == "open" and not report.session.startswith(SESSION) and not _may_be_open(volume):
        state = "locking"
    return Standing(volume, heard, state, report, since=report.since, why=_why(volume, report))


def of_each(volumes: list[Volume], heard: Mapping[Any, Presence]) -> list[Standing]:
    """The same for many."""
    return [of(volume, heard.get(volume.client_id)) for volume in volumes]


def off_words(client: Client, heard: Presence) -> Any:
    """That a PC is off, and since when."""
    if heard.seen is None:
        return _("%(pc)s was never heard yet.") % {"pc": client}
    when = date_format(timezone.localtime(heard.seen), "SHORT_DATETIME_FORMAT")
    return _("%(pc)s is off, or not on the network, since %(when)s. Try again when it is on.") % {
        "pc": client,
        "when": when,
    }


def reason_words(code: str) -> str:
    """Why a volume was locked, in words."""
    known: Mapping[str, Any] = {**REASONS, **{str(no): words for no, words in accounts.WORDS.items()}}
    return str(known.get(code) or bytepaths.readable(code, 60))


def _why(volume: Volume, report: wire.VolumeReport) -> str:
    if report.state is wire.VolumeState.BROKEN:
        language = get_language() or "en"
        if not language.startswith("en") and report.code in pcwords.known_codes():
            return pcwords.say(report.code, language)  # the PC's own words are English
        return bytepaths.readable(report.words or report.code, 300)
    if report.state is wire.VolumeState.LOCKED and report.proof:
        code = report.proof.reason
        # The server's own reason says more than that it was the server.
        return reason_words((getattr(volume, "last_reason", "") if code == "server_said" else "") or code)
    return ""


def _may_be_open(volume: Volume) -> bool:
    current = getattr(volume, "current_openings", None)
    if current is None:
        current = volume.openings.filter(state=Opening.State.OPEN)[:1]
    return any(opening.state == Opening.State.OPEN for opening in current)

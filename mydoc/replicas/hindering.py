"""Why a volume has had no good replica for days, and what to do about it: of all causes that the server can
know, the first that holds. Changes nothing.

Who else keeps a PC away joins with `register`: what is lent belongs to no part below it.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Count, Max, Q
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from clients import presence
from clients.presence import Presence
from clients.wifi import networking
from mydoc.models import Lockout, NasLook, Opening, Replica, ReplicationRun, Volume
from mydoc.nas import looking
from mydoc.replicas import replicating
from mydoc.replicas.words import to_do_of, words_of
from vrasnode.wire.network import NetworkReport, WifiState

LATELY = timedelta(days=14)  # runs and refusals from before say nothing of now
SHORT = {"cut_off", "pc_silent", "service_silent", "volume_closed", "volume_locked", "hold_over", "left_now"}
State = ReplicationRun.State


@dataclass(frozen=True)
class Hindrance:
    """What is in the way of one volume's replica, in the reader's language. `code` is stable."""

    code: str
    words: str
    to_do: str


@dataclass(frozen=True)
class Facts:
    """All that is known of one volume without a good replica. `ended` are the runs since the last good one,
    the newest first; `opened_at` and `locked_at` of its last logon."""

    volume: Volume
    replica: Replica | None
    now: datetime
    heard: Presence
    wifi: NetworkReport | None = None
    locked_out: bool = False
    look: NasLook | None = None
    elsewhere: Hindrance | None = None
    current: ReplicationRun | None = None
    ended: Sequence[ReplicationRun] = field(default_factory=tuple)
    is_open: bool = False
    opened_at: datetime | None = None
    locked_at: datetime | None = None

    @property
    def good_at(self) -> datetime | None:
        return self.replica.last_good_at if self.replica else None

    @property
    def refused(self) -> str:
        """Why the server gave no key for a copy, if nothing has come of one since."""
        at = self.replica.refused_at if self.replica else None
        if self.replica is None or at is None or at < self.now - LATELY:
            return ""
        later = self.ended and self.ended[0].ended_at is not None and self.ended[0].ended_at > at
        return "" if later else self.replica.refused

    @property
    def ssid(self) -> str:
        """The Wi-Fi that the PC is on; "": none."""
        return self.wifi.ssid if self.wifi and self.wifi.wifi is WifiState.CONNECTED else ""


Elsewhere = Callable[[Sequence[Volume], datetime], Mapping[UUID, Hindrance]]
_elsewhere: list[Elsewhere] = []


def register(provide: Elsewhere) -> None:
    """In place of whoever was registered before."""
    _elsewhere[:] = [provide]


def of_each(volumes: Sequence[Volume], *, now: datetime) -> dict[UUID, Hindrance]:
    """Of those among these that have had no good replica for days, why; in as many questions for all as for
    one."""
    keys = [volume.pk for volume in volumes]
    rows = replicating.overdue(now=now).filter(pk__in=keys).select_related("owner", "client", "replica")
    return {facts.volume.pk: why(facts) for facts in _facts(list(rows), now=now)}


def why(facts: Facts) -> Hindrance:
    """The first cause that holds, of those that hide the ones after them."""
    found = (cause(facts) for cause in CAUSES)
    return next((one for one in found if one is not None), _unknown(facts))


def _under_way(facts: Facts) -> Hindrance | None:
    if facts.current is None or facts.current.state != State.RUNNING:
        return None
    return Hindrance("under_way", _("It is being copied now."), _("Nothing: wait for its end."))


def _locked_out(facts: Facts) -> Hindrance | None:
    if not facts.locked_out:
        return None
    return Hindrance(
        "locked_out",
        _("The PC was away for too long and is given no keys."),
        _("Make sure that it is in the right hands, then let it in again on its page."),
    )


def _half_deleted(facts: Facts) -> Hindrance | None:
    if facts.volume.server_half is not None:
        return None
    return Hindrance(
        "half_deleted",
        _("The server's half of this data's key was deleted: the PC can neither open nor copy it."),
        _("Both custodians together recover it. The replica stays as it is."),
    )


def _owner_off(facts: Facts) -> Hindrance | None:
    if facts.volume.owner.is_active:
        return None
    return Hindrance(
        "account_off",
        _("Its owner's account is switched off, so the data stays locked and nothing changes in it."),
        _("If the last replica may lack something: enable the account for one logon, or restore the data."),
    )


def _elsewhere_known(facts: Facts) -> Hindrance | None:
    return facts.elsewhere


def _outside(facts: Facts) -> Hindrance | None:
    outside = facts.heard.present and facts.heard.outside
    if not outside and facts.refused != "not_on_the_lan":
        return None
    about = {"address": facts.volume.client.address or "–", "ssid": facts.ssid}
    if facts.ssid:
        return Hindrance(
            "wifi_outside",
            _(
                "The PC calls over the Wi-Fi “%(ssid)s”, from %(address)s: that is none of the company's "
                "networks, and data is copied on these only."
            )
            % about,
            _(
                "Connect the PC by cable. If this Wi-Fi is the company's, add its addresses to "
                "OPENVRAS_COMPANY_NETWORKS."
            ),
        )
    return Hindrance(
        "not_on_the_lan",
        _("The PC calls from %(address)s: that is outside the company, and data is copied inside only.")
        % about,
        _(
            "Connect the PC to the company's network. If this address is the company's, add it to "
            "OPENVRAS_COMPANY_NETWORKS."
        ),
    )


def _silent(facts: Facts) -> Hindrance | None:
    seen = facts.heard.seen
    if facts.heard.present or (seen is not None and seen >= replicating.working_days_before(facts.now, 1)):
        return None
    words = _("The PC has not been heard since %(when)s: it is off, or has no way to this server.") % {
        "when": _moment(seen)
    }
    searching = facts.wifi is not None and facts.wifi.wifi is WifiState.SEARCHING
    if searching and facts.wifi is not None:
        words += " " + _("The last that it told of its Wi-Fi: %(wifi)s") % {
            "wifi": networking.words_of(facts.wifi)
        }
    to_do = _("Have it switched on on the company's network. If it cannot be found, declare it lost.")
    return Hindrance("pc_silent", words, to_do)


def _damaged(facts: Facts) -> Hindrance | None:
    if facts.volume.told.get("state") != "broken":
        return None
    return Hindrance(
        "damaged",
        _("The data volume on the PC is damaged and cannot be opened."),
        _("Leave the PC as it is. Look at the volume's page, and restore from the last replica."),
    )


def _nas(facts: Facts) -> Hindrance | None:
    wrong = [one for one in facts.look.found if not one["good"]] if facts.look else []
    code = next((f"nas_{one['code']}" for one in wrong), "")
    return Hindrance(code, words_of(code), _on_the_nas_page()) if code else None


def _refused(facts: Facts) -> Hindrance | None:
    code = facts.refused
    return Hindrance(code, words_of(code), to_do_of(code)) if code else None


def _runs(facts: Facts) -> Hindrance | None:
    """What the runs since the last good one ended with: each time, or the last time."""
    if not facts.ended:
        return None
    last, codes = facts.ended[0].reason, {run.reason for run in facts.ended}
    about = {"n": len(facts.ended), "ssid": facts.ssid}
    if last == "gateway_away" and facts.ssid:
        words = _(
            "The PC is on the Wi-Fi “%(ssid)s”, and its virtual server does not reach the gateway from there."
        )
        to_do = _("Let this Wi-Fi's network reach the gateway's port, or connect the PC by cable.")
        return Hindrance("gateway_away_wifi", words % about, to_do)
    if last.startswith("nas_"):
        return Hindrance(last, words_of(last), _on_the_nas_page())
    if codes in ({"left_now"}, {"hold_over"}) or len(facts.ended) == 1:
        words = words_of(last)
        if len(facts.ended) > 1:
            words = _("Each of %(n)s times: %(why)s") % {**about, "why": words}
        return Hindrance(last, words, to_do_of(last))
    if codes <= SHORT:
        words = _(
            "It was begun %(n)s times and never came to its end, for the PC was never on and unlocked for "
            "long enough. The last time: %(why)s"
        )
        return Hindrance("never_long_enough", words % {**about, "why": words_of(last)}, to_do_of("cut_off"))
    words = _("Not once of %(n)s times did it end well. The last time: %(why)s")
    return Hindrance(last, words % {**about, "why": words_of(last)}, to_do_of(last))


def _no_virtual_server(facts: Facts) -> Hindrance | None:
    heard = facts.heard
    if not heard.present or heard.desktop != "running" or heard.virtual_server in ("", "running"):
        return None
    return Hindrance(
        "no_virtual_server",
        _("The PC's virtual server does not run, and that is what copies."),
        _("Look at the PC's page: distribute a virtual server to its group, or restart the PC."),
    )


def _never_opened(facts: Facts) -> Hindrance | None:
    if facts.opened_at is not None:
        return None
    return Hindrance(
        "never_opened",
        _("Nobody has unlocked this data yet: there is nothing to copy."),
        _("Nothing, until its owner logs on to this PC on the company's network."),
    )


def _not_unlocked(facts: Facts) -> Hindrance | None:
    since = facts.good_at
    if since is None or facts.is_open or facts.locked_at is None or facts.locked_at > since:
        return None
    return Hindrance(
        "not_unlocked",
        _("The data has not been unlocked since the last replica, which holds all that there was then."),
        _("Nothing, if its owner is away. Otherwise have them log on on the company's network."),
    )


def _not_begun(facts: Facts) -> Hindrance | None:
    if facts.is_open:
        return Hindrance(
            "not_begun",
            _("The data is unlocked, and the PC asks for no key to copy it."),
            _("Press “Copy now”. If nothing happens, restart the PC and look at its log (vrasnode)."),
        )
    return Hindrance(
        "too_short",
        _("The data was unlocked for short times only, and the PC went off before its turn to copy came."),
        _("Have its owner shut the PC down from its desktop: it copies first. Or press “Copy now”."),
    )


def _unknown(facts: Facts) -> Hindrance:
    return Hindrance("unknown", _("Why is not known."), to_do_of(""))


CAUSES: tuple[Callable[[Facts], Hindrance | None], ...] = (
    _under_way,
    _locked_out,
    _half_deleted,
    _owner_off,
    _elsewhere_known,
    _outside,
    _silent,
    _damaged,
    _nas,
    _refused,
    _runs,
    _no_virtual_server,
    _never_opened,
    _not_unlocked,
    _not_begun,
)


def _facts(volumes: list[Volume], *, now: datetime) -> list[Facts]:
    clients = {volume.client_id: volume.client for volume in volumes}
    heard = presence.of(clients.values(), now=now)
    wifi = networking.standings(clients)
    out = set(Lockout.objects.current().filter(client__in=clients).values_list("client", flat=True))
    elsewhere = {pk: one for ask in _elsewhere for pk, one in ask(volumes, now).items()} if volumes else {}
    runs, logons, look = _runs_of(volumes, now=now), _logons(volumes), looking.trouble()
    found = []
    for volume in volumes:
        replica = getattr(volume, "replica", None)
        good_at = replica.last_good_at if replica else None
        mine, logon = runs[volume.pk], logons.get(volume.pk, {})
        ended = [run for run in mine if run.ended_at and (good_at is None or run.ended_at > good_at)]
        found.append(
            Facts(
                volume,
                replica,
                now,
                heard[volume.client_id],
                wifi=wifi.get(volume.client_id),
                locked_out=volume.client_id in out,
                look=look,
                elsewhere=elsewhere.get(volume.pk),
                current=next((run for run in mine if run.ended_at is None), None),
                ended=[run for run in ended if run.state != State.DONE],
                is_open=bool(logon.get("open")),
                opened_at=logon.get("opened_at"),
                locked_at=logon.get("locked_at"),
            )
        )
    return found


def _runs_of(volumes: list[Volume], *, now: datetime) -> Mapping[UUID, list[ReplicationRun]]:
    lately = Q(ended_at=None) | Q(ended_at__gte=now - LATELY)
    rows = ReplicationRun.objects.filter(lately, replica__volume__in=volumes).order_by("-asked_at")
    found: defaultdict[UUID, list[ReplicationRun]] = defaultdict(list)
    for run in rows.select_related("replica").only(
        "state", "reason", "ended_at", "asked_at", "replica__volume"
    ):
        found[run.replica.volume_id].append(run)
    return found


def _logons(volumes: list[Volume]) -> Mapping[UUID, Mapping[str, datetime | None]]:
    """When each was opened and locked last, and by how many logons it is open."""
    rows = Opening.objects.filter(volume__in=volumes, opened_at__isnull=False).order_by().values("volume")
    opened = Count("pk", filter=Q(state=Opening.State.OPEN))
    told = rows.annotate(opened=Max("opened_at"), locked=Max("closed_at"), open=opened)
    return {
        row["volume"]: {"opened_at": row["opened"], "locked_at": row["locked"], "open": row["open"]}
        for row in told
    }


def _on_the_nas_page() -> str:
    return _("Mend the NAS: its page says what is wrong and what to change. Then all copy by themselves.")


def _moment(at: datetime | None) -> str:
    return date_format(timezone.localtime(at), "SHORT_DATETIME_FORMAT") if at else _("it was enrolled")

"""What the local page shows of usage keys, and its forms: choose a PIN, open documents, return the key."""

import html
import json
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Protocol
from urllib.parse import parse_qs

from vrasnode.checkout.secret import MIN_PIN, MIN_PIN_BARE
from vrasnode.checkout.telling import Seen
from vrasnode.errors import VrasError
from vrasnode.localdoors import Doors, Reply
from vrasnode.wire.checkout import Keeper, LeaseState
from vrasnode.wire.mydoc import VolumeState
from vrasnode.words import known_codes, say

PIN, OPEN, RETURN = "/checkout/pin", "/checkout/open", "/checkout/return"
NOTICE = "/checkout/notice"
_PICKED = {LeaseState.READY, LeaseState.OPEN, LeaseState.CLOSED}


class Checkout(Protocol):
    """The part, as far as its user meets it. Its acts raise Refused, Unreachable and HostBroken."""

    def seen(self) -> Sequence[Seen]: ...
    def pick_up(self, lease: str, pin: str) -> None: ...
    def open(self, lease: str, pin: str) -> None: ...
    def give_back(self, lease: str) -> None: ...


def doors(checkout: Checkout) -> Doors:
    """The doors by method and path: each does one thing, and leads back to the page that says how it went."""

    def choose(body: str, language: str) -> Reply:
        del language
        if _field(body, "pin") != _field(body, "again"):
            return _back("pin_differs")
        return _done(lambda: checkout.pick_up(_field(body, "lease"), _field(body, "pin")), "said_picked_up")

    def open_(body: str, language: str) -> Reply:
        del language
        return _done(lambda: checkout.open(_field(body, "lease"), _field(body, "pin")), "said_opening")

    def give_back(body: str, language: str) -> Reply:
        del language
        if not _field(body, "sure"):
            return _back("not_sure")
        return _done(lambda: checkout.give_back(_field(body, "lease")), "said_returned")

    def notice(query: str, language: str) -> Reply:
        del query
        stage, words = notice_of(checkout.seen(), language)
        said = json.dumps({"stage": stage, "words": words}, ensure_ascii=False)
        return HTTPStatus.OK, "application/json", said.encode()

    return {
        ("POST", PIN): choose,
        ("POST", OPEN): open_,
        ("POST", RETURN): give_back,
        ("GET", NOTICE): notice,
    }


def notice_of(leases: Sequence[Seen], language: str) -> tuple[str, str]:
    """What a user should hear though they do not look here, and which of such words it is: each is said once.
    The end that is nearest; else a key that waits for its PIN."""
    for seen in sorted(filter(_is_due, leases), key=lambda one: one.left):
        return f"{seen.lease.lease}/{seen.warning_s}", _warning(seen, language)
    for seen in filter(_may_choose, leases):
        return f"{seen.lease.lease}/pin", say("lease_notice_pin", language)
    return "", ""


def section(leases: Sequence[Seen], query: str, language: str) -> str:
    """A part of the page; nothing where nothing is lent, and nothing was said."""
    said = _field(query, "said")
    notice = f"<p role=status>{_words(said, language)}</p>" if said in known_codes() else ""
    if not leases and not notice:
        return ""
    cards = "".join(_card(one, language) for one in leases)
    return f"<h2 id=checkout>{_words('lease_heading', language)}</h2>{notice}{cards}"


def _card(seen: Seen, language: str) -> str:
    def words(code: str, **details: str) -> str:
        return _words(code, language, **details)

    lease, key = seen.lease, seen.key
    folders = ", ".join(html.escape(one.decode(errors="replace")) for one in key.folders)
    rows = [
        ("lease_state_label", _state(seen, language)),
        ("lease_period_label", words("lease_period", starts=_when(key.starts), ends=_when(key.ends))),
        ("lease_folders_label", folders or words("lease_folders_all")),
    ]
    if lease.picked_up and not lease.ending:
        rows.insert(2, ("lease_left_label", _left(seen.left, language)))
    table = "".join(f"<tr><th scope=row>{words(label)}</th><td>{value}</td></tr>" for label, value in rows)
    warning = f"<p role=alert>{html.escape(_warning(seen, language))}</p>" if _is_due(seen) else ""
    cautions = [f"lease_kept_{seen.keeper}"] if seen.keeper in (Keeper.PIN, Keeper.SOFTWARE_TPM) else []
    cautions += ["lease_limited"] if folders else []
    caution = "".join(f"<p>{words(code)}</p>" for code in cautions)
    return (
        f"<h3>{words('lease_of', owner=key.owner_name)}</h3>{warning}<table>{table}</table>{caution}"
        f"{_forms(seen, language)}"
    )


def _state(seen: Seen, language: str) -> str:
    lease, standing = seen.lease, seen.standing
    code = f"lease_state_{lease.state}"
    if lease.ending:
        code = "lease_ending"
    elif lease.state is LeaseState.OFFERED and not standing.on_lan:
        code = "lease_state_offered_away"
    elif lease.state in _PICKED and standing.on_lan:
        code = "lease_state_on_lan"
    elif lease.state in _PICKED and standing.state is VolumeState.OPENING:
        code = "lease_state_opening"
    why = seen.trouble if not lease.ending and seen.trouble != lease.ending else ""
    parts = [code, *([why] if why else []), *([lease.code] if lease.code else [])]
    return " ".join(_words(part, language) for part in parts)


def _forms(seen: Seen, language: str) -> str:
    def words(code: str, **details: str) -> str:
        return _words(code, language, **details)

    lease, forms = seen.lease, ""
    if lease.ending:
        return ""
    if _may_choose(seen):
        least = str(MIN_PIN_BARE if seen.keeper is Keeper.PIN else MIN_PIN)
        rule = words("lease_pin_rule", least=least, tries=str(seen.key.pin_tries))
        inputs = _secret("pin", words("lease_pin_new"), new=True) + _secret(
            "again", words("lease_pin_again"), new=True
        )
        forms += _form(PIN, lease.lease, f"<p>{rule}</p>{inputs}", words("lease_choose"))
    is_shut = seen.standing.state in (VolumeState.LOCKED, VolumeState.ABSENT)
    if lease.state in _PICKED and is_shut and not seen.trouble:
        tries = words("lease_tries", tries=str(seen.tries_left)) if lease.tries else ""
        forms += _form(
            OPEN, lease.lease, f"{_secret('pin', words('lease_pin'))}<p>{tries}</p>", words("lease_open")
        )
    if lease.state in _PICKED:
        box = "<input type=checkbox name=sure value=1 required>"
        sure = f"<p><label>{box} {words('lease_return_sure')}</label></p>"
        forms += _form(RETURN, lease.lease, sure, words("lease_return"))
    return forms


def _form(path: str, lease: str, inside: str, button: str) -> str:
    return (
        f'<form method=post action="{path}"><input type=hidden name=lease value="{html.escape(lease)}">'
        f"{inside}<p><button>{button}</button></p></form>"
    )


def _secret(name: str, label: str, *, new: bool = False) -> str:
    complete = "new-password" if new else "off"
    return (
        f"<p><label>{label}<br><input type=password name={name} required maxlength=64"
        f" autocomplete={complete}></label></p>"
    )


def _may_choose(seen: Seen) -> bool:
    offered = seen.lease.state is LeaseState.OFFERED and not seen.lease.ending
    return offered and seen.standing.on_lan and seen.trouble in ("", "lease_not_begun")


def _is_due(seen: Seen) -> bool:
    return seen.warning_s is not None and bool(seen.lease.picked_up) and not seen.lease.ending


def _warning(seen: Seen, language: str) -> str:
    days, hours, minutes = _split(seen.left)
    if days:
        return say("lease_warn_day" if days == 1 else "lease_warn_days", language, {"days": str(days)})
    return say("lease_warn_hours", language, {"hours": str(hours), "minutes": str(minutes)})


def _left(left: timedelta, language: str) -> str:
    days, hours, minutes = _split(left)
    if days:
        return _words("lease_left_days", language, days=str(days), hours=str(hours))
    return _words("lease_left_hours", language, hours=str(hours), minutes=str(minutes))


def _split(left: timedelta) -> tuple[int, int, int]:
    minutes = int(left.total_seconds()) // 60
    return minutes // 1440, minutes // 60 % 24, minutes % 60


def _when(time: datetime) -> str:
    return time.astimezone().strftime("%Y-%m-%d %H:%M")


def _words(code: str, language: str, **details: str) -> str:
    return html.escape(say(code, language, details))


def _field(body: str, name: str) -> str:
    return parse_qs(body).get(name, [""])[0]


def _done(act: Callable[[], None], said: str) -> Reply:
    try:
        act()
    except VrasError as error:
        return _back(error.code)
    return _back(said)


def _back(said: str) -> Reply:
    return HTTPStatus.SEE_OTHER, "", f"/?said={said}#checkout".encode()

"""What the logon script asks the local page: a number to log on with, and how the documents stand.

A number is given out on POST alone, and only to who sends a header that no web page of elsewhere can make a
browser send unasked: `localpage` sees to that, and to who asks.
"""

import json
from collections.abc import Callable, Sequence
from http import HTTPStatus
from urllib.parse import parse_qs

from vrasnode.localdoors import Doors, Reply
from vrasnode.mydoc.logon import GOOD_S
from vrasnode.wire.mydoc import VolumeReport, VolumeState
from vrasnode.words import known_codes, say
from vrasnode.words.documents import clock_details

# What concerns the user most comes first, where a PC has several volumes and the script does not say which.
_FIRST = (VolumeState.OPEN, VolumeState.OPENING, VolumeState.LOCKING, VolumeState.BROKEN, VolumeState.LOCKED)
_SAID = {
    VolumeState.OPEN: "open",
    VolumeState.OPENING: "opening",
    VolumeState.BROKEN: "broken",
}


def doors(
    *,
    client_id: str,
    give: Callable[[], str],
    get_logon_url: Callable[[], str],
    get_reports: Callable[[], Sequence[VolumeReport]],
    get_clock_off_s: Callable[[], int] = lambda: 0,
) -> Doors:
    """The doors by method and path. `give` gives out a nonce; what keeps tickets from being made stands
    beside it, for a script that finds none."""

    def logon(query: str, language: str) -> Reply:
        del query
        url = get_logon_url()
        if not url:
            return _reply(HTTPStatus.SERVICE_UNAVAILABLE, _problem("no_logon_url", "", language))
        offer = {"nonce": give(), "client": client_id, "server": url, "expires_s": int(GOOD_S)}
        if off_s := get_clock_off_s():
            offer |= {"code": "clock_off", "words": say("clock_off", language, clock_details(off_s))}
        return _reply(HTTPStatus.OK, offer)

    def documents(query: str, language: str) -> Reply:
        wanted = parse_qs(query).get("volume", [""])[0]
        found = [one for one in get_reports() if wanted in ("", one.volume)]
        found.sort(key=lambda one: _FIRST.index(one.state) if one.state in _FIRST else len(_FIRST))
        if not found:
            return _reply(HTTPStatus.OK, {"state": "locked", "code": "", "words": ""})
        first = found[0]
        state = _SAID.get(first.state, "locked")
        return _reply(HTTPStatus.OK, {"state": state, **_problem(first.code, first.words, language)})

    return {("POST", "/logon"): logon, ("GET", "/documents"): documents}


def _problem(code: str, words: str, language: str) -> dict[str, str]:
    return {"code": code, "words": say(code, language) if code in known_codes() else words}


def _reply(status: HTTPStatus, message: dict[str, object] | dict[str, str]) -> Reply:
    return status, "application/json", json.dumps(message, ensure_ascii=False).encode()

"""Kerberos tickets for the file server on which replicas lie, got by a keytab: the server logs on there as
its account, without a password. They are kept in a file for rclone, which looks again when that changes.
"""

import logging
import os
import threading
from contextlib import suppress
from pathlib import Path

import gssapi
from gssapi.raw import GSSError

from clients.errors import Refusal
from mydoc.nas.settings import NasSettings

log = logging.getLogger("openvras.mydoc")

LEAST_S = 3600  # that a ticket has to be good for, still
# What Kerberos says (MIT); the first counts.
SAYINGS = (
    (("clock skew",), "clock"),
    (("cannot contact any kdc", "cannot find kdc", "cannot resolve", "realm not local"), "kdc"),
    (("not found in kerberos database", "revoked", "has expired", "preauthentication failed"), "ticket"),
    (
        (
            "key table",
            "keytab",
            "permission denied",
            "no suitable keys",
            "client keytab",
            "no credentials cache",
        ),
        "keytab",
    ),
)


class NoTicket(Refusal):
    """No ticket was got; `code` says why: keytab, ticket, kdc, clock."""

    status = 503


def fresh(place: NasSettings) -> Path:
    """Where a ticket lies that is good for an hour at least. Raises NoTicket."""
    if place.keytab is None or place.tickets is None:
        raise NoTicket("keytab", "")
    if left_s(place.tickets) < LEAST_S:
        _get(place.user, place.keytab, place.tickets)
    return place.tickets


def keep_fresh(place: NasSettings) -> None:
    """For who serves for days: a failure is logged, and what there is is used as long as it is good."""
    if place.keytab is not None:
        try:
            fresh(place)
        except NoTicket as refusal:
            log.warning("no new ticket for the NAS [%s]", refusal.code)


def left_s(tickets: Path) -> int:
    """For how long what lies there is good still."""
    with suppress(GSSError):
        found = gssapi.Credentials(usage="initiate", store={"ccache": f"FILE:{tickets}"})
        return int(found.lifetime or 0)
    return 0


def _get(user: str, keytab: Path, tickets: Path) -> None:
    """Whole or not at all: others read it meanwhile."""
    tickets.parent.mkdir(parents=True, exist_ok=True)
    aside = tickets.with_name(f".{tickets.name}.{os.getpid()}.{threading.get_ident()}")
    name = gssapi.Name(user, gssapi.NameType.kerberos_principal)
    store: dict[bytes | str, bytes | str] = {"client_keytab": f"FILE:{keytab}", "ccache": f"FILE:{aside}"}
    try:
        if not gssapi.Credentials(name=name, usage="initiate", store=store).lifetime:
            raise NoTicket("ticket", "")
        aside.chmod(0o600)
        aside.rename(tickets)
    except (GSSError, OSError) as error:
        log.warning("no ticket for %s: %s", user, error)
        raise NoTicket(code_of(str(error)), "") from error
    finally:
        aside.unlink(missing_ok=True)


def code_of(said: str) -> str:
    """What a complaint of Kerberos's means."""
    low = said.lower()
    return next((code for words, code in SAYINGS if any(word in low for word in words)), "ticket")

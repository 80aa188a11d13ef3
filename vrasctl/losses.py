"""A PC that is lost, found again, or was away for too long, on the command line."""

import sys
from pathlib import Path
from typing import Any

import click
import msgspec

from vrasctl import showing
from vrasctl.outcome import ServerRefused
from vrasctl.registry import find_pc, pc_group
from vrasctl.session import Session, common
from vrasnode.errors import Refused
from vrasnode.wire import codec
from vrasnode.wire.mydoc import Erasure, ErasureCertificate
from vrasnode.wire.signatures import Keyring, Role

ROOT_BYTES = 32  # Ed25519 (RFC 8032)
_ERASURE = [
    ("PC", "pc"),
    ("declared lost", "declared"),
    ("obeyed", "obeyed"),
    ("volumes", "volumes"),
    ("overwritten", "wiped"),
    ("seen unreadable", "unread"),
    ("server's keys deleted", "halves_deleted"),
    ("issued", "issued"),
]
_file = click.Path(dir_okay=False, path_type=Path)
_LOSS = [
    ("PC", "client"),
    ("declared lost", "declared_at"),
    ("by", "declared_by"),
    ("reason", "reason"),
    ("last contact", "last_contact"),
    ("order to the PC", "order"),
    ("obeyed", "acknowledged_at"),
    ("server's keys kept until", "halves_until"),
    ("server's keys deleted", "halves_deleted_at"),
    ("found again", "ended_at"),
]


@pc_group.command()
@click.argument("name")
@click.option("--reason", required=True, help="What has happened.")
@click.option("--where", default="", help="Where it was seen last.")
@click.option("--seen", metavar="TIME", help="When it was seen last, such as 2026-11-26T18:30+09:00.")
@click.option("--confirm", metavar="NAME", help="The PC's name once more; asked for when left out.")
@common
def lost(
    session: Session, name: str, *, reason: str, where: str, seen: str | None, confirm: str | None
) -> None:
    """Say that a PC is lost: it is refused, and its keys are thrown away."""
    pc = find_pc(session.rest, name)
    path = f"/api/v1/clients/{pc['id']}/lost/"
    wish: dict[str, Any] = {"reason": reason, "seen_where": where, "seen_at": seen}
    if confirm is None:
        confirm = _asked(session, path, wish)
    session.one(session.rest.post(path, {**wish, "confirm": confirm}), _LOSS)


@pc_group.command()
@click.argument("name")
@click.option("--reason", required=True)
@common
def found(session: Session, name: str, reason: str) -> None:
    """Let a lost PC in again."""
    pc = find_pc(session.rest, name)
    session.one(session.rest.post(f"/api/v1/clients/{pc['id']}/found/", {"reason": reason}), _LOSS)


@pc_group.command("let-in")
@click.argument("name")
@click.option("--reason", required=True)
@common
def let_in(session: Session, name: str, reason: str) -> None:
    """Give keys again to a PC that was away for too long."""
    pc = find_pc(session.rest, name)
    session.rest.post(f"/api/v1/clients/{pc['id']}/let-in/", {"reason": reason})
    showing.say(f"{name} is let in again.")


@pc_group.command()
@click.argument("name")
@click.option("--output", type=_file, required=True, help="Where the certificate is kept.")
@common
def erasure(session: Session, name: str, output: Path) -> None:
    """Get the signed certificate of what was erased of a lost PC."""
    loss = session.rest.find("/api/v1/losses/", client__name=name)
    if loss is None:
        raise Refused("not_lost", f"{name} was never declared lost.")
    data = session.rest.get_bytes(f"/api/v1/losses/{loss['id']}/erasure/")
    output.write_bytes(data)
    session.one(
        _said_in(codec.decode(codec.decode(data, ErasureCertificate).erasure.payload, Erasure)), _ERASURE
    )


@pc_group.command("check-erasure")
@click.argument("certificate", type=_file)
@click.option(
    "--root", type=_file, required=True, help="The installation's root.pub, kept since it was set up."
)
@common
def check_erasure(session: Session, certificate: Path, root: Path) -> None:
    """Check a certificate of erasure against the root's public key. No server is asked."""
    try:
        given, key = codec.decode(certificate.read_bytes(), ErasureCertificate), root.read_bytes()
    except OSError as error:
        raise Refused("no_file", f"{error.filename} cannot be read: {error.strerror}.") from error
    if len(key) != ROOT_BYTES:
        raise Refused("bad_root", f"{root} is not a root.pub: it has {len(key)} bytes and not {ROOT_BYTES}.")
    issued = codec.decode(given.erasure.payload, Erasure).issued  # believed only if the key held then
    erasure = Keyring(key, given.keyring).open(given.erasure, Role.ASSIGNMENT, Erasure, at=issued)
    session.one(_said_in(erasure), _ERASURE)
    showing.say("The installation's root vouches for it.")


def _said_in(erasure: Erasure) -> dict[str, Any]:
    told: dict[str, Any] = msgspec.to_builtins(erasure)
    return {**told, "volumes": len(erasure.volumes)}


def _asked(session: Session, path: str, wish: dict[str, Any]) -> str:
    """The name, typed by somebody who was told what will happen."""
    try:
        session.rest.post(path, wish)
    except ServerRefused as error:
        if error.code != "not_confirmed" or not sys.stdin.isatty():
            raise
        showing.say(error.words)
    return str(click.prompt("Name of the PC", err=True))

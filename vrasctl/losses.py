"""A PC that is lost, found again, or was away for too long, on the command line."""

import sys
from typing import Any

import click

from vrasctl import showing
from vrasctl.outcome import ServerRefused
from vrasctl.registry import find_pc, pc_group
from vrasctl.session import Session, common

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


def _asked(session: Session, path: str, wish: dict[str, Any]) -> str:
    """The name, typed by somebody who was told what will happen."""
    try:
        session.rest.post(path, wish)
    except ServerRefused as error:
        if error.code != "not_confirmed" or not sys.stdin.isatty():
            raise
        showing.say(error.words)
    return str(click.prompt("Name of the PC", err=True))

"""`vrasctl replica`: copies of user data on the NAS, how far each has come, one now, all of one to another
PC."""

import sys
import time
from typing import Any

import click

from vrasctl import showing
from vrasctl.outcome import Exit, ServerRefused
from vrasctl.recovery import volume_id
from vrasctl.session import Session, common

_RUN = [
    *[("volume", "name"), ("why", "occasion"), ("state", "state"), ("files", "files")],
    *[("done", "done_bytes"), ("of", "total_bytes"), ("sent", "sent_bytes")],
    *[("begun", "begun_at"), ("ended", "ended_at"), ("reason", "reason"), ("words", "words")],
]
_RESTORATION = [
    *[("id", "id"), ("what", "name"), ("as of", "as_of"), ("state", "state"), ("files", "files")],
    *[("written", "written"), ("there already", "same"), ("beside others", "beside")],
    *[("left out", "left_out"), ("by", "asked_by"), ("reason", "reason"), ("words", "words")],
]
LOOK_S = 2.0
_RESTORATIONS = "/api/v1/restorations/"
ENDED = ("done", "cut_off", "failed")


@click.group("replica")
def replica_group() -> None:
    """Copies of user data on the NAS."""


@replica_group.command("list")
@click.option("--pc", help="Only of this PC.")
@click.option("--state", type=click.Choice(["waiting", "running", *ENDED]))
@common
def list_runs(session: Session, pc: str | None, state: str | None) -> None:
    """Each time that a volume was, or is to be, copied; newest first."""
    query = {"replica__volume__client__name": pc, "state": state}
    session.rows(session.rest.every("/api/v1/replications/", **query), _RUN)


@replica_group.command("now")
@click.argument("volume", metavar="OWNER@PC")
@click.option("--wait", is_flag=True, help="Until it has ended; exit code 3 when it did not end well.")
@common
def now(session: Session, volume: str, *, wait: bool) -> int:
    """Have a volume copied now, if its owner is logged on; else as soon as they are."""
    run = session.rest.post(f"/api/v1/volumes/{volume_id(session, volume)}/replicate/")
    while wait and run["state"] not in ENDED:
        _tell(run)
        time.sleep(LOOK_S)
        run = session.rest.get(f"/api/v1/replications/{run['id']}/")
    session.one(run, _RUN)
    return Exit.REFUSED if run["state"] in ENDED[1:] else Exit.OK


def _tell(run: dict[str, Any]) -> None:
    if run["state"] == "running":
        showing.say(f"{run['files']} files, {run['done_bytes']} of {run['total_bytes']} bytes")


@replica_group.command("restore")
@click.argument("volume", metavar="OWNER@PC")
@click.option("--to", "target", required=True, metavar="OWNER@PC", help="The same person's data elsewhere.")
@click.option("--reason", required=True, help="Its owner reads it, and it is kept in the audit log.")
@click.option("--run", help="Which replica, as `vrasctl replica list -o json` names it; else the last.")
@click.option("--confirm", metavar="N", help="The number of files; asked for when left out.")
@click.option("--wait", is_flag=True, help="Until it has ended; exit code 3 when it did not end well.")
@common
def restore(  # noqa: PLR0917  (as many as there are options)
    session: Session,
    volume: str,
    target: str,
    reason: str,
    run: str | None,
    confirm: str | None,
    *,
    wait: bool,
) -> int:
    """Write everything that a replica holds into the same person's data on another PC. Nothing is
    overwritten."""
    ends = {"source": volume_id(session, volume), "target": volume_id(session, target)}
    wish = {**ends, "run": run, "reason": reason}
    row = session.rest.post(_RESTORATIONS, {**wish, "confirm": confirm or _asked(session, wish)})
    while wait and row["state"] == "running":
        done = row["written"] + row["same"] + row["left_out"]
        showing.say(f"{done} of {row['files']} files. {row['words']}".strip())
        time.sleep(LOOK_S)
        row = session.rest.get(f"{_RESTORATIONS}{row['id']}/")
    session.one(row, _RESTORATION)
    return Exit.OK if row["state"] in ("running", "done") and not row["left_out"] else Exit.REFUSED


@replica_group.command("restorations")
@common
def restorations(session: Session) -> None:
    """Each time that everything was, or is being, restored to another PC; newest first."""
    session.rows(session.rest.every(_RESTORATIONS), _RESTORATION)


@replica_group.command("stop-restoring")
@click.argument("restoration", metavar="ID")
@click.option("--reason", required=True)
@common
def stop_restoring(session: Session, restoration: str, reason: str) -> None:
    """Nothing more of it comes; what has come stays there."""
    session.one(session.rest.post(f"{_RESTORATIONS}{restoration}/stop/", {"reason": reason}), _RESTORATION)


def _asked(session: Session, wish: dict[str, Any]) -> str:
    """The number of files, typed by somebody who was told what will happen."""
    try:
        session.rest.post(_RESTORATIONS, wish)
    except ServerRefused as error:
        if error.code != "not_confirmed" or not sys.stdin.isatty():
            raise
        showing.say(error.words)
    return str(click.prompt("Number of files", err=True))

"""`vrasctl replica`: copies of user data on the NAS, how far each has come, and one now."""

import time
from typing import Any

import click

from vrasctl import showing
from vrasctl.outcome import Exit
from vrasctl.recovery import volume_id
from vrasctl.session import Session, common

_RUN = [
    *[("volume", "name"), ("why", "occasion"), ("state", "state"), ("files", "files")],
    *[("done", "done_bytes"), ("of", "total_bytes"), ("sent", "sent_bytes")],
    *[("begun", "begun_at"), ("ended", "ended_at"), ("reason", "reason"), ("words", "words")],
]
LOOK_S = 2.0
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

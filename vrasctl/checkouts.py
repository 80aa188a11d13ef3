"""`vrasctl checkout`: PCs taken out of the company: asked for, decided, withdrawn, given back."""

from datetime import datetime
from typing import Any

import click

from vrasctl import showing
from vrasctl.session import Session, common
from vrasnode.errors import Refused

PATH = "/api/v1/checkouts/"
STATES = (
    *("waiting", "sent_back", "permitted", "lent", "overdue"),
    *("rejected", "withdrawn", "lapsed", "returned", "expired", "revoked"),
)
_ROW = [
    *[("number", "id"), ("who", "requester"), ("PC", "client"), ("state", "state"), ("from", "starts")],
    *[("until", "ends"), ("steps done", "steps_done"), ("of", "steps_total"), ("destination", "destination")],
]
_ONE = [
    *[("number", "id"), ("requester", "requester"), ("PC", "client"), ("group", "group"), ("state", "state")],
    *[("from", "starts"), ("until", "ends"), ("asked for until", "asked_ends"), ("purpose", "purpose")],
    *[("destination", "destination"), ("contact", "contact"), ("folders", "folders")],
    *[("submitted", "created_at"), ("waits since", "waits_since"), ("ended", "ended_at")],
    *[("reason", "words"), ("in the way of the key", "obstacle")],
]
_STEP = [
    *[("round", "round"), ("step", "position"), ("who", "who"), ("decision", "decision")],
    *[("by", "decided_by"), ("in place of", "instead_of"), ("at", "decided_at"), ("remark", "decided_words")],
]


@click.group("checkout")
def checkout_group() -> None:
    """Data that is taken out of the company: requests, approvals, returns.

    Whoever has a role may use it: employees for their own requests, approvers for what waits for them.
    What the server's rules forbid ends with exit code 3 and the rule's code.
    """


@checkout_group.command("list")
@click.option("--state", type=click.Choice(STATES))
@click.option("--pc", help="Only of this PC.")
@click.option("--user", help="Only of this requester.")
@click.option("--inbox", is_flag=True, help="What waits for your own decision, the oldest first.")
@common
def list_requests(
    session: Session, *, state: str | None, pc: str | None, user: str | None, inbox: bool
) -> None:
    """Requests: your own and those that you decided; all of them for those who may look."""
    if inbox:
        if state or pc or user:
            raise click.UsageError("--inbox stands alone.")
        session.rows(session.rest.get(f"{PATH}inbox/"), _ROW)
        return
    query = {"state": state, "client__name": pc, "requester__username": user}
    session.rows(session.rest.every(PATH, **query), _ROW)


@checkout_group.command()
@click.argument("number", type=int)
@common
def show(session: Session, number: int) -> None:
    """One request, with each decision."""
    _show(session, session.rest.get(f"{PATH}{number}/"))


@checkout_group.command()
@click.argument("pc")
@click.option("--from", "starts", required=True, metavar="TIME", help="Such as 2026-12-01T09:00.")
@click.option("--until", "ends", required=True, metavar="TIME")
@click.option("--purpose", required=True)
@click.option("--destination", required=True)
@click.option("--contact", required=True, help="Telephone or mail on the way.")
@click.option(
    "--folder", "folders", multiple=True, help="Such as Documents/plans; several times. Default: all."
)
@click.option("--mend", type=int, metavar="NUMBER", help="Submit anew this request, which was sent back.")
@common
def request(session: Session, /, pc: str, *, mend: int | None, folders: tuple[str, ...], **said: str) -> None:
    """Ask to take your own data on PC out of the company.

    A TIME without an offset is this machine's.
    """
    wish: dict[str, Any] = {**said, "folders": list(folders)}
    wish |= {name: _time(said[name]) for name in ("starts", "ends")}
    if mend is not None:
        _show(session, session.rest.post(f"{PATH}{mend}/mend/", wish))
        return
    mine = {row["client"]: row["id"] for row in session.rest.get(f"{PATH}lendable/")}
    if pc not in mine:
        known = ", ".join(sorted(mine)) or "none yet"
        raise Refused("no_data_there", f"You have no data on {pc}. PCs with data of yours: {known}.")
    _show(session, session.rest.post(PATH, {**wish, "volume": mine[pc]}))


@checkout_group.command()
@click.argument("number", type=int)
@click.option("--until", metavar="TIME", help="Approve for less.")
@click.option("--remark", default="", help="The requester reads it.")
@common
def approve(session: Session, number: int, *, until: str | None, remark: str) -> None:
    """This step's yes, as the request is at this moment; with the last one the key is made."""
    wish: dict[str, Any] = {"words": remark, "ends": _time(until) if until else None}
    _decide(session, number, "approve", wish)


@checkout_group.command("send-back")
@click.argument("number", type=int)
@click.option("--reason", required=True, help="What is to be mended.")
@common
def send_back(session: Session, number: int, *, reason: str) -> None:
    """Let its requester mend it."""
    _decide(session, number, "send-back", {"words": reason})


@checkout_group.command()
@click.argument("number", type=int)
@click.option("--reason", required=True)
@common
def reject(session: Session, number: int, *, reason: str) -> None:
    """The end of it."""
    _decide(session, number, "reject", {"words": reason})


@checkout_group.command()
@click.argument("number", type=int)
@common
def withdraw(session: Session, number: int) -> None:
    """Take back a request of your own."""
    _show(session, session.rest.post(f"{PATH}{number}/withdraw/"))


@checkout_group.command("return")
@click.argument("number", type=int)
@common
def give_back(session: Session, number: int) -> None:
    """Give back early what was lent to you: the PC locks as soon as it hears of it."""
    _show(session, session.rest.post(f"{PATH}{number}/return/"))


def _decide(session: Session, number: int, act: str, wish: dict[str, Any]) -> None:
    """At the step where it waits now; if somebody decides that one meanwhile, the server refuses this."""
    steps = session.rest.get(f"{PATH}{number}/")["steps"]
    open_steps = [step for step in steps if not step["decision"]]
    newest = max((step["round"] for step in open_steps), default=0)
    here = min((step for step in open_steps if step["round"] == newest), key=_position, default=None)
    seen = here["id"] if here else None
    _show(session, session.rest.post(f"{PATH}{number}/{act}/", {**wish, "seen": seen}))


def _position(step: dict[str, Any]) -> int:
    return int(step["position"])


def _show(session: Session, row: dict[str, Any]) -> None:
    session.one(row, _ONE)
    if session.form is showing.Format.TABLE:
        session.rows(row["steps"], _STEP)


def _time(text: str) -> str:
    """With its offset. Raises BadParameter."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is no time such as 2026-12-01T09:00.") from error
    return at.astimezone().isoformat()

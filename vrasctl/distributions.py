"""`vrasctl distribute`, `rollback`, `distribution`: bringing versions to groups, and watching it."""

import time
from collections.abc import Callable
from typing import Any

import click

from vrasctl import progress, showing, terms
from vrasctl.images import for_machine, parse_version, wire_name
from vrasctl.outcome import PcsFailed
from vrasctl.rest import PATIENT_S, Rest
from vrasctl.session import Session, common

POLL_S = 1.0

_DISTRIBUTION = [
    ("id", "id"),
    ("version", "version"),
    ("group", "group"),
    ("kind", "kind"),
    ("state", "state"),
    ("stopped for", "stop_words"),
    ("PCs", "deliveries"),
    ("started", "created_at"),
    ("finished", "finished_at"),
    ("by", "created_by"),
]
_DELIVERY = [
    ("PC", "client"),
    ("state", "state"),
    ("fetched", "done_bytes"),
    ("of", "total_bytes"),
    ("boot (s)", "boot_s"),
    ("what happened", "words"),
]
_STUCK = [("PCs", "pcs"), ("code", "code"), ("why", "words"), ("what to do", "remedy")]


def _terms(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--deadline", metavar="TIME", help="Switched at the latest, ISO 8601."),
        click.option("--wait", is_flag=True, help="Watch until every PC has come to an end."),
    ):
        command = option(command)
    return terms.options(command)


@click.command()
@click.argument("version", metavar="NAME[@VERSION]")
@click.option("--group", required=True, help="The group of PCs.")
@_terms
@common
def distribute(
    session: Session,
    /,
    version: str,
    *,
    group: str,
    wait: bool,
    at_once: bool,
    wave: int | None,
    rate: int | None,
    **more: Any,
) -> None:
    """Bring a version (default: the newest) to every approved PC of a group."""
    name, number = parse_version(version)
    wish = {"image": name, "number": number, "group": group, **terms.wish(at_once, wave, rate, more)}
    _follow(session, session.rest.post("/api/v1/distributions/", wish), wait=wait)


@click.command()
@click.option("--to", type=click.IntRange(1), metavar="VERSION", help="Default: the version before.")
@for_machine
@click.option("--pc", "client", metavar="NAME", help="One PC, instead of a group.")
@click.option("--group", help="The group of PCs.")
@_terms
@common
def rollback(
    session: Session,
    /,
    *,
    to: int | None,
    machine: str | None,
    client: str | None,
    group: str | None,
    wait: bool,
    at_once: bool,
    wave: int | None,
    rate: int | None,
    **more: Any,
) -> None:
    """Bring the version before back to a group, or to one PC."""
    if (group is None) == (client is None):
        raise click.UsageError("Name a group (--group) or one PC (--pc).")
    whom = {"group": group} if client is None else {"client": client}
    wish = {**whom, "number": to, **terms.wish(at_once, wave, rate, more)}
    if machine is not None:
        wish["machine"] = wire_name(machine)
    _follow(session, session.rest.post("/api/v1/distributions/rollback/", wish), wait=wait)


@click.group("distribution")
def distribution_group() -> None:
    """Distributions, running and past."""


@distribution_group.command("list")
@click.option("--group", help="Only of this group.")
@click.option("--running", is_flag=True, help="Only what is under way.")
@common
def list_distributions(session: Session, group: str | None, running: bool) -> None:
    """All distributions, newest first."""
    found = session.rest.every(
        "/api/v1/distributions/", group__name=group, state="running" if running else None
    )
    session.rows(found, _DISTRIBUTION)


@distribution_group.command()
@click.argument("number", metavar="ID", type=int)
@click.option("--wait", is_flag=True, help="Watch until every PC has come to an end.")
@common
def show(session: Session, number: int, wait: bool) -> None:
    """One distribution, PC by PC."""
    distribution = session.rest.get(f"/api/v1/distributions/{number}/")
    if wait:
        _follow(session, distribution, wait=True)
    else:
        _print(session, distribution, _deliveries(session.rest, number))


@distribution_group.command()
@click.argument("number", metavar="ID", type=int)
@click.option("--wait", is_flag=True, help="Watch until every PC has come to an end.")
@common
def retry(session: Session, number: int, wait: bool) -> None:
    """Send the version again to the PCs where it failed, to no other."""
    _follow(session, session.rest.post(f"/api/v1/distributions/{number}/retry/"), wait=wait)


@distribution_group.command()
@click.argument("number", metavar="ID", type=int)
@click.option("--reason", required=True)
@common
def cancel(session: Session, number: int, reason: str) -> None:
    """Stop what is not staged yet; PCs keep what they run."""
    row = session.rest.post(f"/api/v1/distributions/{number}/cancel/", {"reason": reason})
    _print(session, row, _deliveries(session.rest, number))


def _steering(name: str, words: str) -> None:
    """`distribution NAME ID [--pc PC]`: an act on a distribution, or on one PC's part of it."""

    @distribution_group.command(name, help=words)
    @click.argument("number", metavar="ID", type=int)
    @click.option("--pc", help="Only of this PC.")
    @click.option("--reason", default="")
    @common
    def steer(session: Session, number: int, pc: str | None, reason: str) -> None:
        path = f"/api/v1/distributions/{number}/{name}/"
        if pc is not None:
            found = list(session.rest.every("/api/v1/deliveries/", distribution=number, client__name=pc))
            if not found:
                raise click.UsageError(f"Distribution {number} has no PC {pc}.")
            path = f"/api/v1/deliveries/{found[0]['id']}/{name}/"
        session.rest.post(path, {"reason": reason})
        row = session.rest.get(f"/api/v1/distributions/{number}/")
        _print(session, row, _deliveries(session.rest, number))


_steering("pause", "Let no PC fetch on, nor switch.")
_steering("resume", "Go on, paused or halted.")


@distribution_group.command("leave-out")
@click.argument("number", metavar="ID", type=int)
@click.option("--pc", required=True)
@click.option("--reason", default="")
@common
def leave_out(session: Session, number: int, pc: str, reason: str) -> None:
    """This PC keeps what it runs; the others go on."""
    for delivery in session.rest.every("/api/v1/deliveries/", distribution=number, client__name=pc):
        session.one(
            session.rest.post(f"/api/v1/deliveries/{delivery['id']}/cancel/", {"reason": reason}), _DELIVERY
        )


@distribution_group.command()
@click.argument("number", metavar="ID", type=int)
@click.option("--reason", default="")
@common
def approve(session: Session, number: int, reason: str) -> None:
    """After the pilots, let the others have it; not for whoever began it."""
    row = session.rest.post(f"/api/v1/distributions/{number}/approve/", {"reason": reason})
    _print(session, row, _deliveries(session.rest, number))


@distribution_group.command("rollback-ring")
@click.argument("number", metavar="ID", type=int)
@click.option("--reason", default="")
@common
def rollback_ring(session: Session, number: int, reason: str) -> None:
    """Bring the PCs that it reached back to what each ran before; call off the rest."""
    made = session.rest.post(f"/api/v1/distributions/{number}/rollback-ring/", {"reason": reason})
    session.rows(made, _DISTRIBUTION)


@distribution_group.command("progress")
@click.argument("number", metavar="ID", type=int)
@common
def progress_of(session: Session, number: int) -> None:
    """How many are through, the speed now, the expected end."""
    shown = [("ended", "ended"), ("of", "total"), ("bytes/s", "bytes_s"), ("expected end", "expected_end")]
    found = session.rest.get(f"/api/v1/distributions/{number}/progress/")
    session.one(found, shown)
    if found["stuck"] and session.form is not showing.Format.JSON:
        print()
        session.rows(found["stuck"], _STUCK)


def _follow(session: Session, distribution: dict[str, Any], *, wait: bool) -> None:
    """Prints a distribution, watched to its end first if so wished. Raises PcsFailed."""
    if wait:
        session.rest.pauses_s = PATIENT_S
        distribution = watch(session.rest, distribution["id"])
    deliveries = _deliveries(session.rest, distribution["id"])
    _print(session, distribution, deliveries)
    left = [delivery["client"] for delivery in deliveries if delivery["state"] != "booted"]
    if wait and left:
        raise PcsFailed(
            "pcs_failed",
            f"{len(left)} of {len(deliveries)} PCs did not boot {distribution['version']}. See why above;"
            f" send it again with: vrasctl distribution retry {distribution['id']}",
        )


def watch(
    rest: Rest, number: int, *, poll_s: float = POLL_S, sleep: Callable[[float], None] = time.sleep
) -> dict[str, Any]:
    """Shows a distribution until it has come to its end; the server's row then."""
    with progress.of_distribution() as shown:
        while True:
            distribution: dict[str, Any] = rest.get(f"/api/v1/distributions/{number}/")
            shown.show(distribution, _deliveries(rest, number))
            if distribution["state"] != "running":
                return distribution
            sleep(poll_s)


def _deliveries(rest: Rest, number: int) -> list[dict[str, Any]]:
    return list(rest.every("/api/v1/deliveries/", distribution=number))


def _print(session: Session, distribution: dict[str, Any], deliveries: list[dict[str, Any]]) -> None:
    if session.form is showing.Format.JSON:
        session.one({**distribution, "pcs": deliveries}, [])
        return
    session.one(distribution, _DISTRIBUTION)
    print()
    session.rows(deliveries, _DELIVERY)

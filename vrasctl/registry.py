"""`vrasctl pc`, `group`, `events`: who belongs here, and what happened."""

import os
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import click

from vrasctl import showing, terms
from vrasctl.images import for_machine, wire_name
from vrasctl.outcome import ServerRefused
from vrasctl.rest import Rest, segment
from vrasctl.session import Session, common
from vrasnode.errors import HostBroken

_PC = [
    ("name", "name"),
    ("state", "state"),
    ("group", "group"),
    ("user", "user"),
    ("present", "present"),
    ("last contact", "last_contact"),
    ("client VM", "desktop"),
    ("version", "runs"),
]
_PC_ALONE = [
    ("id", "id"),
    *_PC,
    ("enrolled", "enrolled_at"),
    ("certificate until", "certificate_expires"),
    ("agent", "facts.agent_version"),
    ("system", "facts.os"),
    ("CPUs", "facts.cpus"),
    ("memory", "facts.memory_bytes"),
    ("disk free", "facts.state_disk_free_bytes"),
    ("model", "facts.platform.model"),
    ("simulated", "simulated"),
]
_GROUP = [("name", "name"), ("PCs", "pcs"), ("note", "note"), ("created", "created_at")]
_SUBSCRIPTION = [
    ("group", "group"),
    ("image", "image"),
    ("on publish", "on_publish"),
    ("on joining", "on_join"),
    ("pilots", "pilots"),
    ("or how many", "pilot_count"),
    ("second person", "approval"),
]
_PLAIN_TERMS: dict[str, Any] = {
    **{"wave_size": 50, "rate_bytes_s": None, "pilots": [], "pilot_count": 0, "approval": False},
    **{"halt_failures": None, "halt_percent": None, "fetch_hours": "", "switch_hours": ""},
    **{"postponements": 0, "deadline_days": None},
}
_EVENT = [
    ("time", "at"),
    ("who", "actor"),
    ("act", "verb"),
    ("on what", "object_name"),
    ("from where", "origin"),
    ("reason", "reason"),
]


@click.group("pc")
def pc_group() -> None:
    """Client PCs."""


@pc_group.command("list")
@click.option("--group", help="Only of this group.")
@click.option("--state", type=click.Choice(["pending", "approved", "lost", "revoked"]))
@common
def list_pcs(session: Session, group: str | None, state: str | None) -> None:
    """All PCs."""
    found = session.rest.every("/api/v1/clients/", group__name=group, state=state)
    session.rows(_with_versions(session.rest, found), _PC)


@pc_group.command()
@click.argument("name")
@common
def show(session: Session, name: str) -> None:
    """One PC."""
    session.one(_with_versions(session.rest, [find_pc(session.rest, name)])[0], _PC_ALONE)


@pc_group.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@common
def approve(session: Session, names: tuple[str, ...]) -> None:
    """Let pending PCs join."""
    found = [find_pc(session.rest, name) for name in names]  # all of them are there, or none is approved
    done = [session.rest.post(f"/api/v1/clients/{pc['id']}/approve/") for pc in found]
    session.rows(_with_versions(session.rest, done), _PC)


@pc_group.command()
@click.argument("name")
@click.option("--reason", required=True)
@common
def revoke(session: Session, name: str, reason: str) -> None:
    """Refuse a PC from its next contact on."""
    _act(session, name, "revoke", {"reason": reason})


@pc_group.command()
@click.argument("name")
@click.option("--group", required=True, help="The group to move it to; - is none.")
@common
def move(session: Session, name: str, group: str) -> None:
    """Move a PC to another group."""
    wish = {"group": None if group == "-" else group}
    _act(session, name, "regroup", wish)


@pc_group.command()
@click.argument("name")
@click.option("--user", required=True, help="The login name of who has it; - is nobody.")
@common
def assign(session: Session, name: str, user: str) -> None:
    """Say which employee has a PC: what was granted to them is granted there."""
    wish = {"user": None if user == "-" else user}
    _act(session, name, "assign", wish)


@pc_group.command()
@click.option("--group", help="The group that the PC joins.")
@click.option("--approved", is_flag=True, help="The PC needs no approval any more.")
@click.option(
    "--output", metavar="FILE", help="Write the token there, readable by you alone; default: print it."
)
@click.option("--count", type=click.IntRange(1), default=1, metavar="N", help="So many, each on a line.")
@common
def token(session: Session, group: str | None, approved: bool, output: str | None, count: int) -> None:
    """Make a one-time token by which a PC enrols, or one each for several."""
    wish = {"group": group, "approved": approved}
    file = _new_secret_file(output) if output else None
    made = [session.rest.post("/api/v1/enrolment-tokens/", wish) for _ in range(count)]
    if file is not None:
        with os.fdopen(file, "w") as secret:
            secret.writelines(f"{one['token']}\n" for one in made)
        made = [{**one, "token": None} for one in made]
        expires = showing.cell(made[0], "expires_at")
        what = "The token is in" if count == 1 else f"{count} tokens are in"
        showing.say(f"{what} {output}; {'it is' if count == 1 else 'each is'} good once, until {expires}.")
    if session.form is showing.Format.JSON:
        session.rows(made, []) if count > 1 else session.one(made[0], [])
    elif file is None:
        print("\n".join(one["token"] for one in made))


def _new_secret_file(name: str) -> int:
    """A new file that only its owner may read; one that is there is not overwritten."""
    try:
        return os.open(Path(name), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise HostBroken("file_not_written", f"{name} cannot be made: {error.strerror}.") from error


@click.group("group")
def group_group() -> None:
    """Groups of PCs, and what they get by themselves."""


@group_group.command("list")
@common
def list_groups(session: Session) -> None:
    """All groups."""
    session.rows(session.rest.every("/api/v1/groups/"), _GROUP)


@group_group.command("create")
@click.argument("name")
@click.option("--note", default="")
@common
def create_group(session: Session, name: str, note: str) -> None:
    """Make a group."""
    session.one(session.rest.post("/api/v1/groups/", {"name": name, "note": note}), _GROUP)


@group_group.command("show")
@click.argument("name")
@common
def show_group(session: Session, name: str) -> None:
    """One group: what it gets by itself, and its PCs."""
    group = session.rest.get(f"/api/v1/groups/{segment(name)}/")
    subscriptions = list(session.rest.every("/api/v1/subscriptions/", group__name=group["name"]))
    pcs = _with_versions(session.rest, session.rest.every("/api/v1/clients/", group__name=group["name"]))
    if session.form is showing.Format.JSON:
        first = next((row for row in subscriptions if row["machine"] == "client_vm"), None)
        told = {"subscription": first, "subscriptions": subscriptions, "clients": pcs}
        session.one({**group, **told}, [])
        return
    by_itself = ", ".join(row["image"] for row in subscriptions)
    session.one({**group, "by_itself": by_itself}, [*_GROUP, ("gets by itself", "by_itself")])
    print()
    session.rows(pcs, _PC)


@group_group.command("delete")
@click.argument("name")
@common
def delete_group(session: Session, name: str) -> None:
    """Delete a group without PCs."""
    path = f"/api/v1/groups/{segment(name)}/"
    session.rest.get(path)  # a name that is not there is said
    session.rest.delete(path)


@group_group.command()
@click.argument("name")
@click.option("--image", required=True)
@click.option("--on-publish/--no-on-publish", default=True, help="Every new version (default).")
@click.option("--on-join/--no-on-join", default=True, help="Every PC that joins (default).")
@click.option("--deadline-days", type=click.IntRange(1, 365), help="Switched by then at the latest.")
@terms.options
@common
def subscribe(
    session: Session,
    /,
    name: str,
    *,
    image: str,
    on_publish: bool,
    on_join: bool,
    at_once: bool,
    wave: int | None,
    rate: int | None,
    **more: Any,
) -> None:
    """Let a group get an image by itself, on these terms; in place of any before for the same machine."""
    wish = {"group": name, "image": image, "on_publish": on_publish, "on_join": on_join}
    wish |= {**_PLAIN_TERMS, **terms.wish(at_once, wave, rate, more)}
    machine = session.rest.get(f"/api/v1/images/{segment(image)}/")["machine"]
    before = session.rest.find("/api/v1/subscriptions/", group__name=name, machine=machine)
    if before:
        row = session.rest.patch(f"/api/v1/subscriptions/{before['id']}/", wish)
    else:
        row = session.rest.post("/api/v1/subscriptions/", wish)
    session.one(row, _SUBSCRIPTION)


@group_group.command()
@click.argument("name")
@for_machine
@common
def unsubscribe(session: Session, name: str, machine: str | None) -> None:
    """Let a machine of a group's PCs get nothing by itself any more."""
    about = wire_name(machine) or "client_vm"
    before = session.rest.find("/api/v1/subscriptions/", group__name=name, machine=about)
    if before is None:
        raise ServerRefused("not_found", f"{name} gets no image by itself.", status=404)
    session.rest.delete(f"/api/v1/subscriptions/{before['id']}/")


@click.command()
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True)
@click.option("--verb", help="Only this act, such as imageversion.ready.")
@click.option("--actor", help="Only of this person or part.")
@common
def events(session: Session, limit: int, verb: str | None, actor: str | None) -> None:
    """The audit log, newest first."""
    session.rows(islice(session.rest.every("/api/v1/events/", verb=verb, actor=actor), limit), _EVENT)


def find_pc(rest: Rest, name: str) -> dict[str, Any]:
    """The server's row of a PC; of several with this name the one that is not revoked. Raises
    ServerRefused(not_found)."""
    found = list(rest.every("/api/v1/clients/", name=name))
    living = [pc for pc in found if pc["state"] != "revoked"]
    if not found:
        raise ServerRefused("not_found", f"There is no PC called {name}.", status=404)
    return (living or found)[0]


def _act(session: Session, name: str, act: str, wish: Mapping[str, Any]) -> None:
    """Has the server do something with one PC, and shows it."""
    done = session.rest.post(f"/api/v1/clients/{find_pc(session.rest, name)['id']}/{act}/", wish)
    session.rows(_with_versions(session.rest, [done]), _PC)


def _with_versions(rest: Rest, pcs: Any) -> list[dict[str, Any]]:
    """PCs with the version that each runs, as NAME@NUMBER in `runs`."""
    listed = list(pcs)
    if not any(pc["running"] for pc in listed):
        return [{**pc, "runs": None} for pc in listed]
    names = {
        version["manifest"]: f"{version['image']}@{version['number']}"
        for version in rest.every("/api/v1/versions/", state__in="ready,retired")
    }
    return [{**pc, "runs": names.get(pc["running"])} for pc in listed]

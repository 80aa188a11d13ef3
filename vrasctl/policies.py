"""`vrasctl policy`: which devices a group, a PC or an employee may have; what a change would do; why."""

import json
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

import click

from vrasctl import showing
from vrasctl.outcome import ServerRefused
from vrasctl.registry import find_pc
from vrasctl.rest import Rest, segment
from vrasctl.session import Session, common
from vrasnode.errors import Refused

MAX_FILE_BYTES = 4 << 20

_RULE = [
    ("no.", "number"),
    ("verdict", "verdict"),
    ("bus", "bus"),
    ("class", "device_class"),
    ("vendor:product", "device_id"),
    ("serial", "serial"),
    ("port", "port"),
    ("interfaces", "interfaces"),
    ("until", "valid_until"),
    ("made by", "created_by"),
    ("note", "note"),
]
_CHANGE = [
    ("PC", "pc"),
    ("device", "name"),
    ("where", "key"),
    ("now", "before.fate"),
    ("then", "after.fate"),
    ("why", "after.words"),
]
_DEVICE = [
    ("where", "key"),
    ("device", "name"),
    ("vendor:product", "device_id"),
    ("fate", "fate"),
    ("in the client VM", "present"),
    ("why", "words"),
]
_WHY = [
    ("device", "name"),
    ("where", "key"),
    ("vendor:product", "device_id"),
    ("serial", "serial"),
    ("fate", "fate"),
    ("in the client VM", "present"),
    ("why", "words"),
    ("rule", "rule"),
    ("made for", "owner"),
    ("made by", "made_by"),
    ("made", "made_at"),
    ("note", "note"),
]


@dataclass(frozen=True)
class Owner:
    """Whose policy; one of the three."""

    group: str | None
    pc: str | None
    user: str | None

    def path(self, rest: Rest) -> str:
        """The address of the policy. Raises UsageError unless exactly one owner is named."""
        if len([name for name in (self.group, self.pc, self.user) if name is not None]) != 1:
            raise click.UsageError("Say whose policy: one of --group, --pc, --user.")
        if self.group is not None:
            return f"/api/v1/groups/{segment(self.group)}/device-policy/"
        if self.user is not None:
            return f"/api/v1/users/{segment(self.user)}/device-policy/"
        return f"/api/v1/clients/{find_pc(rest, str(self.pc))['id']}/device-policy/"


def _owned(command: Callable[..., Any]) -> Callable[..., Any]:
    """Gives a command the options that say whose policy, as its `owner`."""

    @wraps(command)
    def with_owner(*args: Any, group: str | None, pc: str | None, user: str | None, **options: Any) -> Any:
        return command(*args, owner=Owner(group, pc, user), **options)

    decorated: Callable[..., Any] = with_owner
    for option, words in (
        ("--user", "Of an employee: on whatever PC they have."),
        ("--pc", "Of one PC: goes over its group's."),
        ("--group", "Of a group."),
    ):
        decorated = click.option(option, metavar="NAME", help=words)(decorated)
    return decorated


_REASON = click.option("--reason", default="", help="For the audit log.")


@click.group("policy")
def policy_group() -> None:
    """Which devices of their PCs client VMs may have. Say whose: --group, --pc or --user."""


@policy_group.command()
@common
@_owned
def show(session: Session, owner: Owner) -> None:
    """The rules in order. With -o json what `policy set` takes."""
    policy = session.rest.get(owner.path(session.rest))
    if session.form is showing.Format.JSON:
        session.one(policy, [])
        return
    session.rows([{**rule, "number": rule["id"]} for rule in policy["rules"]], _RULE)
    settings = {name: policy[name] for name in ("usb_mode", "suspend") if policy[name]}
    for name, value in settings.items():
        print(f"{name}: {value}")
    for entry in policy.get("suspend_by_model", []):
        print(showing.clean(f"suspend of {entry['model']}: {entry['suspend']}"))
    _say_remarks(policy["remarks"])


@policy_group.command("set")
@click.argument("file")
@_REASON
@common
@_owned
def set_policy(session: Session, file: str, reason: str, owner: Owner) -> None:
    """Make the JSON in FILE (- is standard input) the whole policy.

    If FILE names a `revision`, as `policy show -o json` does, what others changed meanwhile is not lost.
    """
    wish = _policy_in(file)
    done = _put(session.rest, owner.path(session.rest), wish, reason=reason)
    showing.say(f"Saved as revision {done['revision']}, {len(done['rules'])} rules.")
    _say_remarks(done["remarks"])


@policy_group.command()
@click.argument("file")
@common
@_owned
def preview(session: Session, file: str, owner: Owner) -> None:
    """What would change on which PC if the JSON in FILE were the policy."""
    found = session.rest.post(f"{owner.path(session.rest)}preview/", _policy_in(file))
    if session.form is showing.Format.JSON:
        session.one(found, [])
        return
    session.rows(
        ({**change, "pc": pc_row["name"]} for pc_row in found["pcs"] for change in pc_row["changes"]), _CHANGE
    )
    for pc_row in found["pcs"]:
        if sleep := pc_row.get("sleep"):
            before, after = sleep["before"], sleep["after"]
            showing.say(
                f"{pc_row['name']}: suspend {before['suspend']}, then {after['suspend']}: {after['words']}"
            )
        for words in pc_row["vain"]:
            showing.say(f"{pc_row['name']}: {words}")
    showing.say(
        f"{found['looked_at']} PCs looked at, {found['unknown']} have not described their devices,"
        f" {found['left_out']} left out."
    )
    _say_remarks(found["remarks"])


@policy_group.command()
@click.argument("name", metavar="PC")
@click.argument("device", required=False)
@common
def why(session: Session, name: str, device: str | None) -> None:
    """Why a DEVICE of a PC (1-2.3, 0000:03:00.0, sr0) is as it is; without DEVICE, all of them."""
    path = f"/api/v1/clients/{find_pc(session.rest, name)['id']}/devices/"
    told = session.rest.get(path)
    found = told["devices"]
    if device is None:
        session.rows(found, _DEVICE)
        if sleep := told.get("sleep"):
            showing.say(f"suspend {sleep['suspend']}: {sleep['words']}")
        return
    here = next((one for one in found if one["key"] == device), None)
    if here is None:
        raise ServerRefused("no_such_device", f"{name} has no device at {device}.", status=404)
    session.one(session.rest.get(f"{path}{here['bus']}/{segment(device)}/why/"), _WHY)


@policy_group.command("export")
@common
@_owned
def export_rules(session: Session, owner: Owner) -> None:
    """The USB rules in usbguard's language."""
    data = session.rest.get_bytes(f"{owner.path(session.rest)}usbguard/")
    print(showing.clean(data.decode()), end="")


@policy_group.command("import")
@click.argument("file")
@click.option(
    "--replace", is_flag=True, help="In place of the USB rules that are there; default: behind them."
)
@_REASON
@common
@_owned
def import_rules(session: Session, file: str, replace: bool, reason: str, owner: Owner) -> None:
    """Add rules in usbguard's language from FILE (- is standard input)."""
    path = owner.path(session.rest)
    new = session.rest.post_text(f"{path}usbguard/", _text_in(file))["rules"]
    before = session.rest.get(path)
    kept = [rule for rule in before["rules"] if not (replace and rule["bus"] == "usb")]
    done = _put(session.rest, path, {**before, "rules": [*kept, *new]}, reason=reason)
    showing.say(f"Saved as revision {done['revision']}: {len(new)} rules read, {len(done['rules'])} in all.")
    _say_remarks(done["remarks"])


def _put(rest: Rest, path: str, wish: dict[str, Any], *, reason: str) -> Any:
    revision = wish.get("revision")
    match = "*" if revision is None else f'"{revision}"'
    return rest.put(path, {**wish, "reason": reason}, match=match)


def _policy_in(file: str) -> dict[str, Any]:
    try:
        policy = json.loads(_text_in(file))
    except ValueError as error:
        raise Refused("bad_policy", f"{file} is not JSON: {error}") from error
    if not isinstance(policy, dict):
        raise Refused("bad_policy", f'{file} is no policy: it looks like {{"rules": […]}}.')
    return policy


def _text_in(file: str) -> str:
    """Raises Refused(no_file)."""
    try:
        data = sys.stdin.read(MAX_FILE_BYTES + 1) if file == "-" else Path(file).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise Refused("no_file", f"{file} cannot be read as text.") from error
    if len(data) > MAX_FILE_BYTES:
        raise Refused("no_file", f"{file} is longer than {MAX_FILE_BYTES} bytes.")
    return data


def _say_remarks(remarks: Iterable[dict[str, Any]]) -> None:
    for remark in remarks:
        showing.say(f"Worth a second look: {remark['words']}")

"""`vrasctl recovery`: what opens user data when its owner, its PC or the server cannot."""

import base64
import sys
import uuid
from pathlib import Path
from typing import Any

import click

from vrasctl import custody, showing
from vrasctl.custody import CustodianKey, Half
from vrasctl.session import Session, common, secret_in
from vrasnode import sealing
from vrasnode.errors import Refused
from vrasnode.wire import codec

_CUSTODIAN = [
    *[("place", "place"), ("name", "name"), ("fingerprint", "fingerprint")],
    *[("state", "state"), ("since", "created_at")],
]
_VOLUME = [
    *[("volume", "id"), ("owner", "owner"), ("PC", "client"), ("state", "state")],
    *[("opens by logon", "opens_by_logon"), ("recovered by", "recovered_by")],
]
REPLICA = "replica "  # before the volume: what a replica's password was wrapped for
_file = click.Path(dir_okay=False, path_type=Path)
_passphrase = click.option(
    "--passphrase-file", metavar="FILE", help="File with the passphrase; - is standard input."
)


@click.group("recovery")
def recovery_group() -> None:
    """Two custodians who together open user data when nothing else does."""


@recovery_group.command("make-key")
@click.argument("file", type=_file)
@_passphrase
@common
def make_key(session: Session, file: Path, passphrase_file: str | None) -> None:
    """Make a custodian's key: FILE stays with its owner, FILE.pub is registered. No server is asked."""
    key = custody.make(file, _passphrase_of(passphrase_file, new=True))
    made = {"file": str(file), "public": str(custody.public_file(file)), "fingerprint": key.fingerprint}
    session.one(made, [("private key", "file"), ("public key", "public"), ("fingerprint", "fingerprint")])
    showing.say(
        "Keep the private key and its passphrase apart, each in a safe. Without them nothing recovers."
    )


@recovery_group.command()
@click.argument("file", type=_file)
@click.option("--place", type=click.IntRange(1, 2), required=True, help="Who opens first, who second.")
@click.option("--name", required=True, help="Who the custodian is.")
@common
def register(session: Session, file: Path, place: int, name: str) -> None:
    """Register a custodian by FILE.pub; who had the place is replaced."""
    wish = {"name": name, "place": place, "public_key": custody.public_in(file).hex()}
    session.one(session.rest.post("/api/v1/custodians/", wish), _CUSTODIAN)
    showing.say("Compare the fingerprint with the one that its owner was shown.")


@recovery_group.command()
@common
def custodians(session: Session) -> None:
    """Who they are, and who they were."""
    session.rows(session.rest.every("/api/v1/custodians/"), _CUSTODIAN)


@recovery_group.command("list")
@common
def list_volumes(session: Session) -> None:
    """All volumes, and who recovers each: nobody, for those without a recovery key."""
    known = {row["fingerprint"]: row for row in session.rest.every("/api/v1/custodians/")}

    def named(mark: str) -> str:
        row = known.get(mark, {"name": mark, "state": "unknown"})
        return f"{row['name']}{'' if row['state'] == 'active' else ' (' + row['state'] + ')'}"

    rows = []
    for row in session.rest.every("/api/v1/volumes/"):
        who = " + ".join(map(named, row["custodians"])) if row["recoverable"] else "nobody"
        rows.append({**row, "recovered_by": who})
    session.rows(rows, _VOLUME)


@recovery_group.command("open")
@click.argument("volume", metavar="VOLUME")
@click.option("--key", "key_file", type=_file, required=True, help="Your private key.")
@click.option("--in", "half_file", type=_file, help="What the first custodian gave you.")
@click.option("--out", "out_file", type=_file, help="A new file, readable by you alone.")
@click.option("--reason", help="Why: it stands in the audit log. For the first custodian.")
@click.option("--replica", is_flag=True, help="What opens its replica on the NAS, with any restic.")
@_passphrase
@common
def open_volume(
    session: Session,
    *,
    volume: str,
    key_file: Path,
    half_file: Path | None,
    out_file: Path | None,
    reason: str | None,
    replica: bool,
    passphrase_file: str | None,
) -> None:
    """Open the recovery key of VOLUME (its id, or OWNER@PC), one custodian after the other.

    The first one asks the server and writes --out for the second one, who reads it by --in, without a server,
    and gets the recovery key: 64 hex digits, for `cryptsetup --key-file`, or to be typed.
    """
    if half_file is None and (reason is None or out_file is None):
        raise click.UsageError("The first custodian says --reason and --out, the second one --in.")
    if half_file is None:
        half = _fetched(session, volume, str(reason), what="recover-replica" if replica else "recover")
    else:
        half = codec.decode(custody.read(half_file), Half)
        if volume not in (half.volume.removeprefix(REPLICA), half.name.replace(" ", "")):
            raise Refused("other_volume", f"{half_file} is of {half.name}, {half.volume}.")
    custodian = custody.unlock(key_file, lambda: _passphrase_of(passphrase_file, new=False))
    _give(custodian, half, out_file)


def _give(custodian: CustodianKey, half: Half, out_file: Path | None) -> None:
    left = custodian.peel(half)
    if left.custodians and out_file is not None:
        custody.write_secret(out_file, codec.encode(left))
        showing.say(f"{out_file} is for the custodian {left.custodians[0]}. Nobody else can open it.")
        return
    if left.custodians:
        raise click.UsageError("Say where to keep what the next custodian needs: --out FILE.")
    try:
        is_replica = left.volume.startswith(REPLICA)
        key = left.wrapped.decode() if is_replica else sealing.passphrase(left.wrapped)
    except ValueError as error:
        raise Refused("no_key", f"What was deposited for {left.name} is no key: {error}.") from error
    if out_file is not None:
        custody.write_secret(out_file, key.encode())
        showing.say(
            f"{out_file} opens the replica of {left.name}: restic --password-file {out_file} "
            f"--repo NAS/{left.volume.removeprefix(REPLICA)} …"
            if is_replica
            else f"{out_file} opens {left.name} (LUKS {left.luks_uuid}): cryptsetup --key-file {out_file} …"
        )
        return
    sys.stdout.write(key)
    sys.stdout.flush()


def _fetched(session: Session, volume: str, reason: str, *, what: str) -> Half:
    row: dict[str, Any] = session.rest.post(
        f"/api/v1/volumes/{volume_id(session, volume)}/{what}/", {"reason": reason}
    )
    return Half(
        volume=row["volume"],
        name=row["name"],
        luks_uuid=row.get("luks_uuid", ""),
        custodians=row["custodians"],
        wrapped=base64.b64decode(row["wrapped"]),
    )


def volume_id(session: Session, volume: str) -> str:
    try:
        return str(uuid.UUID(volume))
    except ValueError:
        owner, at, client = volume.rpartition("@")
    query = {"owner__username": owner, "client__name": client}
    found = session.rest.find("/api/v1/volumes/", **query) if at else None
    if found is None:
        raise Refused("no_volume", f"There is no volume {volume}. `vrasctl recovery list` shows them.")
    return str(found["id"])


def _passphrase_of(file: str | None, *, new: bool) -> str:
    if file is not None:
        return secret_in(file)
    if not sys.stdin.isatty():
        raise click.UsageError("No terminal to ask at: give --passphrase-file.")
    return str(click.prompt("Passphrase", hide_input=True, err=True, confirmation_prompt=new))

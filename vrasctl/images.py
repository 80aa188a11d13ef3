"""`vrasctl image`: master images and their versions."""

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vrasctl import showing
from vrasctl.outcome import ServerRefused
from vrasctl.rest import Rest, segment
from vrasctl.session import Session, common
from vrasnode.errors import Refused

if TYPE_CHECKING:
    from vrasctl.publishing import Published

_IMAGE = [
    ("name", "name"),
    ("newest", "latest.number"),
    ("size", "latest.size_bytes"),
    ("published", "latest.ready_at"),
    ("by", "latest.published_by"),
    ("note", "latest.note"),
]
_IMAGE_ALONE = [
    ("name", "name"),
    ("machine", "machine"),
    ("newest version", "latest.number"),
    ("versions kept", "keep_versions"),
    ("healthy within (s)", "health_within_s"),
    ("guest agent", "health_agent"),
    ("health command", "health_command"),
    ("created", "created_at"),
]
_VERSION = [
    ("version", "number"),
    ("state", "state"),
    ("size", "size_bytes"),
    ("new", "new_bytes"),
    ("dedup", "saved_by_dedup_bytes"),
    ("published", "ready_at"),
    ("by", "published_by"),
    ("note", "note"),
    ("what happened", "failure_words"),
]


for_machine = click.option(
    "--machine",
    type=click.Choice(["client-vm", "virtual-server"]),
    help="Which machine of a PC it is for (default: client-vm).",
)


def wire_name(machine: str | None) -> str | None:
    """A machine as REST names it."""
    return machine.replace("-", "_") if machine else None


def parse_version(text: str) -> tuple[str, int | None]:
    """NAME or NAME@VERSION. Raises Refused(bad_version)."""
    name, at, number = text.rpartition("@")
    if not at:
        return text, None
    if not number.isdecimal() or not int(number):
        raise Refused("bad_version", f"{number!r} is not the number of a version: write NAME@3.")
    return name, int(number)


@click.group("image")
def image_group() -> None:
    """Master images and their versions."""


@image_group.command()
@click.argument("file")
@click.option("--name", required=True, help="The image that this is a new version of.")
@click.option("--note", default="", help="What changed, for those who distribute it.")
@click.option("--create/--no-create", default=True, help="Make the image when there is none (default).")
@for_machine
@click.option("--no-wait", is_flag=True, help="Do not wait until the server has checked the version.")
@click.option("--scratch", metavar="DIR", help="Where a qcow2 is unpacked (default: /var/tmp).")
@click.option(
    "--keep-free-space", is_flag=True, help="Publish what lies in the free space of file systems too."
)
@common
def publish(
    session: Session,
    file: str,
    *,
    name: str,
    note: str,
    create: bool,
    machine: str | None,
    no_wait: bool,
    scratch: str | None,
    keep_free_space: bool,
) -> None:
    """Publish FILE (raw or qcow2) as the newest version of an image.

    Only what the server lacks is sent. A publication that was broken off goes on when the same command is
    given again. What lies in the free space of an ext4 or NTFS file system that was shut down cleanly is left
    out, as TRIM would have; FILE is not changed.
    """
    if file == "-":
        raise Refused("no_stdin", "An image is read from a file or a disk: its holes are looked up first.")
    from vrasctl import progress
    from vrasctl.publishing import Publisher

    began = time.monotonic()
    with progress.of_publication() as shown:
        publisher = Publisher(
            session.rest,
            session.account.publisher_key(),
            progress=shown,
            clock=lambda: datetime.now(UTC),
            scratch=Path(scratch) if scratch else None,
            keep_free_space=keep_free_space,
        )
        published = publisher.publish(
            Path(file), name=name, note=note, create=create, wait=not no_wait, machine=wire_name(machine)
        )
    _print(session, published, seconds=time.monotonic() - began)


def _print(session: Session, published: "Published", *, seconds: float) -> None:
    version = published.version
    told = {
        **version,
        "unchanged": published.unchanged,
        "sent_bytes": published.sent_bytes,
        "new_chunks": published.new_chunks,
        "free_space": [
            {
                "file_system": volume.kind,
                "start_bytes": volume.start,
                "left_out_bytes": volume.free_bytes,
                "why_not": volume.unsure,
            }
            for volume in published.free_space.volumes
        ],
        "seconds": round(seconds, 2),
    }
    if session.form is showing.Format.JSON:
        session.one(told, [])
    elif published.unchanged:
        print(f"unchanged, version {version['number']}")
    else:
        print(
            f"{showing.clean(version['image'])}@{version['number']} {version['state']}:"
            f" {showing.amount(version['size_bytes'])}, {showing.amount(version['new_bytes'])} new,"
            f" {showing.amount(version['saved_by_dedup_bytes'])} there already,"
            f" {showing.amount(published.sent_bytes)} sent in {seconds:.1f} s"
        )
    if session.form is not showing.Format.JSON:
        _print_free_space(published)


def _print_free_space(published: "Published") -> None:
    for volume in published.free_space.volumes:
        where = f"{volume.kind} at byte {volume.start}"
        if volume.unsure:
            print(f"{where}: its free space was published too, for {volume.unsure}")
        else:
            print(f"{where}: {showing.amount(volume.free_bytes)} of free space left out")


@image_group.command("list")
@common
def list_images(session: Session) -> None:
    """All images with their newest version."""
    session.rows(session.rest.every("/api/v1/images/"), _IMAGE)


@image_group.command()
@click.argument("name")
@common
def show(session: Session, name: str) -> None:
    """One image and its versions."""
    image = session.rest.get(f"/api/v1/images/{segment(name)}/")
    versions = list(session.rest.every("/api/v1/versions/", image__name=image["name"], ordering="-number"))
    if session.form is showing.Format.JSON:
        session.one({**image, "versions": versions}, [])
        return
    session.one(image, _IMAGE_ALONE)
    print()
    session.rows(versions, _VERSION)


@image_group.command()
@click.argument("name")
@click.option("--health-command", metavar="COMMAND", help="Run in the guest; ends with 0 when it is well.")
@click.option("--health-within", type=click.IntRange(1), metavar="S", help="Seconds to become healthy.")
@click.option("--no-agent", is_flag=True, help="Its guests have no agent: what still runs then is healthy.")
@click.option("--keep", type=click.IntRange(0), metavar="N", help="Versions to keep; 0 keeps all.")
@for_machine
@common
def create(
    session: Session,
    name: str,
    *,
    health_command: str | None,
    health_within: int | None,
    no_agent: bool,
    keep: int | None,
    machine: str | None,
) -> None:
    """Make an image without a version yet."""
    import shlex

    wish: dict[str, Any] = {"name": name}
    if health_command is not None:
        wish["health_command"] = shlex.split(health_command)
    if health_within is not None:
        wish["health_within_s"] = health_within
    if no_agent:
        wish["health_agent"] = False
    if keep is not None:
        wish["keep_versions"] = keep
    if machine is not None:
        wish["machine"] = wire_name(machine)
    session.one(session.rest.post("/api/v1/images/", wish), _IMAGE_ALONE)


@image_group.command()
@click.argument("version")
@common
def retire(session: Session, version: str) -> None:
    """End a version (NAME@NUMBER) that nothing uses; its bytes go later."""
    name, number = parse_version(version)
    if number is None:
        raise Refused("bad_version", "Say which version ends: NAME@3.")
    row = find_version(session.rest, name, number)
    session.one(session.rest.post(f"/api/v1/versions/{row['id']}/retire/"), [("image", "image"), *_VERSION])


def find_version(rest: Rest, name: str, number: int) -> dict[str, Any]:
    """The server's row of a version. Raises ServerRefused(not_found)."""
    row = rest.find("/api/v1/versions/", image__name=name, number=number)
    if row is None:
        raise ServerRefused("not_found", f"There is no version {name}@{number}.", status=404)
    return row

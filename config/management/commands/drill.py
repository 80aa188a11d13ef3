"""`manage.py drill`: what replicas give back is compared, now, with what their PCs signed."""

from collections.abc import Iterator
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.template.defaultfilters import filesizeformat
from django.utils import timezone, translation
from django.utils.translation import gettext as _

from clients.auditing import Actor, acting
from clients.errors import Refusal
from config.management.commands.directory import language
from mydoc.models import Replica, Upkeep
from mydoc.upkeep import drilling


class Command(BaseCommand):
    help = (
        "Restores files of the newest replica of each volume, as the weekly drill does, and compares them "
        "with what its PC signed; nothing is written to disk. Exit code 0: all are the same, 1: not so."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("volumes", nargs="*", metavar="OWNER@PC", help="default: all that have a replica")
        parser.add_argument("--whole", action="store_true", help="every file, not some by lot")
        parser.add_argument("--language", choices=["ja", "en"], default=language(), help="default: LANG's")

    def handle(self, *args: Any, **options: Any) -> None:
        bad = 0
        operator = Actor(name="operator", kind="system", origin="manage.py drill")
        with translation.override(options["language"]), acting(operator):
            for replica in list(_chosen(options["volumes"])):
                good, words = _drilled(replica, whole=options["whole"])
                bad += not good
                self.stdout.write(f"{'ok ' if good else 'NO '} {replica}: {words}")
        if bad:
            raise CommandError("", returncode=1)


def _chosen(names: list[str]) -> Iterator[Replica]:
    """Raises CommandError for a name that is none."""
    rows = Replica.objects.select_related("volume__owner", "volume__client")
    if not names:
        yield from rows.exclude(last_good_at=None)
    for name in names:
        owner, _at, pc = name.partition("@")
        found = rows.filter(volume__owner__username=owner, volume__client__name=pc).first()
        if found is None:
            raise CommandError(f"{name} has no replica. `vrasctl replica list` shows those there are.")
        yield found


def _drilled(replica: Replica, *, whole: bool) -> tuple[bool, str]:
    """Whether all is the same, and that in words."""
    try:
        row = drilling.drill(replica, now=timezone.now(), whole=whole)
    except Refusal as refusal:
        return False, str(refusal)
    if row is None:
        return False, _("There is no replica that the server has seen on the NAS.")
    return _is_good(row), _words(row)


def _is_good(row: Upkeep) -> bool:
    return not (row.found["other"] or row.found["missing"] or row.found["proof"])


def _words(row: Upkeep) -> str:
    found = row.found
    if _is_good(row):
        about = {"files": found["files"], "size": filesizeformat(found["bytes"]), "when": found["of"]}
        return _("%(files)s files, %(size)s, are what the PC signed. Replica of %(when)s.") % about
    if found["proof"]:
        return _("The list of its files is not what the PC signed [%(code)s].") % {"code": found["proof"]}
    about = {"other": found["other"], "missing": found["missing"], "names": ", ".join(found["names"])}
    return _("%(other)s files are other than the PC signed, %(missing)s are missing: %(names)s") % about

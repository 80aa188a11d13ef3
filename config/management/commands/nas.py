"""`manage.py nas check`: what is wrong with the file server on which replicas lie."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import translation

from config.management.commands.directory import language
from mydoc.nas import fileserver


class Command(BaseCommand):
    help = (
        "check: writes a file to the NAS, reads it back and deletes it, and says in words what is wrong. "
        "Exit code 0: all is well, 1: something is not."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("act", choices=["check"])
        parser.add_argument("--language", choices=["ja", "en"], default=language(), help="default: LANG's")

    def handle(self, *args: Any, **options: Any) -> None:
        bad = 0
        with translation.override(options["language"]):
            for finding in fileserver.findings(settings.NAS):
                bad += not finding.good
                self.stdout.write(f"{'ok ' if finding.good else 'NO '} {finding.words} [{finding.code}]")
        if bad:
            raise CommandError("", returncode=1)

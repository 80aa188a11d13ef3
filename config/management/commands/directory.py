"""`manage.py directory check`: what is wrong with the connection to the company's directory."""

import os
from itertools import chain
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import translation

from clients.people import directorycheck
from mydoc.volumes import logoncheck


class Command(BaseCommand):
    help = (
        "check: asks the company's directory step by step (name, connection, certificate, account, base, "
        "groups, --user NAME, --user-data) and says in words what is wrong. Exit code 0: all is well, 1: "
        "something is not."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("act", choices=["check"])
        parser.add_argument("--user", default="", help="a logon name: which roles would they have?")
        parser.add_argument(
            "--user-data", action="store_true", help="also what opens user data: keytab, binding, custodians"
        )
        parser.add_argument("--language", choices=["ja", "en"], default=language(), help="default: LANG's")

    def handle(self, *args: Any, **options: Any) -> None:
        bad = 0
        with translation.override(options["language"]):
            found = directorycheck.findings(settings.DIRECTORY, user=options["user"])
            for finding in chain(found, logoncheck.findings() if options["user_data"] else ()):
                bad += not finding.good
                self.stdout.write(f"{'ok ' if finding.good else 'NO '} {finding.words} [{finding.code}]")
        if bad:
            raise CommandError("", returncode=1)


def language() -> str:
    """What the shell speaks (POSIX: the first of these that is set decides)."""
    said = next((os.environ[name] for name in ("LC_ALL", "LC_MESSAGES", "LANG") if os.environ.get(name)), "")
    return "ja" if said.startswith("ja") else "en"

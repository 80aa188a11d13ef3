"""`manage.py keys`: the installation's keys, where the root key is kept."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from clients.auditing import Actor, acting
from clients.enrolment import signing
from clients.errors import Refusal
from clients.models import PublisherKey
from clients.publishers import endorsing


class Command(BaseCommand):
    help = "Makes the installation's keys (init), vouches for publishers' keys (list, endorse)."

    def add_arguments(self, parser: CommandParser) -> None:
        acts = parser.add_subparsers(dest="act", required=True)
        init = acts.add_parser("init", help="make root, authority and role keys, where they are missing")
        init.add_argument("--name", default="OpenVRAS", help="name of the installation in its certificates")
        acts.add_parser("list", help="publishers' keys and their state")
        endorse = acts.add_parser("endorse", help="sign a publisher's key with the root")
        endorse.add_argument("fingerprint")

    def handle(self, *args: Any, **options: Any) -> None:
        with acting(Actor(name="operator", kind="system", origin="manage.py keys")):
            try:
                getattr(self, options["act"])(options)
            except Refusal as refusal:
                raise CommandError(str(refusal)) from refusal

    def init(self, options: dict[str, Any]) -> None:
        store = signing.store()
        made = store.create(name=options["name"], now=timezone.now())
        if not made:
            self.stdout.write(f"The keys in {store.directory} are complete.")
            return
        self.stdout.write(f"Keys made in {store.directory}.")
        self.stdout.write(
            f"Move {store.directory / 'root.key'} to offline storage, and a copy to a second place."
        )

    def list(self, options: dict[str, Any]) -> None:
        for key in PublisherKey.objects.all():
            self.stdout.write(f"{key.fingerprint}  {key.state:9} {key.name}")

    def endorse(self, options: dict[str, Any]) -> None:
        key = PublisherKey.objects.filter(pk=options["fingerprint"]).first()
        if key is None:
            raise CommandError(
                "No publisher registered a key with this fingerprint. `manage.py keys list` shows them."
            )
        endorsing.endorse(key, now=timezone.now())
        self.stdout.write(f"PCs accept images signed by {key} from their next look on.")

"""How sites come, change and go."""

from django.db import transaction

from clients import auditing
from clients.models import Site

SAID = ("name", "ranges", "rates", "at_once", "peers")


def keep(site: Site) -> None:
    """Saves a new site, or a changed one."""
    done = "changed" if site.pk else "created"
    with transaction.atomic():
        site.save()
        auditing.record(f"site.{done}", site, after={name: getattr(site, name) for name in SAID})


def delete(site: Site) -> None:
    """Its PCs have the distribution's bounds again."""
    with transaction.atomic():
        auditing.record("site.deleted", site)
        site.delete()

"""How a distribution comes from the pilots to all, and what stops it by itself on the way."""

import logging
from contextlib import suppress

from django.utils.translation import gettext as _

from clients import nudge
from clients.errors import WrongState
from imaging.models import Delivery, Distribution

log = logging.getLogger("openvras.distribution")

State = Distribution.State


def look_at_failures(distribution: Distribution) -> bool:
    """Halts a distribution in which too many PCs failed while others still wait; whether it did."""
    if distribution.halt_failures is None and distribution.halt_percent is None:
        return False
    rows = distribution.deliveries.all()
    if not rows.open().exists():
        return False
    failed = rows.blamed().count() - distribution.forgiven
    size = rows.filter(ring=distribution.ring).count()
    by_number = distribution.halt_failures is not None and failed >= distribution.halt_failures
    by_share = distribution.halt_percent is not None and failed * 100 >= distribution.halt_percent * size
    if failed <= 0 or not (by_number or by_share):
        return False
    words = _("%(failed)d of %(size)d PCs failed. See why below, then go on or roll back.")
    return _halt(distribution, "too_many_failures", words % {"failed": failed, "size": size})


def advance(distribution: Distribution) -> bool:
    """The pilots are through: the others follow, or wait for a second person, or for somebody to look."""
    pilots = distribution.deliveries.filter(ring=distribution.ring)
    if not distribution.forgiven and not pilots.filter(state=Delivery.State.BOOTED).exists():
        words = _("No pilot has booted the version. See why below, then go on or roll back.")
        return _halt(distribution, "no_pilot_booted", words)
    with suppress(WrongState):
        if distribution.approval and not distribution.approved_by:
            distribution.move(State.PILOTED)
            nudge.pages("distributions", *distribution.topics)
            return False
        here = Distribution.objects.filter(pk=distribution.pk, ring=distribution.ring)
        here.update(ring=distribution.ring + 1)
        distribution.ring += 1
        return True
    return False


def _halt(distribution: Distribution, code: str, words: str) -> bool:
    with suppress(WrongState):
        distribution.move(State.HALTED, reason=words, stop_code=code, stop_words=words[:500])
        log.warning("%s halted: %s", distribution, words)
        tell_all(distribution)
        return True
    return False


def tell_all(distribution: Distribution) -> None:
    """The PCs that have something of it under way, and the pages."""
    begun = distribution.deliveries.all().open().exclude(released_at=None)
    nudge.nodes([delivery.client for delivery in begun.select_related("client").defer("assignment")])
    nudge.pages("distributions", *distribution.topics)

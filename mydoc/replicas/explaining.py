"""Why the NAS took nothing. A PC sees only that its copy was not taken: why is found out here, once for all
whose runs failed lately, and stands with each of them.
"""

from datetime import datetime, timedelta

from django.conf import settings

from clients import nudge
from mydoc.models import NasLook, ReplicationRun
from mydoc.nas import looking

LATELY = timedelta(hours=1)
UNEXPLAINED = ("nas_failed", "gateway_away", "gateway_forbids")  # a gateway without its NAS ends


def explain(*, now: datetime) -> int:
    """How many runs have a reason from now on. Safe to run twice, at once, or never."""
    failed = ReplicationRun.objects.filter(reason__in=UNEXPLAINED, ended_at__gte=now - LATELY)
    newest = failed.order_by("-ended_at").first()
    if settings.NAS is None or newest is None:
        return 0
    look = NasLook.objects.first()
    if look is None or newest.ended_at is None or look.at < newest.ended_at:
        look = looking.look(now=now)
    wrong = next((str(one["code"]) for one in look.found if not one["good"]), "")
    count = failed.update(reason=f"nas_{wrong}"[:40]) if wrong else 0
    if count:
        nudge.pages("volumes")
    return count

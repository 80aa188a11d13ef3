"""Pages of no single app: home, health."""

from typing import Any

import redis
from django.conf import settings
from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET

from checkout.models import CheckoutRequest
from clients import quickstore
from clients.models import Client, DirectoryUser, Group, PublisherKey
from clients.pages import silent, staff
from clients.people import roles
from imaging.models import Delivery, Distribution, ImageVersion
from mydoc.models import Lockout, ReplicaAlarm
from mydoc.nas import looking
from mydoc.replicas import replicating
from mydoc.upkeep import drilling
from mydoc.volumes import watching


def installation(request: HttpRequest) -> dict[str, Any]:
    """Context of every page. A page fetched by htmx comes without the frame around it."""
    base = "partial.html" if request.headers.get("HX-Request") else "base.html"
    user = getattr(request, "user", None)  # none where the answer was made before the login was read
    may_look = user is not None and roles.may_look(user)
    return {"installation_name": settings.INSTALLATION_NAME, "base": base, "may_look": may_look}


@require_GET
@staff
def home(request: HttpRequest) -> HttpResponse:
    """What needs an administrator today; the first steps while there is nothing yet."""
    running = Distribution.objects.running().select_related("version__image", "group")
    # A failure counts until something later is sent to that machine of the PC.
    failed = Delivery.objects.filter(state=Delivery.State.FAILED).last_sent()
    context = {
        "pending": Client.objects.pending().count(),
        "silent": len(silent(request, now=timezone.now())),
        "lost": Client.objects.filter(state=Client.State.LOST).count(),
        "locked_out": Lockout.objects.current().count(),
        "failed": failed.count(),
        "failing": Client.objects.all().failing().count(),
        "running": running.count(),
        "stopped": Distribution.objects.waiting_for_people().count(),
        "checked": ImageVersion.objects.filter(state=ImageVersion.State.SEALED).count(),
        "keys": PublisherKey.objects.filter(state=PublisherKey.State.PENDING).count(),
        "approved": Client.objects.approved().count(),
        "lately": Distribution.objects.select_related("version__image", "group")[:5],
        "has_group": Group.objects.exists(),
        "has_pc": Client.objects.exists(),
        "has_version": ImageVersion.objects.ready().exists(),
        "has_distribution": Distribution.objects.exists(),
        "local_only": settings.DIRECTORY is None,
        "passwords_open": not settings.PRODUCTION,
        "not_back": CheckoutRequest.objects.filter(state=CheckoutRequest.State.OVERDUE).count(),
        "overdue": replicating.overdue(now=timezone.now()).count(),
        "replica_alarms": ReplicaAlarm.objects.open().count(),
        "nas_trouble": looking.trouble(),
        "late_drills": len(drilling.late(now=timezone.now())) if replicating.enabled() else 0,
        "directory_trouble": watching.trouble(),
        "clock_off_s": watching.clock_off_s(),
        "kept": DirectoryUser.objects.filter(kept_administrator=True).select_related("user"),
        "server": f"{request.scheme}://{request.get_host()}",
    }
    return render(request, "home.html", context)


def healthz(request: HttpRequest) -> JsonResponse:
    """For load balancers: 200 when database and Redis answer, else 503 with which does not."""
    parts = {"database": _database(), "redis": _redis()}
    return JsonResponse(parts, status=200 if all(parts.values()) else 503)


def _database() -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        return False
    return True


def _redis() -> bool:
    try:
        return bool(quickstore.client().ping())
    except redis.RedisError:
        return False

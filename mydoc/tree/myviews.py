"""What people see of their own: their PCs and data, who looked into it, what others share with them."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET

from clients.models import Client
from clients.pages import everybody, page_of, presence_of
from mydoc.models import Look
from mydoc.replicas import hindering
from mydoc.tree import sharing
from mydoc.volumes import standing


@require_GET
@everybody
def my(request: HttpRequest) -> HttpResponse:
    """One's own page."""
    now = timezone.now()
    volumes = list(standing.rows().filter(owner=request.user.pk))
    mine = Client.objects.filter(state__in=[Client.State.APPROVED, Client.State.LOST])
    given = mine.filter(assigned_user=request.user.pk)
    clients = sorted({*given, *(volume.client for volume in volumes)}, key=lambda client: client.name)
    grants = list(sharing.with_person(request.user))
    holders = {grant.volume.client for grant in grants}
    heard = presence_of(request, {*clients, *holders}, now=now)
    looks = Look.objects.filter(volume__in=volumes).select_related("volume__client", "volume__owner")
    context = {
        "root": b"",
        "clients": clients,
        "presence": heard,
        "standings": standing.of_each(volumes, heard),
        "late": hindering.of_each(volumes, now=now),
        "grants": [(grant, standing.of(grant.volume, heard.get(grant.volume.client_id))) for grant in grants],
        "page": page_of(request, looks),
    }
    return render(request, "mydoc/my.html", context)

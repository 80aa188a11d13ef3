"""The page of the audit log."""

from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from clients.models import Event
from clients.pages import page_of, staff


@require_GET
@staff
def audit(request: HttpRequest) -> HttpResponse:
    """The audit log, newest first."""
    rows = Event.objects.all()
    if words := request.GET.get("q"):
        rows = rows.filter(
            Q(actor__icontains=words)
            | Q(verb__icontains=words)
            | Q(object_name__icontains=words)
            | Q(reason__icontains=words)
            | Q(object_id=words)
        )
    return render(request, "clients/audit.html", {"page": page_of(request, rows)})

"""Pages of publishers' keys."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from clients.forms import ReasonForm
from clients.models import PublisherKey
from clients.pages import form_page, page_of, staff
from clients.publishers import endorsing


@require_GET
@staff
def keys(request: HttpRequest) -> HttpResponse:
    """Publishers' keys: who may sign images."""
    return render(request, "clients/keys.html", {"page": page_of(request, PublisherKey.objects.all())})


@require_POST
@staff
def key_endorse(request: HttpRequest, pk: str) -> HttpResponse:
    """The root vouches for a key."""
    key = get_object_or_404(PublisherKey, pk=pk)
    endorsing.endorse(key, now=timezone.now())
    messages.success(request, _("PCs now accept images that %(name)s signed.") % {"name": key.name})
    return redirect("clients:keys")


@form_page
@staff
def key_revoke(request: HttpRequest, pk: str) -> HttpResponse:
    """Nobody accepts a key any more; asks for the reason first."""
    key = get_object_or_404(PublisherKey, pk=pk)
    form = ReasonForm(request.POST or None)
    if form.is_valid():
        endorsing.revoke(key, reason=form.cleaned_data["reason"])
        messages.success(request, _("The key of %(name)s is revoked.") % {"name": key.name})
        return redirect("clients:keys")
    return render(request, "clients/key_revoke.html", {"key": key, "form": form})

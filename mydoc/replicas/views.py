"""The pages' wish that a volume be copied now: an administrator's, and its owner's."""

import uuid

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from clients.errors import Refusal
from clients.pages import administrators, everybody
from mydoc.models import Volume
from mydoc.replicas import replicating


@require_POST
@administrators
def replicate(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Copies it to the NAS, and back to where one was."""
    _ask(request, get_object_or_404(Volume.objects.select_related("owner", "client"), pk=pk))
    return redirect("mydoc:volume", pk=pk)


@require_POST
@everybody
def my_replicate(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Copies one's own data to the NAS. Of somebody else's nothing is said, not even that it is there."""
    mine = Volume.objects.select_related("owner", "client").filter(owner=request.user.pk)
    _ask(request, get_object_or_404(mine, pk=pk))
    return redirect("mydoc:my")


def _ask(request: HttpRequest, volume: Volume) -> None:
    try:
        replicating.ask(volume, now=timezone.now())
        messages.success(request, _("It is copied to the NAS while it is unlocked."))
    except Refusal as refusal:
        messages.error(request, str(refusal.words))

"""The pages' wish that a volume be copied now."""

import uuid

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from clients.errors import Refusal
from clients.pages import administrators
from mydoc import replicating
from mydoc.models import Volume


@require_POST
@administrators
def replicate(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Copies it to the NAS, and back to where one was."""
    volume = get_object_or_404(Volume.objects.select_related("owner", "client"), pk=pk)
    try:
        replicating.ask(volume, now=timezone.now())
        messages.success(request, _("It is copied to the NAS while it is unlocked."))
    except Refusal as refusal:
        messages.error(request, str(refusal.words))
    return redirect("mydoc:volume", pk=pk)

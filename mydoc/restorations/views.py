"""The pages by which administrators restore everything of a volume to another PC."""

import uuid
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _

from clients.errors import Refusal
from clients.forms import ReasonForm
from clients.pages import administrators, form_page
from mydoc.models import Restoration, Volume
from mydoc.replicas import recalling
from mydoc.restorations import returning
from mydoc.restorations.forms import RestoreForm


@form_page
@administrators
def restore(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Everything to another PC: where, as of when, why; what that would do; then it is done by itself."""
    volume = get_object_or_404(Volume.objects.select_related("owner", "client"), pk=pk)
    targets, times = returning.targets(volume), recalling.all_of(volume)
    form = RestoreForm(request.POST or None, targets=targets, times=times)
    context: dict[str, Any] = {"volume": volume, "form": form, "targets": targets, "times": times}
    if form.is_valid():
        given = form.cleaned_data
        try:
            context["plan"] = returning.preview(volume, given["target"], given["run"])
            if given["confirm"]:
                row = returning.begin(volume, **given, now=timezone.now())
                messages.success(request, _("It is being restored. It goes on by itself."))
                return redirect("mydoc:volume", row.target_id)
        except Refusal as refusal:
            if refusal.code != "not_confirmed":  # the replica is another one by now: look again
                form.add_error(None, f"{refusal.words} [{refusal.code}]")
    return render(request, "mydoc/restore.html", context)


@form_page
@administrators
def stop(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Nothing more of a restoration comes."""
    row = get_object_or_404(
        Restoration.objects.select_related("source", "target__owner", "target__client"), pk=pk
    )
    form = ReasonForm(request.POST or None)
    if form.is_valid():
        returning.stop(row, reason=form.cleaned_data["reason"], now=timezone.now())
        messages.success(request, _("Stopped. What had come is there."))
        return redirect("mydoc:volume", row.target_id)
    return render(request, "mydoc/stop_restoring.html", {"row": row, "form": form})

"""The page of a group's Wi-Fi."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from clients.errors import Refusal
from clients.models import Client, Group
from clients.pages import staff
from clients.wifi import networking
from clients.wifi.forms import WifiForm


@require_http_methods(["GET", "HEAD", "POST"])
@staff
def wifi(request: HttpRequest, pk: int) -> HttpResponse:
    """What a group's PCs join, and which of them can."""
    group = get_object_or_404(Group, pk=pk)
    row = networking.network_of(group)
    if request.POST.get("act") == "remove":
        networking.forget(group, reason=request.POST.get("reason", "")[:500])
        messages.success(request, _("Removed. The PCs are told."))
        return redirect("clients:group-wifi", pk)
    form = WifiForm(request.POST or None, initial=WifiForm.initial_of(row))
    if form.is_valid():
        try:
            networking.keep(group, form.wish(), reason=form.cleaned_data["reason"], now=timezone.now())
        except Refusal as refusal:
            form.refuse(refusal)
        else:
            messages.success(request, _("Saved. The PCs are told."))
            return redirect("clients:group-wifi", pk)
    approved = Client.objects.approved().filter(group=group).select_related("device_record")
    cards = networking.cards(approved)
    context = {
        "group": group,
        "row": row,
        "form": form,
        "with_card": [client for client, has in cards if has],
        "without": [client for client, has in cards if has is False],
        "unknown": [client for client, has in cards if has is None],
    }
    return render(request, "clients/group_wifi.html", context)

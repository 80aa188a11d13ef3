"""The pages of lost PCs: declared by administrators and by who has the PC, on a phone; found; let in."""

import uuid

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from clients.forms import ReasonForm
from clients.models import Client
from clients.pages import everybody, form_page, page_of, staff
from mydoc.losses import lockingout, losing
from mydoc.losses.forms import LossForm
from mydoc.losses.serving import certificate_file
from mydoc.models import Lockout, Loss


@form_page
@staff
def lost(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """An administrator says that a PC is lost; what it means is shown first."""
    return _declare(request, get_object_or_404(Client, pk=pk), back="clients:pc", key=pk)


@form_page
@everybody
def my_lost(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """The same, by who has the PC."""
    client = get_object_or_404(Client, pk=pk)
    if not losing.may_declare(request.user, client):  # type: ignore[arg-type]  # nobody else comes so far
        raise PermissionDenied
    return _declare(request, client, back="mydoc:my")


@form_page
@staff
def found(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """A lost PC is let in again."""
    client = get_object_or_404(Client, pk=pk)
    form = ReasonForm(request.POST or None)
    if form.is_valid():
        losing.find_again(client, reason=form.cleaned_data["reason"], now=timezone.now())
        messages.success(request, _("%(pc)s is found, and let in again.") % {"pc": client})
        return redirect("clients:pc", pk)
    loss = client.losses.filter(ended_at=None).first()
    return render(request, "mydoc/found.html", {"client": client, "form": form, "loss": loss})


@require_GET
@staff
def erasure(request: HttpRequest, pk: int) -> HttpResponse:
    """The signed certificate of what was erased, to be kept with the case."""
    return certificate_file(get_object_or_404(Loss.objects.select_related("client"), pk=pk))


@form_page
@staff
def let_in(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """A PC that was away for too long gets keys again."""
    client = get_object_or_404(Client, pk=pk)
    form = ReasonForm(request.POST or None)
    if form.is_valid():
        lockingout.let_in(client, reason=form.cleaned_data["reason"], now=timezone.now())
        messages.success(request, _("%(pc)s is let in again.") % {"pc": client})
        return redirect("clients:pc", pk)
    lockout = Lockout.objects.current().filter(client=client).first()
    return render(request, "mydoc/let_in.html", {"client": client, "form": form, "lockout": lockout})


@require_GET
@staff
def locked_out(request: HttpRequest) -> HttpResponse:
    """All PCs that were away for too long."""
    rows = Lockout.objects.current().select_related("client__assigned_user").order_by("-at")
    return render(request, "mydoc/locked_out.html", {"page": page_of(request, rows)})


def _declare(request: HttpRequest, client: Client, *, back: str, key: object = None) -> HttpResponse:
    now, args = timezone.now(), [key] if key else []
    form = LossForm(request.POST or None, name=client.name)
    if form.is_valid():
        losing.declare(client, by=request.user, now=now, **form.cleaned_data)  # type: ignore[arg-type]  # logged in
        messages.success(request, _("%(pc)s is declared lost. It is refused from now on.") % {"pc": client})
        return redirect(back, *args)
    context = {
        "client": client,
        "form": form,
        "preview": losing.preview(client, now=now),
        "back": back,
        "wrong": client.state != Client.State.APPROVED,
    }
    return render(request, "mydoc/lost.html", context)

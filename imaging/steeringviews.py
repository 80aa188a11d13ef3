"""What people do with a distribution under way: buttons of its page, and its table as a file."""

from collections.abc import Callable

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from clients.forms import ReasonForm
from clients.pages import staff
from imaging import distributing, steering, tabling
from imaging.forms import SteerForm
from imaging.models import Delivery, Distribution


@require_POST
@staff
def retry(request: HttpRequest, pk: int) -> HttpResponse:
    """Sends the version again where it failed."""
    row = get_object_or_404(Distribution, pk=pk)
    count = distributing.retry_failed(row, now=timezone.now())
    done = ngettext("Sent again to %(count)d PC.", "Sent again to %(count)d PCs.", count)
    messages.success(request, done % {"count": count})
    return redirect("imaging:distribution", pk)


@require_http_methods(["GET", "HEAD", "POST"])
@staff
def cancel(request: HttpRequest, pk: int) -> HttpResponse:
    """Stops what is not staged yet; asks for the reason first."""
    row = get_object_or_404(Distribution.objects.select_related("version__image", "group"), pk=pk)
    form = ReasonForm(request.POST or None)
    if form.is_valid():
        steering.cancel(row, reason=form.cleaned_data["reason"], now=timezone.now())
        messages.success(request, _("The distribution is cancelled."))
        return redirect("imaging:distribution", pk)
    return render(request, "imaging/cancel.html", {"distribution": row, "form": form})


@require_POST
@staff
def steer(request: HttpRequest, pk: int, act: str) -> HttpResponse:
    """Pauses it, lets it go on, approves it, or rolls back what it reached."""
    row = get_object_or_404(Distribution.objects.select_related("version__image", "group"), pk=pk)
    now, reason = timezone.now(), _reason(request)
    if act == "rollback-ring":
        made = steering.roll_back_ring(row, now=now, reason=reason)
        messages.success(request, _("What it reached goes back to the version before."))
        return redirect("imaging:distribution", made[0].pk)
    acts: dict[str, tuple[Callable[[], None], str]] = {
        "pause": (lambda: steering.pause(row, reason=reason), _("The distribution is paused.")),
        "resume": (
            lambda: steering.resume(row, now=now, reason=reason),
            _("The distribution goes on."),
        ),
        "approve": (
            lambda: steering.approve(row, now=now, reason=reason),
            _("Approved: the other PCs get it now."),
        ),
    }
    _do(request, acts, act)
    return redirect("imaging:distribution", pk)


@require_POST
@staff
def steer_pc(request: HttpRequest, pk: int, act: str) -> HttpResponse:
    """The same for one PC."""
    rows = Delivery.objects.select_related("client", "distribution__version__image", "distribution__group")
    row = get_object_or_404(rows, pk=pk)
    now, reason = timezone.now(), _reason(request)
    name = {"pc": row.client}
    acts: dict[str, tuple[Callable[[], None], str]] = {
        "pause": (
            lambda: steering.pause_pc(row, reason=reason, now=now),
            _("%(pc)s is paused.") % name,
        ),
        "resume": (lambda: steering.resume_pc(row, now=now), _("%(pc)s goes on.") % name),
        "cancel": (
            lambda: steering.cancel_pc(row, reason=reason, now=now),
            _("%(pc)s keeps what it runs.") % name,
        ),
        "retry": (lambda: steering.retry_pc(row, now=now), _("Sent again to %(pc)s.") % name),
    }
    _do(request, acts, act)
    return redirect("imaging:distribution", row.distribution_id)


@require_GET
@staff
def table(request: HttpRequest, pk: int) -> HttpResponse:
    """All PCs of a distribution, as CSV."""
    row = get_object_or_404(Distribution.objects.select_related("version__image", "group"), pk=pk)
    return tabling.answer(row, now=timezone.now())


def _reason(request: HttpRequest) -> str:
    form = SteerForm(request.POST)
    return str(form.cleaned_data["reason"]) if form.is_valid() else ""


def _do(request: HttpRequest, acts: dict[str, tuple[Callable[[], None], str]], act: str) -> None:
    if act not in acts:
        raise Http404
    verb, done = acts[act]
    verb()
    messages.success(request, done)

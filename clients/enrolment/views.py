"""Pages of enrolment tokens."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from clients.enrolment import enrolling
from clients.enrolment.forms import EnrolmentTokenForm
from clients.models import EnrolmentToken
from clients.pages import form_page, page_of, staff


@form_page
@staff
def enrolment(request: HttpRequest) -> HttpResponse:
    """Enrolment tokens. A new one's text is in this one answer and nowhere else."""
    form = EnrolmentTokenForm(request.POST or None, initial={"group": request.GET.get("group")})
    context: dict[str, Any] = {"form": form, "now": timezone.now()}
    if form.is_valid():
        wish = form.cleaned_data
        made, text = enrolling.make_token(group=wish["group"], approved=wish["approved"], now=timezone.now())
        context |= {"made": made, "text": text, "form": EnrolmentTokenForm()}
    context["page"] = page_of(request, EnrolmentToken.objects.select_related("group", "used_by"))
    context["server"] = f"{request.scheme}://{request.get_host()}"
    return render(request, "clients/enrolment.html", context)


@require_POST
@staff
def enrolment_delete(request: HttpRequest, pk: str) -> HttpResponse:
    """A token that nobody should use."""
    row = get_object_or_404(EnrolmentToken, pk=pk)
    enrolling.delete_token(row)
    messages.success(request, _("The token is deleted."))
    return redirect("clients:enrolment")

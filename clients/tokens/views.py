"""The page of one's own tokens."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from clients.models import ApiToken
from clients.pages import form_page, page_of, staff
from clients.tokens import issuing
from clients.tokens.forms import ApiTokenForm


@form_page
@staff
def api_tokens(request: HttpRequest) -> HttpResponse:
    """One's own tokens. A new one's text is in this one answer and nowhere else."""
    form = ApiTokenForm(request.POST or None)
    context: dict[str, Any] = {"form": form, "now": timezone.now()}
    if form.is_valid():
        wish = form.cleaned_data
        made, text = issuing.make(request.user, name=wish["name"], scope=wish["scope"], now=timezone.now())
        context |= {"made": made, "text": text, "form": ApiTokenForm()}
    context["page"] = page_of(request, ApiToken.objects.filter(user=request.user.pk))
    return render(request, "clients/api_tokens.html", context)


@require_POST
@staff
def api_token_delete(request: HttpRequest, pk: str) -> HttpResponse:
    """Ends one of one's own tokens."""
    row = get_object_or_404(ApiToken, pk=pk, user=request.user.pk)
    issuing.end(row)
    messages.success(request, _("The token is deleted."))
    return redirect("clients:api-tokens")

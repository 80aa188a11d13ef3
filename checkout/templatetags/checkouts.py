"""What the pages of checkout say in their own words."""

from typing import Any

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from checkout import forms
from checkout.models import CheckoutRequest
from clients.models import Client
from clients.templatetags.portal import icon

register = template.Library()

SIGNS = {
    "waiting": ("hourglass-split", "warning"),
    "sent_back": ("arrow-counterclockwise", "warning"),
    "permitted": ("hourglass-split", "info"),
    "rejected": ("x-circle", "danger"),
    "withdrawn": ("slash-circle", "quiet"),
    "lapsed": ("slash-circle", "quiet"),
    "lent": ("key", "success"),
    "overdue": ("exclamation-triangle", "danger"),
    "returned": ("check-circle", "quiet"),
    "expired": ("check-circle", "quiet"),
    "revoked": ("slash-circle", "danger"),
    "approved": ("check-circle", "success"),
}


@register.simple_tag
def checkout_state(request: CheckoutRequest) -> SafeString:
    """The state of a request: icon and word."""
    return _sign(request.state, request.get_state_display())


@register.simple_tag
def lent_of(client: Client) -> list[CheckoutRequest]:
    """The requests by which data on this PC is lent now, or is not back after its deadline."""
    lent = [CheckoutRequest.State.LENT, CheckoutRequest.State.OVERDUE]
    return list(CheckoutRequest.objects.filter(client=client, state__in=lent).order_by("ends"))


@register.simple_tag
def step_state(step: Any) -> SafeString:
    """What was decided at a step; nothing at one whose turn did not come."""
    if step.decision:
        return _sign(step.decision, step.get_decision_display())
    is_next = step == step.request.current_step
    return _sign("waiting", CheckoutRequest.State.WAITING.label) if is_next else format_html("–")


@register.filter
def folders(request: CheckoutRequest) -> list[str]:
    return forms.folders_of(request)


def _sign(code: str, word: Any) -> SafeString:
    name, tone = SIGNS[code]
    return format_html('<span class="state state-{}">{} {}</span>', tone, icon(name), word)

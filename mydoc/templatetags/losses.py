"""What a PC's page, and one's own, say of a loss and of a PC that was away for too long."""

from typing import Any

from django import template
from django.contrib.auth.models import User
from django.utils.translation import gettext_lazy as _

from clients.models import Client
from clients.templatetags.portal import sign
from mydoc.losses import losing
from mydoc.models import Lockout, Loss

register = template.Library()

ORDERS = {
    "queued": ("pending", _("queued: it waits for a contact that may never come")),
    "handed_out": ("running", _("given to the PC, which has not answered yet")),
    "acknowledged": ("ready", _("the PC has locked everything and thrown its keys away")),
    "withdrawn": ("cancelled", _("withdrawn: the PC was found before")),
}


@register.inclusion_tag("mydoc/loss_card.html", takes_context=True)
def loss_card(context: dict[str, Any], client: Client) -> dict[str, Any]:
    """How its loss stands, and whether it is locked out; nothing while it is neither."""
    loss = Loss.objects.current().filter(client=client).first()
    lockout = Lockout.objects.current().filter(client=client).first()
    return {"client": client, "loss": loss, "lockout": lockout, "request": context.get("request")}


@register.simple_tag
def loss_of(client: Client) -> Loss | None:
    """The loss that its PC is in, if it is."""
    return Loss.objects.current().filter(client=client).first()


@register.simple_tag
def order_state(loss: Loss) -> Any:
    """How far the order to the PC came: icon and words."""
    return sign(ORDERS[loss.order][0], str(ORDERS[loss.order][1]))


@register.filter
def may_declare(user: User, client: Client) -> bool:
    """Whether this one may say that this PC is lost."""
    return losing.may_declare(user, client)

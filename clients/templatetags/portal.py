"""What the pages' templates say in their own words: icons, states, contact, fields, acts."""

from datetime import timedelta
from typing import Any

from django import template
from django.forms import BoundField, CheckboxInput, Select
from django.templatetags.static import static
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from clients import actwords
from clients.models import Event
from clients.people import calling
from clients.presence import Presence

register = template.Library()

# State -> icon and tone. The word comes from the model; the tone is never the only sign.
SIGNS = {
    "pending": ("hourglass-split", "warning"),
    "approved": ("check-circle", "success"),
    "revoked": ("slash-circle", "quiet"),
    "lost": ("exclamation-octagon", "danger"),
    "endorsed": ("patch-check", "success"),
    "uploading": ("upload", "info"),
    "sealed": ("shield-check", "info"),
    "ready": ("check-circle", "success"),
    "retired": ("archive", "quiet"),
    "failed": ("x-circle", "danger"),
    "running": ("arrow-repeat", "info"),
    "paused": ("hourglass-split", "warning"),
    "halted": ("exclamation-octagon", "danger"),
    "piloted": ("hourglass-split", "warning"),
    "finished": ("check-circle", "success"),
    "superseded": ("arrow-left-right", "quiet"),
    "cancelled": ("slash-circle", "quiet"),
    "waiting": ("hourglass-split", "quiet"),
    "fetching": ("download", "info"),
    "staged": ("power", "info"),
    "booted": ("check-circle", "success"),
    "done": ("check-circle", "success"),
    "cut_off": ("exclamation-triangle", "warning"),
    "stopped": ("slash-circle", "quiet"),
}

DESKTOPS = {
    "running": _("running"),
    "stopped": _("stopped"),
    "starting": _("starting"),
    "absent": _("not set up yet"),
}


@register.simple_tag
def icon(name: str) -> SafeString:
    """A symbol of the sprite, for the eye only: words stand beside it."""
    return format_html(
        '<svg class="icon" aria-hidden="true" focusable="false"><use href="{}#{}"></use></svg>',
        static("vendor/icons/icons.svg"),
        name,
    )


@register.simple_tag
def state(row: Any) -> SafeString:
    """The state of a row: icon and word."""
    return sign(row.state, row.get_state_display())


@register.simple_tag
def sign(code: str, word: str) -> SafeString:
    """An icon and a word for a state's code."""
    name, tone = SIGNS.get(code, ("info-circle", "quiet"))
    return format_html('<span class="state state-{}">{} {}</span>', tone, icon(name), word)


@register.simple_tag
def contact(heard: Presence | None) -> SafeString:
    """In contact, or since when not."""
    if heard is not None and heard.present:
        return format_html('<span class="state state-success">{} {}</span>', icon("wifi"), _("in contact"))
    if heard is None or heard.seen is None:
        return format_html('<span class="state state-quiet">{} {}</span>', icon("wifi-off"), _("never heard"))
    words = _("no contact since %(when)s") % {"when": moment(heard.seen)}
    return format_html('<span class="state state-danger">{} {}</span>', icon("wifi-off"), words)


@register.filter
def moment(at: Any) -> str:
    """A time of today as hh:mm, an older one with its date."""
    if at is None:
        return "–"
    local, now = timezone.localtime(at), timezone.localtime()
    if local.date() == now.date():
        return date_format(local, "H:i")
    if now - local < timedelta(days=300):
        return date_format(local, "m/d H:i")
    return date_format(local, "Y/m/d H:i")


@register.filter
def clock_time(seconds: int) -> str:
    """By how much a clock is off, in hours and minutes: ahead with +, behind with −."""
    minutes = abs(seconds) // 60
    return f"{'+' if seconds > 0 else '−'}{minutes // 60}:{minutes % 60:02}"


@register.filter
def desktop_words(code: str) -> Any:
    """What the client VM does, in words."""
    return DESKTOPS.get(code, code or "–")


@register.simple_tag
def act(event: Event) -> str:
    """What an event says was done: "client PC: approved"."""
    return actwords.words(event.verb)


@register.simple_tag
def particulars(event: Event) -> str:
    """Which device or folder an event was about: "Data stick · 0930:6545 · 1-2"."""
    if event.verb.startswith("volume.") and "path" in event.after:
        names: tuple[str, ...] = ("path", "person", "access")
    elif event.verb.startswith("device."):
        names = ("name", "device_id", "serial", "key", "words")
    else:
        return ""
    said = (event.after.get(name) for name in names)
    return " · ".join(str(part) for part in said if part)


@register.filter
def called(user: Any) -> str:
    """What a person is called."""
    return calling.name_of(user)


@register.filter
def lookup(mapping: dict[Any, Any], key: Any) -> Any:
    """`mapping[key]`, or None."""
    return mapping.get(key)


@register.inclusion_tag("field.html")
def field(bound: BoundField) -> dict[str, Any]:
    """A form field: label, control, help, errors, tied together for screen readers. The first one wrong has
    the focus."""
    widget = bound.field.widget
    checkbox = isinstance(widget, CheckboxInput)
    css = "form-check-input" if checkbox else "form-select" if isinstance(widget, Select) else "form-control"
    attrs: dict[str, str | bool] = {"class": f"{css} is-invalid" if bound.errors else css}
    if bound.errors and bound.name == next(one for one in bound.form.errors if one in bound.form.fields):
        attrs["autofocus"] = True  # whoever sent the form goes on where something is wrong
    return {"field": bound, "control": bound.as_widget(attrs=attrs), "checkbox": checkbox}


@register.simple_tag
def person(user: Any) -> str:
    """A person's full name, in the reader's order, and user name."""
    name, account = calling.name_of(user), str(user.get_username())
    return name if name == account else f"{name} ({account})"

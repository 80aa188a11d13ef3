"""What the pages of user data say in their own words: names, states, acts."""

from typing import Any

from django import template
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from clients.templatetags.portal import icon
from mydoc import bytepaths
from mydoc.models import Volume
from mydoc.replicas import replicating
from mydoc.replicas.words import words_of
from mydoc.restorations import words as restorewords
from mydoc.tree.sharing import Applied, Progress
from mydoc.volumes.standing import Standing, reason_words
from vrasnode.wire.mydoc import EntryKind

register = template.Library()

STATES = {
    "open": ("unlock", "success"),
    "opening": ("arrow-repeat", "info"),
    "locking": ("arrow-repeat", "info"),
    "locked": ("lock", "quiet"),
    "broken": ("x-octagon", "danger"),
    "absent": ("hourglass-split", "quiet"),
    "off": ("power", "quiet"),
}
KINDS = {
    EntryKind.FOLDER: ("folder", _("Folder")),
    EntryKind.FILE: ("file-earmark", _("File")),
    EntryKind.LINK: ("link-45deg", _("Link")),
    EntryKind.OTHER: ("question-circle", _("Something else")),
}
PROGRESS = {
    Progress.APPLIED: ("check-circle", "success", _("applied on the PC")),
    Progress.PENDING: ("hourglass-split", "warning", _("pending")),
    Progress.FAILED: ("x-circle", "danger", _("failed on the PC")),
}
ACTS = {
    "list": _("looked into a folder"),
    "search": _("searched for a name"),
    "download": _("downloaded a file"),
    "share": _("shared a folder"),
    "unshare": _("ended a sharing"),
    "upload": _("wrote a file"),
    "put_back": _("put an older version back"),
    "restore": _("restored everything to another PC"),
}


@register.filter
def shown(name: Any) -> SafeString:
    """A name, or a path, as text: apart from the line around it, whatever its direction."""
    return format_html('<bdi class="name">{}</bdi>', bytepaths.shown(bytes(name)))


@register.filter
def plain(name: Any) -> str:
    """The same for an attribute."""
    return bytepaths.shown(bytes(name))


@register.filter
def last_name(path: Any) -> bytes:
    """The name at the end of a path."""
    return bytepaths.last(bytes(path))


@register.filter
def word(path: Any) -> str:
    """A path as one word of an address."""
    return bytepaths.word(bytes(path))


@register.simple_tag
def volume_state(standing: Standing) -> SafeString:
    """How a volume stands: icon and word."""
    name, tone = STATES[standing.state]
    return format_html('<span class="state state-{}">{} {}</span>', tone, icon(name), standing.words)


@register.simple_tag
def kind(entry_kind: EntryKind) -> SafeString:
    """What an entry is: an icon, and the word for those who do not see it."""
    name, words = KINDS[entry_kind]
    return format_html('{}<span class="visually-hidden">{}: </span>', icon(name), words)


@register.inclusion_tag("mydoc/replica.html", takes_context=True)
def replica(context: dict[str, Any], volume: Volume, *, act: str = "") -> dict[str, Any]:
    """How a volume's replica stands, how far a run has come, why it failed. `act` names the page that has it
    copied now, where whoever looks may say so."""
    found = getattr(volume, "replica", None)
    run = found.runs.first() if found else None
    return {
        "replica": found,
        "run": run,
        "why": words_of(run.reason) if run else "",
        "address": reverse(act, args=[volume.pk]) if act else "",
        "enabled": replicating.enabled(),
        "request": context.get("request"),
        "csrf_token": context.get("csrf_token"),
    }


@register.simple_tag
def progress(applied: Applied) -> SafeString:
    """How far a sharing has come; nothing when there never was one."""
    if applied.progress is Progress.NOTHING:
        return SafeString("")
    name, tone, words = PROGRESS[applied.progress]
    return format_html('<span class="state state-{}">{} {}</span>', tone, icon(name), words)


@register.filter
def look_act(act: str) -> Any:
    """What was done in a look."""
    return ACTS.get(act, act)


@register.filter
def restore_words(code: str) -> str:
    """Why a restoration waits, or ended so."""
    return restorewords.words_of(code)


@register.filter
def left_out_words(code: str) -> str:
    """Why a file was not restored."""
    return restorewords.why_left_out(code)


@register.filter
def lock_reason(code: str) -> str:
    """Why a volume was locked."""
    return reason_words(code)

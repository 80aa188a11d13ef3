"""Why a run did not end well, in words for people: what it means, and what to do. Codes are the PC's, the
virtual server's, and our own.
"""

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext_lazy as _

from mydoc import bytepaths

WORDS: Mapping[str, Any] = {
    "left_now": _("Somebody at the PC did not want to wait. It goes on at the next start."),
    "hold_over": _("It took longer than a shutdown is held back for. It goes on at the next start."),
    "cut_off": _("It was interrupted, and goes on by itself."),
    "volume_closed": _("The data was locked meanwhile. It goes on by itself."),
    "volume_locked": _("The data was locked meanwhile. It goes on by itself."),
    "volume_unclean": _("The PC had lost its power. It goes on when the owner logs on."),
    "service_silent": _("The PC's virtual server did not answer. It goes on by itself."),
    "pc_silent": _("The PC was not heard any more. It goes on when the PC is back."),
    "pc_revoked": _("The PC is not a member any more."),
    "nas_full": _("The NAS is full: make room there. Nothing of what it holds is lost."),
    "nas_failed": _("The NAS does not take it: run `manage.py nas check` on the server."),
    "nas_no_room": _("The NAS is full: make room there. Nothing of what it holds is lost."),
    "nas_read_only": _("The NAS cannot be written: it is read-only."),
    "nas_not_permitted": _("The NAS does not let this server write: give its account that right."),
    "nas_credential": _("The NAS does not let the server in: look at its page."),
    "nas_share": _("The NAS has no share of this name any more."),
    "nas_folder": _("The folder on the NAS is not there any more."),
    "nas_host": _("The NAS's name is not known any more: look at DNS."),
    "nas_tcp": _("The NAS does not answer: look at its page."),
    "nas_away": _("The NAS does not answer: look at its page."),
    "nas_slow": _("The NAS takes too long. Try again, or look at the NAS."),
    "gateway_away": _("The PC does not reach the gateway: is it running, and its port open?"),
    "gateway_refused": _("The gateway does not know this volume: look at its log."),
    "gateway_forbids": _("The gateway forbids it: this is not the PC's own, or would delete something."),
    "gateway_certificate": _("The gateway's certificate is not believed: look at OPENVRAS_GATEWAY_CA."),
    "wrong_repository_key": _("What lies on the NAS opens with another key: was it put back from a backup?"),
    "repository_damaged": _("What lies on the NAS is damaged: run `restic check` on it."),
    "volume_full": _("The user's own data volume is full: nothing can be put together there."),
    "no_manifest": _("The PC did not say which files there are: it is tried again."),
    "restic_failed": _("The copying program failed: its words are in the PC's report."),
}


def words_of(code: str) -> str:
    """The sentence for a code; one that is not known, as it is."""
    return str(WORDS.get(code) or bytepaths.readable(code, 60))

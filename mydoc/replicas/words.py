"""Why a run did not end well, in words for people: what it means, and what to do. Codes are the PC's, the
virtual server's, and our own.
"""

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.utils.translation import gettext_lazy as _

from mydoc import bytepaths
from mydoc.nas import fileserver

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
    "manifest_torn": _("The list of files was damaged on its way: it is tried again."),
    "manifest_too_long": _("There are more files than one list holds: about a million."),
    "no_own_folder": _("Something of the user's is called .openvras, where the copy keeps its own."),
    "guest_failed": _("The PC's virtual server could not do it: its words are in the PC's report."),
    "restic_failed": _("The copying program failed: its words are in the PC's report."),
    "nas_altered": _("What is read back from the NAS is not what was written: look at its disks."),
    "nas_no_delete": _("The NAS's account may write and not delete: retention needs both."),
    "gateway_busy": _("As many PCs as may copy at once did so: this one got no slot."),
    "replica_tended": _("The server was just looking after this replica. The PC asks again by itself."),
    "not_unwrapped": _("The server cannot unwrap this replica's password: its own key is not the right one."),
    "no_keys": _("This server's keys are missing: it can give no PC what it needs."),
}
OPEN_LONGER = _(
    "Leave the PC on and the data unlocked for longer, once, by cable if it can be, or press “Copy now” "
    "while it is unlocked. What was sent is not sent again."
)
AT_THE_GATEWAY = _("Look at the gateway (its service, its port, its log), then press “Copy now”.")
OF_ITSELF = _("Nothing now: it goes on by itself. If it stays so, look at the volume's page.")
TO_DO: Mapping[str, Any] = {
    "left_now": _(
        "Ask the PC's user to let one shutdown copy to its end, or press “Copy now” while the data is "
        "unlocked. What was sent is not sent again."
    ),
    "hold_over": _(
        "Leave the PC on and the data unlocked for longer, once, or let PCs wait longer at shutdown: "
        "OPENVRAS_REPLICA_HOLD_S. What was sent is not sent again."
    ),
    "cut_off": OPEN_LONGER,
    "pc_silent": OPEN_LONGER,
    "volume_closed": OPEN_LONGER,
    "volume_locked": OPEN_LONGER,
    "volume_unclean": _("Have its owner log on to the PC: what the lost power left behind is mended then."),
    "manifest_torn": OF_ITSELF,
    "manifest_too_long": _("Have its owner put what is no longer changed into archives, such as zip files."),
    "no_own_folder": _("Have its owner rename or move it away, then press “Copy now”."),
    "guest_failed": _("Restart the PC. If it stays so, look at the PC's log, then press “Copy now”."),
    "service_silent": _("Restart the PC. If it stays so, distribute the virtual server again."),
    "gateway_away": AT_THE_GATEWAY,
    "gateway_refused": AT_THE_GATEWAY,
    "gateway_forbids": AT_THE_GATEWAY,
    "gateway_certificate": _("Set OPENVRAS_GATEWAY_CA to the authority of the gateway's certificate."),
    "wrong_repository_key": _("Move what lies there aside, then press “Copy now”: all is sent anew."),
    "repository_damaged": _("Look at the NAS's disks and at the alarms of replicas, then press “Copy now”."),
    "volume_full": _("Have its owner delete something, or raise OPENVRAS_VOLUME_LIMIT_GIB."),
    "gateway_busy": _(
        "Spread the copies wider: OPENVRAS_REPLICA_SPREAD_MIN. Or let more PCs copy at once: "
        "OPENVRAS_REPLICAS_AT_ONCE."
    ),
    "replica_tended": OF_ITSELF,
    "no_manifest": OF_ITSELF,
    "not_unwrapped": _("Put the server's own key back from its backup: see docs/operating.md."),
    "no_keys": _("Put the server's own key back from its backup: see docs/operating.md."),
}


def words_of(code: str) -> str:
    """The sentence for a code; one that is not known, as it is."""
    if code in WORDS:
        return str(WORDS[code])
    if code.startswith("nas_") and settings.NAS is not None:
        return fileserver.words_of(code.removeprefix("nas_"), settings.NAS)
    return bytepaths.readable(code, 60)


def to_do_of(code: str) -> str:
    """What to do about it when it stays so."""
    return str(TO_DO.get(code) or _("Look at the volume's page and the PC's log, then press “Copy now”."))

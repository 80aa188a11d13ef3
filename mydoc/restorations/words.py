"""Why a restoration waits, or did not end well, in words for people: what it means, and what to do."""

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext_lazy as _

from mydoc import bytepaths

_AWAY = _("It goes on when its owner logs on there.")
_NAS = _("The NAS does not give it now: look at its page. It is tried again.")
WORDS: Mapping[str, Any] = {
    **dict.fromkeys(("volume_locked", "volume_closed", "volume_gone"), _AWAY),
    "pc_off": _("That PC is off. It goes on when its owner logs on there."),
    "disk_full": _("There is no room left on that PC: raise the limit, or make room. Then it goes on."),
    "broken_off": _("It was interrupted, and goes on by itself."),
    **dict.fromkeys(("slow", "away", "credential", "repository_locked", "replica_busy"), _NAS),
    **dict.fromkeys(
        ("no_such_replica", "no_such_snapshot"),
        _("That replica is not there any more. Begin again with another time."),
    ),
    "no_manifest": _(
        "The list of this replica cannot be read on the server. Take another time, or make a new one."
    ),
    "unknown_client": _("That PC is not a member any more."),
    "wrong_repository_key": _("What lies on the NAS opens with another key: was it put back from a backup?"),
    "stopped": _("An administrator stopped it. What had come is there."),
    "volume_damaged": _("The file system of the data on that PC is damaged. Look at its page."),
}
LEFT_OUT: Mapping[str, Any] = {
    **dict.fromkeys(("replica_damaged", "damaged", "not_whole"), _("damaged on the NAS")),
    **dict.fromkeys(("missing", "no_such_path"), _("not in the replica, though its list names it")),
    **dict.fromkeys(
        ("not_a_folder", "is_a_link"), _("where its folder should be lies something else on that PC")
    ),
    "name_taken": _("too many files of this name lie there already"),
    "bad_path": _("no file can have this name there"),
}


def words_of(code: str) -> str:
    """The sentence for a code; one that is not known, as it is."""
    return str(WORDS.get(code) or (_("It is tried again.") if code else ""))


def why_left_out(code: str) -> str:
    """Why one file did not come."""
    return str(LEFT_OUT.get(code) or bytepaths.readable(code, 60))

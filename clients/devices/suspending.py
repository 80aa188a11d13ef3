"""What closing the lid may do on one PC, and who decided it. The PC keeps to it: vrasnode.machines.sleeping.

The PC's own exception, else its user's, else the first entry for its model, else what its group says. Sleep
is about hardware: whether what was passed through wakes up again. So, unlike with rules for devices, what was
found out of one PC goes over what was granted to one person; both go over a list that was written for many.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Protocol

from django.utils.translation import gettext_lazy as _

from clients.errors import Refusal
from clients.models import Client
from vrasnode.wire import codec
from vrasnode.wire import devices as wire

MAX_MODELS = 100  # of one group
MAX_MODEL_CHARS = 100


class ModelSuspend(codec.Message, frozen=True):
    """What PCs of a model may do. `model`: maker and product as the firmware tells them, with * and ?."""

    model: str
    suspend: wire.Suspend


class Decider(StrEnum):
    """Who decided."""

    CLIENT = "client"
    USER = "user"
    MODEL = "model"
    GROUP = "group"
    NOBODY = "nobody"


class Says(Protocol):
    """What one scope says of sleep."""

    @property
    def suspend(self) -> wire.Suspend | None: ...

    @property
    def suspend_by_model(self) -> list[ModelSuspend]: ...


@dataclass(frozen=True)
class Sleep:
    """What a PC may do, who decided it, and by which entry where its model did."""

    suspend: wire.Suspend
    decider: Decider
    entry: str = ""

    @property
    def words(self) -> str:
        """Who decided it, for people."""
        return WORDS[self.decider] % {"entry": self.entry}


WORDS = {
    Decider.CLIENT: _("as the exception of this PC says"),
    Decider.USER: _("as the exception of its user says"),
    Decider.MODEL: _("as the group says of the model “%(entry)s”"),
    Decider.GROUP: _("as the group says"),
    Decider.NOBODY: _("for as long as nobody says otherwise"),
}


def decide(policies: Mapping[wire.Scope, Says], *, model: str) -> Sleep:
    """What holds on a PC of this model; one that did not tell its model ("") is of none."""
    own, users, group = (
        policies.get(scope) for scope in (wire.Scope.CLIENT, wire.Scope.USER, wire.Scope.GROUP)
    )
    if own is not None and own.suspend is not None:
        return Sleep(own.suspend, Decider.CLIENT)
    if users is not None and users.suspend is not None:
        return Sleep(users.suspend, Decider.USER)
    for entry in group.suspend_by_model if group is not None else []:
        if model and is_for(entry.model, model):
            return Sleep(entry.suspend, Decider.MODEL, entry.model)
    if group is not None and group.suspend is not None:
        return Sleep(group.suspend, Decider.GROUP)
    return Sleep(wire.Suspend.BLOCKED, Decider.NOBODY)


def model_of(client: Client) -> str:
    """Maker and product as its firmware tells them; "" where it did not say."""
    platform = client.facts.get("platform")
    model = platform.get("model") if isinstance(platform, dict) else None
    return model if isinstance(model, str) else ""


def is_for(pattern: str, model: str) -> bool:
    """Whether an entry is for a model: the whole name, in whatever case."""
    return fnmatchcase(model.casefold(), pattern.casefold().replace("[", "[[]"))


def check(entries: Sequence[ModelSuspend]) -> None:
    """Raises Refusal(too_many_models, bad_model, model_never_counts)."""
    if len(entries) > MAX_MODELS:
        raise Refusal(
            "too_many_models",
            _("A group names at most %(count)d models. Use wildcards: ThinkPad *.") % {"count": MAX_MODELS},
            status=400,
        )
    for place, entry in enumerate(entries, 1):
        _check_text(entry.model, place)
        for before, other in enumerate(entries[: place - 1], 1):
            if _covers(other.model, entry.model):
                raise Refusal(
                    "model_never_counts",
                    _(
                        "“%(model)s” never counts: “%(other)s” stands before it and is for the same PCs."
                        " Put it before that, or take it out."
                    )
                    % {"model": entry.model, "other": other.model},
                    status=400,
                    entry=place,
                    other=before,
                )


def _check_text(model: str, place: int) -> None:
    if not model.strip() or len(model) > MAX_MODEL_CHARS or not model.isprintable():
        raise Refusal(
            "bad_model",
            _(
                "A model is maker and product as the page of a PC shows them, of up to %(count)d characters,"
                " with * for any others."
            )
            % {"count": MAX_MODEL_CHARS},
            status=400,
            entry=place,
        )


def _covers(wide: str, narrow: str) -> bool:
    """Whether `wide` is for all that `narrow` is for. Where in doubt, for a ? of the wide one, it is not."""
    if "?" in wide and ("*" in narrow or "?" in narrow):
        return wide.casefold() == narrow.casefold()
    return is_for(wide, narrow)

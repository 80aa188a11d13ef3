"""A rule's "no", the same everywhere: REST problem, page message, admin message, agent answer."""

from typing import Any

from django.utils.functional import Promise


class Refusal(Exception):
    """The server will not do this. `code` is stable; `words` say what to do, in the reader's language."""

    status = 409

    def __init__(self, code: str, words: str | Promise, *, status: int | None = None, **more: Any) -> None:
        super().__init__(code)
        self.code = code
        self.words = words
        self.more = more
        if status is not None:
            self.status = status

    def __str__(self) -> str:
        return f"{self.words} [{self.code}]"


class WrongState(Refusal):
    """Someone, or something, was faster: the row is no longer in a state that allows this."""

    def __init__(self, row: Any, state: str, to: str) -> None:
        from django.utils.translation import gettext_lazy as _

        super().__init__(
            "wrong_state",
            _("%(what)s is %(state)s by now and cannot become %(to)s. Look again.")
            % {"what": row, "state": row.State(state).label, "to": row.State(to).label},
        )

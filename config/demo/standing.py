"""What stands up piece by piece and comes down in the opposite order: the demo's LAN, servers, company."""

from contextlib import ExitStack
from types import TracebackType
from typing import Self


class Standing:
    """A context manager. Whoever inherits says how it stands up: what it puts on `undo` is undone at the end,
    and at once when it cannot stand."""

    _undo: ExitStack

    def _stand_up(self, undo: ExitStack) -> None:
        raise NotImplementedError

    def __enter__(self) -> Self:
        with ExitStack() as undo:
            self._stand_up(undo)
            self._undo = undo.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._undo.close()

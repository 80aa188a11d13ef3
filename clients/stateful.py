"""State machines: arrows as data, and one UPDATE that names where it may start.

The database decides races.
"""

from typing import Any, ClassVar, Self

from django.db import models, transaction

from clients import auditing
from clients.errors import WrongState


class Stateful(models.Model):
    """A row with a `state` that only `move` changes. Subclasses give `State`, `state` and `ARROWS`."""

    ARROWS: ClassVar[dict[str, set[str]]]
    State: ClassVar[type[models.TextChoices]]
    state: Any

    class Meta:
        abstract = True

    def move(self, to: str, *, reason: str = "", start: str | None = None, **changes: Any) -> Self:
        """Moves along an arrow and sets `changes` in the same UPDATE; appends the audit event with it.
        `start`: from this state alone, though several have an arrow to `to`.

        Raises WrongState when the row has left the states from which `to` can be reached.
        """
        sources = [source for source, targets in self.ARROWS.items() if to in targets]
        sources = [source for source in sources if start in (None, source)]
        with transaction.atomic():
            before = self.state
            rows = type(self)._base_manager.filter(pk=self.pk, state__in=sources)
            if not rows.update(state=to, **changes):
                self.refresh_from_db(fields=["state"])
                raise WrongState(self, self.state, to)
            self.state = to
            for name, value in changes.items():
                setattr(self, name, value)
            auditing.record(
                f"{self._meta.model_name}.{to}",
                self,
                before={"state": before},
                after={"state": to},
                reason=reason,
            )
        return self

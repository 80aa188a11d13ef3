"""How a request stands, for people: where it waits, what is in the way of its key, what the PC says of it."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _

from checkout import lending, wishes
from checkout.models import CheckoutRequest, Lease
from clients import workdays
from mydoc import bytepaths
from vrasnode.wire.checkout import Keeper, LeaseReport, LeaseState

State = CheckoutRequest.State
OLD = timedelta(days=1)  # of waiting, after which a request says that it is old


@dataclass(frozen=True)
class Standing:
    """One request as a page shows it."""

    request: CheckoutRequest
    lease: Lease | None
    told: LeaseReport | None
    now: datetime

    @property
    def waits_for(self) -> str:
        """Who has to decide; "" when nobody has."""
        step = self.request.current_step
        return step.words if step else ""

    @property
    def old(self) -> bool:
        """Whether it has waited for longer than a working day."""
        since = timezone.localtime(self.request.waits_since)
        days = workdays.count(since.date(), timezone.localtime(self.now).date()) - 1
        waits = self.request.state in (State.WAITING, State.SENT_BACK)
        return waits and days >= 1 and self.now - self.request.waits_since > OLD

    @property
    def workdays(self) -> int:
        starts, ends = (timezone.localtime(at).date() for at in (self.request.starts, self.request.ends))
        return workdays.count(starts, ends)

    @property
    def left(self) -> timedelta | None:
        """Of its period, while it is lent."""
        if self.request.state != State.LENT or not self.request.starts <= self.now < self.request.ends:
            return None
        return self.request.ends - self.now

    @property
    def left_words(self) -> str:
        """The same in words."""
        if self.left is None:
            return ""
        days, seconds = self.left.days, self.left.seconds
        return _("%(days)d d %(hours)d h %(minutes)d min left") % {
            "days": days,
            "hours": seconds // 3600,
            "minutes": seconds % 3600 // 60,
        }

    @property
    def key_words(self) -> str | Promise:
        """Where the usage key is, and what has to be done about it."""
        if self.request.state == State.PERMITTED:
            return lending.OBSTACLES.get(self.request.obstacle, _("The key is being made."))
        if self.request.state == State.OVERDUE:
            return _(
                "The deadline has passed. The data locked itself. Connect the PC to the company's network."
            )
        if self.request.state != State.LENT:
            return ""
        return self._lent_words()

    @property
    def weak(self) -> bool:
        """Whether nothing but the PC's key and a PIN keeps it."""
        return self.told is not None and self.told.keeper in (Keeper.PIN, Keeper.SOFTWARE_TPM)

    def _lent_words(self) -> str:
        if self.told is None:
            return _("On its way to the PC: leave it switched on, on the company's network.")
        if self.told.state is LeaseState.OFFERED:
            return _(
                "On the PC. Choose a PIN there now, on its page http://vras.internal/, before you leave."
            )
        if self.told.state is LeaseState.REFUSED:
            words = bytepaths.readable(self.told.words or self.told.code, 300)
            return _("The PC does not take the key: %(words)s") % {"words": words}
        if self.told.state is LeaseState.OPEN:
            return _("In use away from the company.")
        starts = timezone.localtime(self.request.starts)
        if self.now < starts:
            return _("Key on the PC, usable from %(when)s.") % {"when": starts.strftime("%Y-%m-%d %H:%M")}
        return _("Key on the PC, usable now.")


def of(request: CheckoutRequest, *, now: datetime) -> Standing:
    lease = request.lease
    return Standing(request, lease, wishes.told(lease) if lease else None, now)

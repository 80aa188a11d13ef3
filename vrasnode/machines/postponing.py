"""When a staged version may take over: the server's hours, a halt, a user who puts it off until a deadline.

Nothing here switches: `desktop` and `virtualserver` ask. What the user put off outlives this process.
"""

import html
from collections.abc import Callable
from datetime import datetime, timedelta
from http import HTTPStatus

from vrasnode.errors import Refused
from vrasnode.host import disk
from vrasnode.imaging.slots import Slots, Version
from vrasnode.localdoors import Doors, Reply
from vrasnode.wire import codec
from vrasnode.wire.codec import Message
from vrasnode.wire.imaging import SLICES, Apply, DeliveryReport, DeliveryStage, ImagingSlice, Machine, Switch
from vrasnode.words import say

FREE = Switch()


class Postponed(Message, frozen=True):
    """How often the assignment `serial` was put off, and until when."""

    serial: int = 0
    count: int = 0
    until: datetime | None = None


class Postponing:
    """The rule, for one machine's slots. `report` takes reports and whether to keep them over a kill; `now`
    is the time of day. Raises HostBroken for a disk that does not take what was put off."""

    def __init__(
        self,
        slots: Slots,
        *,
        get_slice: Callable[[str], bytes | None],
        report: Callable[[DeliveryReport, bool], None],
        now: Callable[[], datetime],
        machine: Machine = Machine.CLIENT_VM,
    ) -> None:
        self._slots = slots
        self._get_slice = get_slice
        self._report = report
        self._now = now
        self._app = SLICES[machine]
        self._path = slots.directory / "postponed.json"
        self._seen: bytes | None = None
        self._switch = FREE
        self._warned: tuple[int, datetime] | None = None
        data = disk.read_file(self._path)
        try:
            self._put_off = codec.decode(data, Postponed) if data else Postponed()
        except Refused:  # worth less than a switch that never comes
            self._put_off = Postponed()

    @property
    def switch(self) -> Switch:
        """The server's terms, as they were told last."""
        data = self._get_slice(self._app)
        if data != self._seen:
            self._seen = data
            try:
                self._switch = (codec.decode(data, ImagingSlice).switch if data else None) or FREE
            except Refused:
                self._switch = FREE
        return self._switch

    def may(self, staged: Version) -> bool:
        """Whether it may take over now, if the machine is off."""
        switch, now = self.switch, self._now()
        if switch.held or not _is_open(switch, now):
            return False
        own = self._of(staged)
        late = switch.deadline is not None and now >= switch.deadline
        return late or own.until is None or now >= own.until

    def due(self, staged: Version) -> bool:
        """Whether a running machine is to be shut down for it: at once, or after the user was warned."""
        switch, now = self.switch, self._now()
        late = switch.deadline is not None and now >= switch.deadline
        if not (staged.apply is Apply.NOW or late) or not self.may(staged):
            self._warned = None
            return False
        if switch.deadline is None and not switch.postponements:
            return True  # nobody was promised a choice
        if self._warned is None or self._warned[0] != staged.serial:
            self._warned = staged.serial, now
        return now - self._warned[1] >= timedelta(seconds=switch.warn_s)

    def left(self, staged: Version) -> int:
        """How often its user may still put it off."""
        switch = self.switch
        if switch.deadline is not None and self._now() >= switch.deadline:
            return 0
        return max(0, switch.postponements - self._of(staged).count)

    def postpone(self) -> datetime:
        """The user puts it off; until when. Raises Refused(nothing_staged, no_more_putting_off)."""
        staged, switch = self._slots.boot.next, self.switch
        if staged is None:
            raise Refused("nothing_staged", "No new version waits.")
        if not self.left(staged):
            raise Refused("no_more_putting_off", "It cannot be put off any more.")
        until = self._now() + timedelta(seconds=switch.postpone_s)
        if switch.deadline is not None:
            until = min(until, switch.deadline)
        put_off = Postponed(serial=staged.serial, count=self._of(staged).count + 1, until=until)
        disk.write_file(self._path, codec.encode(put_off))
        self._put_off = put_off
        said = DeliveryReport(
            serial=staged.serial,
            stage=DeliveryStage.STAGED,
            postponed=put_off.count,
            postponed_until=until,
        )
        self._report(said, True)
        return until

    def doors(self) -> Doors:
        """Of the local page."""

        def postpone(query: str, language: str) -> Reply:
            del query
            try:
                self.postpone()
            except Refused as error:
                return HTTPStatus.CONFLICT, "text/plain; charset=utf-8", say(error.code, language).encode()
            return HTTPStatus.SEE_OTHER, "", b"/"

        return {("POST", "/postpone"): postpone}

    def section(self, language: str) -> str:
        """What the local page shows of it, as HTML."""
        staged = self._slots.boot.next
        if staged is None:
            return ""

        def words(code: str, **details: str) -> str:
            return html.escape(say(code, language, details))

        until, deadline, warned = self._of(staged).until, self.switch.deadline, self._warned
        lines = [words("update_ready")]
        if until is not None and not self.may(staged):
            lines.append(words("update_put_off", time=_said(until)))
        if deadline is not None:
            lines.append(words("update_deadline", time=_said(deadline)))
        if warned is not None:
            at = warned[1] + timedelta(seconds=self.switch.warn_s)
            lines.append(f"<strong role=alert>{words('update_warning', time=_said(at))}</strong>")
        if left := self.left(staged):
            lines.append(
                f"<form method=post action=/postpone><button>{words('update_postpone', left=str(left))}"
                "</button></form>"
            )
        body = "".join(f"<p>{line}</p>" if "<form" not in line else line for line in lines)
        return f"<h2>{words('update_title')}</h2>{body}"

    def _of(self, staged: Version) -> Postponed:
        return self._put_off if self._put_off.serial == staged.serial else Postponed()


def _is_open(switch: Switch, now: datetime) -> bool:
    minute = (now.weekday() * 24 + now.hour) * 60 + now.minute
    return not switch.windows or any(start <= minute < end for start, end in switch.windows)


def _said(at: datetime) -> str:
    return at.astimezone().isoformat(sep=" ", timespec="minutes")

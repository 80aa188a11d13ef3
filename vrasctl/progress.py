"""Shows how far a publication or a distribution is: live at a terminal, a few quiet lines elsewhere."""

import sys
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from vrasctl import showing

QUARTER = 25
LARGE_BYTES = 1 << 30  # below it nobody waits long enough to read lines about quarters
MAX_PCS_SHOWN = 50


class Lines:
    """Progress of a publication in lines, for logs and pipes."""

    def __init__(self) -> None:
        self._total = 0
        self._next = QUARTER
        self._sent = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def begin(self, total_bytes: int) -> None:
        self._total, self._next = total_bytes, QUARTER
        showing.say(f"reading {showing.amount(total_bytes)}")

    def read(self, done_bytes: int) -> None:
        percent = 100 * done_bytes // self._total if self._total else 100
        if percent >= self._next and self._total >= LARGE_BYTES:
            self._next = percent - percent % QUARTER + QUARTER
            showing.say(f"read {percent} %, sent {showing.amount(self._sent)}")

    def sent(self, more_bytes: int) -> None:
        self._sent += more_bytes

    def stage(self, words: str) -> None:
        showing.say(words)


class Bar:
    """Progress of a publication as a bar on standard error."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TransferSpeedColumn,
        )

        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TextColumn("sent {task.fields[sent]}"),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            refresh_per_second=4,
        )
        self._task = self._progress.add_task("opening", total=None, sent=showing.amount(0))
        self._sent = 0

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def begin(self, total_bytes: int) -> None:
        self._progress.update(self._task, description="reading", total=total_bytes, completed=0)

    def read(self, done_bytes: int) -> None:
        self._progress.update(self._task, completed=done_bytes)

    def sent(self, more_bytes: int) -> None:
        self._sent += more_bytes
        self._progress.update(self._task, sent=showing.amount(self._sent))

    def stage(self, words: str) -> None:
        self._progress.update(self._task, description=words)


def of_publication() -> Lines | Bar:
    """What suits the place where standard error goes."""
    return Bar() if sys.stderr.isatty() else Lines()


class PcLines:
    """A distribution in lines: one whenever a PC comes to another state."""

    def __init__(self) -> None:
        self._seen: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def show(self, distribution: Mapping[str, Any], deliveries: Sequence[Mapping[str, Any]]) -> None:
        for delivery in deliveries:
            if self._seen.get(delivery["client"]) != delivery["state"]:
                self._seen[delivery["client"]] = delivery["state"]
                showing.say(_pc_line(delivery))


class PcTable:
    """A distribution as a table that is drawn again and again; of a large group, what is under way."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self._live = Live(console=Console(stderr=True), refresh_per_second=4)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def show(self, distribution: Mapping[str, Any], deliveries: Sequence[Mapping[str, Any]]) -> None:
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False, title=Text(_title(distribution)), title_justify="left")
        for heading in ("PC", "state", "fetched", "what happened"):
            table.add_column(heading)
        under_way = sorted(deliveries, key=lambda delivery: delivery["state"] in ("booted", "waiting"))
        for delivery in under_way[:MAX_PCS_SHOWN]:
            cells = (delivery["client"], delivery["state"], f"{delivery['percent']} %", delivery["words"])
            table.add_row(*(Text(showing.clean(cell)) for cell in cells))
        if len(under_way) > MAX_PCS_SHOWN:
            table.add_row(Text(f"and {len(under_way) - MAX_PCS_SHOWN} more"))
        self._live.update(table)


def of_distribution() -> PcLines | PcTable:
    """What suits the place where standard error goes."""
    return PcTable() if sys.stderr.isatty() else PcLines()


def _title(distribution: Mapping[str, Any]) -> str:
    counts = ", ".join(f"{count} {state}" for state, count in distribution["deliveries"].items())
    return showing.clean(f"{distribution['version']} to {distribution['group']}: {counts}")


def _pc_line(delivery: Mapping[str, Any]) -> str:
    reason = f": {delivery['words']} [{delivery['code']}]" if delivery["code"] else ""
    return f"{delivery['client']}: {delivery['state']}{reason}"

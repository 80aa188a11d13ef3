"""Copies on the company's NAS, as the local page tells of them: how each volume's stands, "copy now", and the
wish that nothing be waited for when the client VM is shut down. No key and no file's name is here.
"""

import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Protocol

from vrasnode.localdoors import Doors, Reply
from vrasnode.wire.replication import ReplicationSlice, RunReport, RunState
from vrasnode.words import known_codes, say

COPY_NOW, LEAVE_NOW = "/copy-now", "/leave-now"
WAITING = "waiting"
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


class Copying(Protocol):
    """Replicas (`replication.Replication`), as far as the page needs them."""

    @property
    def said(self) -> ReplicationSlice: ...
    @property
    def progress(self) -> RunReport | None: ...
    def last(self, volume: str) -> RunReport | None: ...
    def copied_at(self, volume: str) -> datetime | None: ...
    def begin(self, volume: str) -> bool: ...
    def waits_for(self, volume: str) -> bool: ...


@dataclass(frozen=True)
class CopyLine:
    """One volume's. `state` is that of the run that is under way or was the last, "" when none is known;
    `copied_at` (ISO 8601, or "") when the last one that ended well was begun."""

    owner: str
    copied_at: str
    state: str = ""
    files: int = 0
    done_bytes: int = 0
    total_bytes: int = 0
    code: str = ""
    words: str = ""


def line_of(
    owner: str,
    *,
    volume: str,
    copied_at: datetime | None,
    progress: RunReport | None,
    last: RunReport | None,
    waits: bool,
) -> CopyLine:
    """From what the parts say of it."""
    at = copied_at.isoformat(timespec="minutes") if copied_at else ""
    told = progress if progress is not None and progress.volume == volume else last
    if waits and (told is None or told is last):
        return CopyLine(owner, at, WAITING)
    if told is None:
        return CopyLine(owner, at)
    counts = told.files, told.done_bytes, told.total_bytes
    return CopyLine(owner, at, told.state.value, *counts, told.code, told.words)


def part(lines: Sequence[CopyLine], language: str) -> str:
    """The page's part about copies (HTML); empty where nothing is copied."""
    if not lines:
        return ""
    rows = "".join(
        f"<tr><th scope=row>{html.escape(line.owner)}</th><td>{_said(line, language)}</td></tr>"
        for line in lines
    )
    buttons = "".join(
        f'<form method=post action="{path}"><button>{html.escape(say(code, language))}</button></form>'
        for path, code in ((COPY_NOW, "copy_now"), (LEAVE_NOW, "leave_now"))
    )
    title = html.escape(say("page_replicas", language))
    return f"<h2>{title}</h2><table>{rows}</table><div class=acts>{buttons}</div>"


def lines_of(copying: Copying, owner_name: Callable[[str], str]) -> list[CopyLine]:
    """Of all volumes of this PC that are copied. From any thread."""
    return [
        line_of(
            owner_name(wish.volume),
            volume=wish.volume,
            copied_at=copying.copied_at(wish.volume),
            progress=copying.progress,
            last=copying.last(wish.volume),
            waits=copying.waits_for(wish.volume),
        )
        for wish in copying.said.volumes
    ]


def doors(
    copying: Copying, *, open_volumes: Callable[[], Sequence[str]], leave_now: Callable[[], None]
) -> Doors:
    """The doors by method and path."""

    def copy(query: str, language: str) -> Reply:
        del query
        begun = [copying.begin(volume) for volume in open_volumes()]
        if any(begun):
            return _page(HTTPStatus.ACCEPTED, "replica_waiting", language)
        return _page(HTTPStatus.CONFLICT, "no_replicas", language)

    def leave(query: str, language: str) -> Reply:
        del query
        leave_now()
        return _page(HTTPStatus.OK, "not_waited_for", language)

    return {("POST", COPY_NOW): copy, ("POST", LEAVE_NOW): leave}


def _said(line: CopyLine, language: str) -> str:
    at = {"time": line.copied_at}
    parts = [say("replica_last" if line.copied_at else "replica_never", language, at)]
    if line.state == RunState.RUNNING:
        counts = {"files": str(line.files), "done": size(line.done_bytes), "total": size(line.total_bytes)}
        parts.append(say("replica_running", language, counts))
    elif line.state == RunState.FAILED:
        why = say(line.code, language) if line.code in known_codes() else f"{line.words} [{line.code}]"
        parts.append(say("replica_failed", language, {"why": why}))
    elif line.state in (RunState.CUT_OFF, WAITING):
        parts.append(say(f"replica_{line.state}", language))
    return "<br>".join(html.escape(part) for part in parts)


def size(count: int) -> str:
    """Bytes, for people."""
    value, unit = float(count), 0
    while value >= 1024 and unit < len(_UNITS) - 1:
        value, unit = value / 1024, unit + 1
    return f"{value:.0f} {_UNITS[unit]}" if unit == 0 else f"{value:.1f} {_UNITS[unit]}"


def _page(status: HTTPStatus, code: str, language: str) -> Reply:
    words, back = html.escape(say(code, language)), html.escape(say("page_back", language))
    text = (
        f'<!doctype html><html lang="{language}"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f'<link rel="stylesheet" href="/style.css"><title>{words}</title>'
        f'<p>{words}</p><p><a href="/">{back}</a></p></html>'
    )
    return status, "text/html; charset=utf-8", text.encode()

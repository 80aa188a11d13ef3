"""Copies on the NAS, on the page inside the PC: what is said of them, and what can be asked for."""

from datetime import UTC, datetime
from http import HTTPStatus

import pytest

from vrasnode.copies import door
from vrasnode.copies.door import COPY_NOW, LEAVE_NOW, CopyLine
from vrasnode.wire.replication import ReplicationSlice, ReplicationWish, RunReport, RunState

VOLUME, RUN = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff", "0b6f2e0e-9a5b-4a83-8d6c-0a5f6b8f3a11"
WHEN = datetime(2026, 11, 26, 9, 30, tzinfo=UTC)


class Copying:
    """Replicas: one volume."""

    def __init__(self) -> None:
        self.said = ReplicationSlice(volumes=[ReplicationWish(volume=VOLUME)], gateway="https://g")
        self.progress: RunReport | None = None
        self.ended: RunReport | None = None
        self.asked: list[str] = []

    def last(self, volume: str) -> RunReport | None:
        return self.ended

    def copied_at(self, volume: str) -> datetime | None:
        return WHEN

    def begin(self, volume: str) -> bool:
        self.asked.append(volume)
        return True

    def waits_for(self, volume: str) -> bool:
        return volume in self.asked


def report(state: RunState, **more: object) -> RunReport:
    return RunReport(volume=VOLUME, run=RUN, state=state, **more)  # type: ignore[arg-type]


def shown(copying: Copying, language: str = "en") -> str:
    return door.part(door.lines_of(copying, lambda volume: "<alice>"), language)


def test_how_far_a_copy_is_and_when_the_last_one_was_is_said_in_both_languages() -> None:
    copying = Copying()
    copying.progress = report(RunState.RUNNING, files=12, done_bytes=3 << 20, total_bytes=9 << 30)

    said, japanese = shown(copying), shown(copying, "ja")

    assert "&lt;alice&gt;" in said
    assert "last copy begun 2026-11-26T09:30+00:00" in said
    assert "12 files, 3.0 MiB of 9.0 GiB" in said
    assert "12ファイル" in japanese


@pytest.mark.parametrize(
    ("ended", "words"),
    [
        (report(RunState.CUT_OFF, code="left_now"), "it goes on by itself"),
        (report(RunState.FAILED, code="restic_failed", words="Fatal"), "Fatal [restic_failed]"),
        (report(RunState.FAILED, code="nas_full", words="no space"), "Nothing is lost; it is tried again."),
        (report(RunState.DONE), "last copy begun"),
    ],
)
def test_how_the_last_copy_ended_is_said(ended: RunReport, words: str) -> None:
    copying = Copying()
    copying.ended = ended

    assert words in shown(copying)


def test_who_asks_for_a_copy_gets_one_where_something_is_open() -> None:
    copying, left, volumes = Copying(), [], [VOLUME]
    doors = door.doors(copying, open_volumes=lambda: volumes, leave_now=lambda: left.append(1))

    accepted = doors["POST", COPY_NOW]("", "en")
    volumes.clear()
    refused = doors["POST", COPY_NOW]("", "ja")
    let_go = doors["POST", LEAVE_NOW]("", "en")

    assert (accepted[0], refused[0], let_go[0]) == (HTTPStatus.ACCEPTED, HTTPStatus.CONFLICT, HTTPStatus.OK)
    assert copying.asked == [VOLUME]
    assert "複製できません" in refused[2].decode()
    assert left == [1]
    assert "asked for" in shown(copying)


def test_a_pc_without_replicas_says_nothing_of_them() -> None:
    assert door.part([], "en") == ""
    assert door.part([CopyLine("alice", "")], "en") != ""

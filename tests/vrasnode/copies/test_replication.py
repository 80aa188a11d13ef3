"""The PC copies what the server names: the virtual server's own program, restic and gateway are real."""

import gzip
import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from config.demo.processes import Child, wait_for
from mydoc.nas import fileserver
from tests.mydoc.replicacast import answers, free_port
from vrasnode import sealing
from vrasnode.contact.outbox import Outbox
from vrasnode.copies import part, running
from vrasnode.copies.log import CopiedLog
from vrasnode.copies.part import Replication
from vrasnode.errors import Refused, Unreachable
from vrasnode.mydoc.naming import serial_of
from vrasnode.servicevm.guest.answering import Ops, Refusal
from vrasnode.servicevm.guest.replicas import Replicas
from vrasnode.wire import codec
from vrasnode.wire.replication import (
    Occasion,
    ReplicationKey,
    ReplicationKeyAnswer,
    ReplicationKeyRequest,
    ReplicationReport,
    ReplicationSlice,
    ReplicationWish,
    RunReport,
    RunState,
)

pytestmark = pytest.mark.slow
VOLUME, RUN = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff", "0b6f2e0e-9a5b-4a83-8d6c-0a5f6b8f3a11"
SECRETS = "of-the-gateway", "of-the-repository"
OTHER_RUN = "5d1f6a0a-4a8e-4a53-9f5e-6f6c1d5f0b22"
NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
HALF = bytes(range(32))
ABSENT = RunReport(volume=VOLUME, run=RUN, state=RunState.WAITING)


class Places:
    """Volumes, as far as replicas need them: one, mounted."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.closed = False

    def require(self, serial: object) -> Path:
        if self.closed or serial != serial_of(VOLUME):
            raise Refusal("volume_closed", "The volume is not open.")
        return self.place


class Guest:
    """The virtual server's program, asked without the line between."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.places = Places(directory / "data")
        self.start()

    def start(self) -> None:
        """It knows nothing of what was before."""
        self.ops = Ops()
        self.replicas = Replicas(self.places, run=self.directory / "run")  # type: ignore[arg-type]
        self.replicas.add_to(self.ops)

    def call(self, op: str, *, timeout_s: float, **args: Any) -> Any:
        try:
            return self.ops.find(op)[0](**args)
        except Refusal as refusal:
            raise Refused(refusal.code, refusal.words) from refusal


class Reader:
    """Who opens volumes: there is one, and the test says how it stands."""

    def __init__(self) -> None:
        self.open, self.locked = True, False
        self.order: tuple[str, bytes, float] | None = None
        self.finished: list[str] = []

    def is_open(self, volume: str) -> bool:
        return self.open and volume == VOLUME

    def is_locked(self, volume: str) -> bool:
        return self.locked and volume == VOLUME

    def read(self, volume: str, run: str, server_half: bytes, *, within_s: float) -> None:
        self.order = run, server_half, within_s

    def is_readable(self, volume: str, run: str) -> bool:
        if self.order is None or self.order[0] != run:
            raise Unreachable("volume_locked", "The volume is locked.")
        return True

    def finish_reading(self, volume: str, run: str) -> None:
        self.order = None
        self.finished.append(run)


class Doors:
    """The server's doors."""

    def __init__(self) -> None:
        self.asked: list[ReplicationKeyRequest] = []
        self.manifests: dict[str, bytes] = {}
        self.busy = False

    def replication_key(self, request: ReplicationKeyRequest) -> ReplicationKeyAnswer:
        self.asked.append(request)
        if self.busy:
            raise Refused("gateway_busy", "Many PCs copy now.")
        key = ReplicationKey(
            run=request.run or RUN,
            repository=f"{VOLUME}/",
            user=VOLUME,
            password=SECRETS[0],
            repository_password=SECRETS[1],
            server_half=HALF if request.locked else b"",
            read_s=60 if request.locked else 0,
        )
        purpose = sealing.replication_purpose(VOLUME)
        return ReplicationKeyAnswer(
            sealed=sealing.seal(codec.encode(key), request.reply_key, purpose=purpose)
        )

    def hand_in_manifest(self, run: str, packed: bytes) -> None:
        self.manifests[run] = packed


class Pc:
    """The part, turned by hand; what it says lies in `told`."""

    def __init__(self, directory: Path, port: int) -> None:
        self.directory = directory
        self.doors, self.guest, self.reader = Doors(), Guest(directory), Reader()
        self.outbox = Outbox(directory / "outbox.json")
        self.told: list[RunReport] = []
        self.port = port
        self.seconds = 0.0
        self.wish(RUN)
        self.part = self.make()

    def make(self) -> Replication:
        return Replication(
            server=self.doors,
            housing=self.guest,  # type: ignore[arg-type]
            reader=self.reader,
            is_ready=lambda: True,
            copied=CopiedLog(self.directory / "copied.json"),
            get_slice=lambda app: self.slice,
            outbox=self.outbox,
            wake=lambda: None,
            now=lambda: NOW,
            clock=lambda: self.seconds,
        )

    def wish(self, run: str, **changed: Any) -> None:
        one = ReplicationWish(volume=VOLUME, run=run, **changed)
        said = ReplicationSlice(volumes=[one], gateway=f"http://127.0.0.1:{self.port}")
        self.slice = codec.encode(said)

    def step(self) -> None:
        self.seconds += 1
        self.part.step()
        self.outbox.send(self._hear)

    def until_ended(self) -> RunReport:
        def ended() -> bool:
            self.step()
            return any(one.state is not RunState.RUNNING for one in self.told)

        wait_for("the end of the run", ended, children=[])
        return self.told[-1]

    def _hear(self, app: str, body: bytes) -> None:
        assert app == "replication"
        self.told += codec.decode(body, ReplicationReport).runs


@pytest.fixture
def pc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pc]:
    monkeypatch.setattr(running, "LOOK_S", 0.05)
    port, where = free_port(), tmp_path / "nas"
    for folder in (where, tmp_path / "data"):
        folder.mkdir()
    (tmp_path / "data" / "見積.txt").write_text("見積")
    argv = [str(fileserver.program()), "serve", "restic", "--addr", f"127.0.0.1:{port}", "--append-only"]
    argv += ["--user", VOLUME, "--pass", SECRETS[0], "--private-repos", str(where)]
    with Child("rclone", argv, log=tmp_path / "rclone.log") as child:
        wait_for("the gateway", lambda: answers(port), children=[child])
        one = Pc(tmp_path, port)
        yield one
        one.part.close()
        one.guest.replicas.end(serial_of(VOLUME))


def test_an_open_volume_is_copied_its_manifest_handed_in_and_the_end_told(pc: Pc) -> None:
    ended = pc.until_ended()

    assert (ended.state, ended.files, ended.total_bytes) == (RunState.DONE, 1, 6), ended
    assert ended.snapshot
    (line,) = gzip.decompress(pc.doors.manifests[RUN]).splitlines()
    assert json.loads(line)["size_bytes"] == 6
    pc.step()
    pc.step()
    assert len(pc.doors.asked) == 1


@pytest.mark.parametrize("wait", [timedelta(minutes=5), None])
def test_nothing_begins_before_its_slot_or_while_the_volume_is_locked(pc: Pc, wait: timedelta | None) -> None:
    if wait:
        pc.wish(RUN, not_before=NOW + wait)
    else:
        pc.reader.open = False

    pc.step()
    pc.step()

    assert pc.doors.asked == []


def test_a_volume_that_is_locked_meanwhile_cuts_its_run_off(pc: Pc) -> None:
    (pc.directory / "data" / "large").write_bytes(bytes(range(256)) * (1 << 18))
    pc.step()
    wait_for("the copying", lambda: bool(pc.guest.replicas._jobs), children=[])

    pc.reader.open = False
    pc.guest.replicas.end(serial_of(VOLUME))

    assert pc.until_ended().state is RunState.CUT_OFF
    assert pc.doors.manifests == {}


def test_a_virtual_server_that_is_started_anew_cuts_its_run_off_and_the_next_one_goes_on(pc: Pc) -> None:
    """The volume counts as open until somebody looks: nothing has failed."""
    (pc.directory / "data" / "large").write_bytes(bytes(range(256)) * (1 << 18))
    pc.step()
    wait_for("the copying", lambda: bool(pc.guest.replicas._jobs), children=[])

    pc.guest.replicas.end(serial_of(VOLUME))
    pc.guest.start()

    ended = pc.until_ended()
    assert (ended.state, ended.code) == (RunState.CUT_OFF, "no_such_run"), ended
    pc.wish(OTHER_RUN, occasion=Occasion.RESUME)
    pc.seconds += part.AGAIN_S
    assert _until(pc, RunState.DONE).run == OTHER_RUN


def test_a_run_that_is_begun_before_the_volume_is_back_in_a_new_virtual_server_is_cut_off(pc: Pc) -> None:
    pc.guest.places.closed = True

    ended = pc.until_ended()

    assert (ended.state, ended.code) == (RunState.CUT_OFF, "volume_closed"), ended
    pc.guest.places.closed = False
    pc.wish(OTHER_RUN, occasion=Occasion.RESUME)
    pc.seconds += part.AGAIN_S
    assert _until(pc, RunState.DONE).run == OTHER_RUN


def test_a_run_that_the_control_base_has_lost_sight_of_gives_way_to_the_next(pc: Pc) -> None:
    for number in range(60):
        (pc.directory / "data" / f"{number}").write_bytes(os.urandom(1 << 20))
    pc.step()
    wait_for("the copying", lambda: bool(pc.guest.replicas._jobs), children=[])
    (lost,) = pc.guest.replicas._jobs.values()
    pc.part.close()
    pc.part = pc.make()
    pc.wish(OTHER_RUN, occasion=Occasion.RESUME)

    ended = pc.until_ended()

    assert (ended.state, ended.run) == (RunState.DONE, OTHER_RUN), ended
    assert lost.child.poll() is not None


def test_an_agent_that_begins_again_finds_the_run_where_it_is(pc: Pc) -> None:
    pc.step()
    pc.part.close()
    pc.part = pc.make()

    assert pc.until_ended().state is RunState.DONE


def test_when_the_gateway_is_busy_it_is_asked_again_later(pc: Pc) -> None:
    pc.doors.busy = True
    pc.step()
    wait_for("the refusal", lambda: _stepped(pc) and pc.part._job is None, children=[])
    pc.doors.busy = False
    pc.seconds += part.AGAIN_S

    assert pc.until_ended().state is RunState.DONE


def test_a_run_that_was_cut_off_is_finished_while_the_volume_is_locked_and_it_is_locked_again(pc: Pc) -> None:
    CopiedLog(pc.directory / "copied.json").begin(VOLUME, RUN, at=NOW)
    pc.part = pc.make()
    pc.reader.open, pc.reader.locked = False, True
    pc.wish("")

    ended = pc.until_ended()

    assert (ended.state, ended.occasion) == (RunState.DONE, Occasion.RESUME), ended
    (asked,) = pc.doors.asked
    assert asked.locked
    assert pc.reader.finished == [RUN]
    assert not (pc.directory / "data" / ".openvras").exists()


def test_nothing_but_a_run_that_was_cut_off_opens_a_locked_volume(pc: Pc) -> None:
    pc.reader.open, pc.reader.locked = False, True
    pc.wish(RUN, occasion=Occasion.BY_HAND)

    pc.step()
    pc.step()

    assert pc.doors.asked == []


def test_who_leaves_now_cuts_the_run_off_and_the_next_one_goes_on(pc: Pc) -> None:
    for number in range(60):
        (pc.directory / "data" / f"{number}").write_bytes(os.urandom(1 << 20))
    pc.wish(RUN, slice_bytes=8 << 20)
    pc.step()
    wait_for("progress", lambda: _stepped(pc) and (pc.part.progress or ABSENT).done_bytes > 0, children=[])

    pc.part.leave("left_now")

    assert (pc.until_ended().state, pc.told[-1].code) == (RunState.CUT_OFF, "left_now")
    assert CopiedLog(pc.directory / "copied.json").unfinished == {VOLUME: RUN}
    pc.part = pc.make()  # the next start
    pc.wish(OTHER_RUN, occasion=Occasion.RESUME)
    assert _until(pc, RunState.DONE).run == OTHER_RUN


def test_whether_all_was_copied_since_some_moment_is_known_without_the_server(pc: Pc) -> None:
    pc.until_ended()

    known = CopiedLog(pc.directory / "copied.json")

    assert known.copied_since(VOLUME, NOW)
    assert not known.copied_since(VOLUME, NOW + timedelta(seconds=1))
    assert pc.part.copied_since(VOLUME, NOW)
    assert known.unfinished == {}


def test_somebody_at_the_pc_asks_for_a_copy_and_the_server_names_the_run(pc: Pc) -> None:
    pc.wish("")
    pc.step()

    assert pc.part.begin(VOLUME)

    assert pc.until_ended().state is RunState.DONE
    assert pc.doors.asked[0].occasion is Occasion.BY_HAND
    assert not pc.part.waits_for(VOLUME)


def test_no_secret_lies_in_what_is_written_down_or_said(pc: Pc) -> None:
    pc.until_ended()

    kept = b"".join(path.read_bytes() for path in pc.directory.glob("run/*")) + repr(pc.told).encode()
    assert not any(secret.encode() in kept for secret in SECRETS)
    assert SECRETS[0].encode() not in (pc.directory / "outbox.json").read_bytes()


def _until(pc: Pc, state: RunState) -> RunReport:
    wait_for("the end", lambda: _stepped(pc) and pc.told[-1].state is state, children=[])
    return pc.told[-1]


def _stepped(pc: Pc) -> bool:
    pc.step()
    return True

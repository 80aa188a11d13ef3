"""The conversation with the server: what is said when, and what happens when nobody answers."""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.vrasnode.conftest import FACTS
from tests.vrasnode.office import LIFE, Office, Published
from vrasnode.contact.identity import Identity
from vrasnode.contact.outbox import Outbox
from vrasnode.contact.part import LONGEST_WAIT_S, REVOKED_S, Contact
from vrasnode.contact.server import Server
from vrasnode.contact.slices import Slices
from vrasnode.errors import HostBroken, Refused, Unreachable
from vrasnode.wire import codec
from vrasnode.wire.clients import ClientSlice, ClientState, Desired, FactsReport
from vrasnode.wire.imaging import DeliveryReport, DeliveryStage


class Pc:
    """The part with what it needs. Time moves only when a test moves it."""

    def __init__(self, office: Office, identity: Identity, directory: Path) -> None:
        self.office = office
        self.identity = identity
        self.directory = directory
        self.seconds = 0.0
        self.now = datetime.now(UTC)
        self.summary: tuple[str, str | None] = ("running", "a" * 64)
        self.urgent = False
        self.ahead_s = 0.0  # of the PC's clock
        self.restart()

    def restart(self) -> None:
        self.slices = Slices(self.directory / "slices")
        self.outbox = Outbox(self.directory / "outbox.json")
        self.contact = Contact(
            server=Server(self.office.url, identity=self.identity, clock=lambda: time.time() + self.ahead_s),
            identity=self.identity,
            slices=self.slices,
            outbox=self.outbox,
            get_summary=lambda: self.summary,
            get_facts=lambda: FACTS,
            boot_id="boot-1",
            get_uptime_s=lambda: 12,
            wake=threading.Event(),
            clock=lambda: self.seconds,
            now=lambda: self.now,
            since_start=lambda: 5000.0 + self.seconds,
            is_urgent=lambda: self.urgent,
            chance=lambda: 0.5,
        )
        self.contact._nudges.stop.set()  # this office has no socket: the PC polls

    def wait(self, seconds: float) -> None:
        """Lets time pass with a step each second."""
        for _ in range(int(seconds)):
            self.seconds += 1
            self.contact.step()

    def count(self, path: str) -> int:
        return self.office.asked.count(path)


LOOK = "GET /node/v1/desired"
BEAT = "POST /node/v1/heartbeat"


@pytest.fixture
def pc(office: Office, identity: Identity, old: Published, tmp_path: Path) -> Pc:
    office.assign(old, serial=1)
    return Pc(office, identity, tmp_path)


def test_at_first_it_looks_says_that_it_lives_and_what_it_is(pc: Pc, office: Office) -> None:
    pc.contact.step()

    assert set(office.slices) == {"imaging", "clients"}
    assert pc.slices.get("imaging") == office.slices["imaging"]
    assert (office.beats[0].desktop, office.beats[0].boot_id, office.beats[0].uptime_s) == (
        "running",
        "boot-1",
        12,
    )
    assert (pc.count(LOOK), pc.count(BEAT)) == (1, 1)
    assert codec.decode(dict(office.reports)["clients"], FactsReport).facts == FACTS


def test_then_it_speaks_at_the_servers_intervals_only(pc: Pc) -> None:
    pc.contact.step()

    pc.wait(299)

    assert pc.count(BEAT) == 10  # every 30 s
    assert pc.count(LOOK) == 10  # polling, for there is no socket


def test_pcs_that_were_started_together_spread_over_a_fifth_of_the_interval(pc: Pc) -> None:
    asked = []
    for chance in (0.0, 0.999):
        pc.contact._chance = lambda chance=chance: chance  # type: ignore[misc]
        pc.seconds += 1000
        pc.contact.step()
        before, began = (pc.count(LOOK), pc.count(BEAT)), pc.seconds
        while (pc.count(LOOK), pc.count(BEAT)) != (before[0] + 1, before[1] + 1):
            pc.wait(1)
        asked.append(pc.seconds - began)

    assert asked == [24, 36]  # of 30 s, as the server says


@pytest.mark.parametrize("days", [1, -1])
def test_a_clock_that_is_a_day_off_is_said_as_long_as_it_is_so(pc: Pc, office: Office, days: int) -> None:
    pc.ahead_s = days * 86400.0
    pc.wait(3 * 86400 // 60)  # far longer than any signature is good
    assert {round(beat.clock_off_s, -2) for beat in office.beats[1:]} == {-days * 86400}
    assert pc.contact.clock_off_s

    pc.ahead_s = 1.0  # somebody has set it
    pc.wait(31)

    assert pc.contact.clock_off_s == 0
    pc.wait(31)
    assert office.beats[-1].clock_off_s == 0


def test_what_the_server_says_holds_although_the_disk_is_full(
    pc: Pc, office: Office, new: Published, small_disk: Callable[[int], Path]
) -> None:
    pc.contact.step()
    disk = small_disk(64 << 10)
    pc.slices._directory = disk
    (disk / "filler").write_bytes(bytes(64 << 10))

    office.assign(new, serial=2)
    with pytest.raises(HostBroken, match="disk_full"):
        pc.wait(31)
    assert pc.slices.get("imaging") == office.slices["imaging"]

    (disk / "filler").unlink()
    pc.wait(31)
    assert (disk / "imaging.slice").read_bytes() == office.slices["imaging"]


def test_while_user_data_hangs_on_it_it_speaks_more_often(pc: Pc) -> None:
    pc.contact.step()
    pc.urgent = True

    pc.wait(120)

    assert pc.count(BEAT) == 9  # every 15 s


def test_an_answer_is_as_old_as_its_question(pc: Pc, office: Office) -> None:
    pc.contact.step()
    assert pc.contact.heard_at == 5000.0
    pc.wait(29)
    assert pc.contact.heard_at == 5000.0  # nothing was asked, so nothing was heard

    pc.wait(1)
    assert pc.contact.heard_at == 5030.0
    office.refuse["/node/v1/heartbeat"] = (503, "busy")
    office.refuse["/node/v1/desired"] = (503, "busy")
    pc.wait(60)

    assert pc.contact.heard_at == 5030.0


def test_a_heartbeats_answer_brings_it_to_look_again(pc: Pc, office: Office, new: Published) -> None:
    own = codec.decode(office.slices["clients"], ClientSlice)
    office.slices["clients"] = codec.encode(replace(own, poll_s=3600.0))
    pc.contact.step()

    office.assign(new, serial=2)
    pc.wait(31)

    assert pc.slices.get("imaging") == office.slices["imaging"]


def test_a_change_of_the_desktop_is_said_at_once(pc: Pc, office: Office) -> None:
    pc.contact.step()
    pc.summary = ("stopped", None)

    pc.wait(1)

    assert [beat.desktop for beat in office.beats] == ["running", "stopped"]


def test_a_nudge_is_a_look(pc: Pc) -> None:
    pc.contact.step()

    pc.contact.look_soon()
    pc.wait(1)

    assert pc.count(LOOK) == 2


def test_the_last_state_is_there_when_nobody_answers(pc: Pc, office: Office) -> None:
    pc.contact.step()
    office.refuse["/node/v1/desired"] = office.refuse["/node/v1/heartbeat"] = (503, "down")

    pc.restart()
    pc.contact.step()

    assert pc.slices.get("imaging") == office.slices["imaging"]


def test_an_absent_slice_leaves_the_last_one_and_a_strange_name_stays_in_its_directory(
    pc: Pc, office: Office
) -> None:
    pc.contact.step()
    before = pc.slices.get("imaging")

    pc.slices.keep(Desired(slices={"../escape": b"x"}), "2")

    assert Slices(pc.directory / "slices").get("imaging") == before
    assert not list(pc.directory.glob("escape*"))


def test_an_unreachable_server_is_asked_more_and_more_seldom(pc: Pc, office: Office) -> None:
    office.refuse["/node/v1/heartbeat"] = (503, "down")
    pc.contact.step()

    pc.wait(600)
    tries = pc.count(BEAT)
    assert 600 / LONGEST_WAIT_S <= tries <= 600 / LONGEST_WAIT_S + 8

    office.refuse.clear()
    pc.wait(LONGEST_WAIT_S + 5)
    assert len(office.beats) > 0


def test_reports_wait_for_the_server_and_outlive_the_process(pc: Pc, office: Office) -> None:
    office.refuse["/node/v1/heartbeat"] = (503, "down")
    pc.contact.step()
    fetching = DeliveryReport(serial=1, stage=DeliveryStage.FETCHING)
    booted = DeliveryReport(serial=1, stage=DeliveryStage.BOOTED)
    failed = DeliveryReport(serial=2, stage=DeliveryStage.FAILED)
    pc.outbox.put("imaging", "1", fetching, keep=False)
    pc.outbox.put("imaging", "1", booted, keep=True)
    pc.outbox.put("imaging", "2", failed, keep=True)

    office.refuse.clear()
    pc.restart()
    pc.contact.step()

    assert office.delivery_reports() == [booted, failed]
    pc.restart()
    assert len(pc.outbox) == 0


def test_a_report_that_nobody_wants_does_not_hold_back_the_next(pc: Pc, office: Office) -> None:
    office.refuse["/node/v1/reports/mydoc"] = (404, "not_found")
    pc.outbox.put("mydoc", "x", DeliveryReport(serial=1, stage=DeliveryStage.BOOTED), keep=True)
    pc.outbox.put("imaging", "1", DeliveryReport(serial=1, stage=DeliveryStage.BOOTED), keep=True)

    pc.contact.step()

    assert len(office.delivery_reports()) == 1
    assert len(pc.outbox) == 0


def test_a_pending_pc_asks_for_its_certificate_and_nothing_else(pc: Pc, office: Office) -> None:
    office.state = ClientState.PENDING
    pc.identity.take(office.enrol_answer())
    pc.contact.step()
    pc.wait(20)
    assert pc.count(BEAT) == 0

    office.state = ClientState.APPROVED
    pc.wait(10)

    assert pc.identity.approved
    assert pc.count(BEAT) >= 1


def test_a_revoked_pc_notices_at_the_next_contact_and_knocks_only_now_and_then(
    pc: Pc, office: Office
) -> None:
    pc.contact.step()
    office.state = ClientState.REVOKED
    asked = len(office.asked)

    pc.wait(10 * REVOKED_S)

    assert pc.identity.enrolment is not None
    assert pc.identity.enrolment.state is ClientState.REVOKED
    assert not Identity(pc.identity.directory).approved
    assert len(office.asked) - asked <= 12
    assert pc.slices.get("imaging") is not None

    office.state = ClientState.APPROVED
    pc.wait(2 * REVOKED_S)
    assert pc.identity.approved


def test_a_lost_pc_knows_it_also_after_a_restart_until_it_was_found_again(pc: Pc, office: Office) -> None:
    pc.contact.step()
    doors = ("/node/v1/heartbeat", "/node/v1/desired", "/node/v1/certificate")
    office.refuse.update(dict.fromkeys(doors, (403, "lost")))

    pc.wait(REVOKED_S)
    assert Identity(pc.identity.directory).lost
    assert not pc.identity.approved

    office.refuse.clear()
    pc.wait(2 * REVOKED_S)
    assert pc.identity.approved
    assert not Identity(pc.identity.directory).lost


def test_a_certificate_is_renewed_by_itself_also_after_its_end(pc: Pc, office: Office) -> None:
    assert pc.identity.certificate is not None
    before = pc.identity.certificate.not_valid_after_utc
    pc.contact.step()
    assert pc.count("POST /node/v1/renew") == 0

    pc.now += 2 * LIFE
    office.certificate_begin = None
    pc.wait(1)

    assert pc.count("POST /node/v1/renew") == 1
    assert pc.identity.certificate.not_valid_after_utc >= before


def test_a_renewal_that_is_refused_is_said_and_not_asked_every_second(pc: Pc, office: Office) -> None:
    office.refuse["/node/v1/renew"] = (403, "other_key")
    pc.now += LIFE

    with pytest.raises(Refused):
        pc.contact.step()
    for _ in range(300):
        pc.seconds += 1
        pc.contact.step()

    assert pc.count("POST /node/v1/renew") == 1
    assert pc.count(BEAT) > 5


def test_a_letter_on_a_full_disk_is_still_sent_by_this_process(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "missing" / "outbox.json")
    sent: list[str] = []

    with pytest.raises(HostBroken):
        outbox.put("imaging", "1", DeliveryReport(serial=1, stage=DeliveryStage.BOOTED), keep=True)
    with pytest.raises(HostBroken):
        outbox.send(lambda app, body: sent.append(app))

    assert sent == ["imaging"]


def test_what_could_not_be_sent_stays_in_order(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox.json")
    for serial in (1, 2, 3):
        outbox.put(
            "imaging", str(serial), DeliveryReport(serial=serial, stage=DeliveryStage.BOOTED), keep=True
        )
    sent: list[int] = []

    def deliver(app: str, body: bytes) -> None:
        if len(sent) == 1:
            raise Unreachable("down", "Down.")
        sent.append(codec.decode(body, DeliveryReport).serial)

    with pytest.raises(Unreachable):
        outbox.send(deliver)
    Outbox(tmp_path / "outbox.json").send(
        lambda app, body: sent.append(codec.decode(body, DeliveryReport).serial)
    )

    assert sent == [1, 2, 3]


def test_an_outbox_that_cannot_be_read_is_begun_anew(tmp_path: Path) -> None:
    (tmp_path / "outbox.json").write_bytes(b"{")

    assert len(Outbox(tmp_path / "outbox.json")) == 0


def test_times_pass_for_a_pc_that_was_asleep(pc: Pc) -> None:
    pc.contact.step()
    pc.seconds += timedelta(days=3).total_seconds()

    pc.contact.step()

    assert (pc.count(LOOK), pc.count(BEAT)) == (2, 2)

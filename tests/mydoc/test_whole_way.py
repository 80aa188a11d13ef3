"""The whole way of a question but for the wires: portal, doors, the agent's own answering, and the program of
the virtual server on a real file system, whose kernel decides. Root.
"""

import json
import os
from base64 import b64encode
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import User
from django.test import Client as Browser
from django.urls import reverse

from clients import nudge
from clients.enrolment import nodeslice
from clients.models import Client
from clients.people.rolenames import Role
from mydoc import bytepaths
from mydoc.models import Look, Opening, Volume
from mydoc.tree import browsing
from tests.mydoc.answering import AnsweringPc, beat, tell, whole
from tests.mydoc.keeping import Copies
from tests.pcs import FakePc
from tests.vrasnode.servicevm.volume import SERIAL, Guest, disk
from vrasnode.errors import Refused
from vrasnode.mydoc.answering import Answering
from vrasnode.mydoc.naming import serial_of, uid_of
from vrasnode.servicevm.guest.answering import Refusal
from vrasnode.wire import codec
from vrasnode.wire.mydoc import Act, MydocSlice, Question

pytestmark = [pytest.mark.django_db, pytest.mark.slow]
VOLUME = UUID(f"{SERIAL}{'0' * 12}")
BIG = os.urandom(1_300_000)
FILES = {
    "営業/見積 2026.xlsx".encode(): BIG,
    "営業/🗾/地図.png".encode(): b"map",
    "私用/日記.txt".encode(): b"diary",
    b"caf\xe9": b"menu",
    b"two\nlines": b"2",
    "invoice\u202excod.exe".encode(): b"MZ",
    b"x" * 255: b"long",
}


class Housing:
    """The line to the virtual server: what goes over it is JSON, a refusal has a code."""

    def __init__(self, guest: Guest) -> None:
        self._guest = guest

    def call(self, op: str, *, timeout_s: float, serial: str, **args: Any) -> Any:
        assert serial == SERIAL
        try:
            return json.loads(json.dumps(self._guest.ask(op, **json.loads(json.dumps(args)))))
        except Refusal as refusal:
            raise Refused(refusal.code, refusal.words) from refusal


@pytest.fixture
def guest(tmp_path: Path) -> Iterator[Guest]:
    """Sato's data, opened in the virtual server."""
    with Guest() as guest:
        guest.plug(disk(tmp_path / "disk"))
        guest.open(fresh=True)
        for name, data in FILES.items():
            path = guest.root / os.fsdecode(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        (guest.root / "way out").symlink_to("/etc/shadow")
        yield guest


@pytest.fixture
def volume(pc: FakePc, sato: User, now: datetime) -> Volume:
    """The row of it."""
    beat(pc, now=now)
    row = Volume.objects.create(pk=VOLUME, owner=sato, client=pc.client, limit_bytes=1 << 30)
    tell(row, now=now)
    Opening.objects.create(volume=row, state=Opening.State.OPEN, nonce="n", asked_at=now, opened_at=now)
    assert serial_of(str(row.pk)) == SERIAL
    return row


@pytest.fixture
def real(guest: Guest, pc: FakePc, volume: Volume, monkeypatch: pytest.MonkeyPatch) -> AnsweringPc:
    """The PC, which answers as its agent does."""
    agent = Answering(
        server=None,  # type: ignore[arg-type]  # the doors are knocked at by the PC of the tests
        housing=Housing(guest),  # type: ignore[arg-type]  # all that is asked of it
        is_open=lambda asked: asked == str(VOLUME),
        wake=lambda: None,
        clock=lambda: 0.0,
    )
    there = AnsweringPc(pc, answer=agent.answer_to)
    monkeypatch.setattr(nudge, "node", lambda client: there.look())
    return there


@pytest.fixture
def office(client: Browser, admin: User, volume: Volume) -> Browser:
    """The administrator, who said why they look."""
    client.force_login(admin)
    client.post(reverse("mydoc:reason", args=[VOLUME]), {"reason": "lost quotation"})
    return client


def logged_in(user: User) -> Browser:
    browser = Browser()
    browser.force_login(user)
    return browser


def test_an_administrator_finds_and_saves_every_file_of_the_real_folder(
    office: Browser, real: AnsweringPc
) -> None:
    root = office.get(reverse("mydoc:folder", args=[VOLUME, b""])).content.decode()
    found = office.get(reverse("mydoc:find", args=[VOLUME]), {"name": "見積"}).content.decode()

    assert "/etc/shadow" in root
    assert reverse("mydoc:file", args=[VOLUME, b"way out"]) not in root
    assert reverse("mydoc:file", args=[VOLUME, "営業/見積 2026.xlsx".encode()]) in found
    for name, data in FILES.items():
        assert whole(office.get(reverse("mydoc:file", args=[VOLUME, name]))) == data


@pytest.mark.parametrize("path", [b"way out", b"way out/x"])
def test_a_link_is_never_followed_out_of_the_volume(office: Browser, real: AnsweringPc, path: bytes) -> None:
    answer = office.get(reverse("mydoc:file", args=[VOLUME, path]), follow=True)

    assert "Links are shown and never followed." in answer.content.decode()
    assert b"root:" not in answer.content


def test_what_is_shared_is_opened_by_that_person_and_nobody_else(  # noqa: PLR0917  (pytest gives them by name)
    office: Browser, real: AnsweringPc, guest: Guest, volume: Volume, kato: User, now: datetime, being: Any
) -> None:
    sales, quote = "営業".encode(), "営業/見積 2026.xlsx".encode()
    wish = {"person": "kato", "access": "read", "reason": "holiday cover", "revision": 0}
    office.post(reverse("mydoc:share", args=[VOLUME, sales]), wish)
    grant = volume.grants.get()
    guests, third = logged_in(kato), logged_in(being("mori", Role.EMPLOYEE))
    folder = reverse("mydoc:shared", args=[grant.pk, sales])
    before = guests.get(folder)

    done = apply_grants(guest, volume, now=now)
    tell(volume, grants_revision=1, now=now)

    assert done["failed"] == {}
    assert before.status_code == 403
    assert "見積 2026.xlsx" in guests.get(folder).content.decode()
    assert whole(guests.get(reverse("mydoc:shared-file", args=[grant.pk, quote]))) == BIG
    assert third.get(folder).status_code == 403
    assert "applied on the PC" in office.get(reverse("mydoc:share", args=[VOLUME, sales])).content.decode()
    assert [look.by for look in Look.objects.filter(act="download")] == ["kato"]


def test_the_kernel_refuses_a_guest_whatever_the_server_asks_for_them(
    real: AnsweringPc, guest: Guest, kato: User
) -> None:
    from mydoc.models import person_id

    asked = Question(
        id="1",
        volume=str(VOLUME),
        act=Act.READ,
        path="私用/日記.txt".encode(),
        length=9,
        person=person_id(kato),
    )
    assert real.answer is not None

    assert real.answer(asked).code == "not_permitted"


def test_a_thousand_files_are_paged_as_the_real_folder_has_them(
    office: Browser, real: AnsweringPc, guest: Guest
) -> None:
    (guest.root / "many").mkdir()
    for number in range(1050):
        (guest.root / "many" / f"file-{number:04}").touch()
    folder, after, seen = reverse("mydoc:folder", args=[VOLUME, b"many"]), "", []
    while True:
        html = office.get(folder, {"after": after} if after else {}).content.decode()
        seen += [number for number in range(1050) if f">file-{number:04}</bdi>" in html]
        if 'rel="next"' not in html:
            break
        after = bytepaths.word(b"file-%04d" % seen[-1])

    assert seen == list(range(1050))


def apply_grants(guest: Guest, volume: Volume, *, now: datetime) -> Any:
    """What the agent does with its slice."""
    client = Client.objects.get(pk=volume.client_id)
    said = codec.decode(nodeslice.desired(client, now=now).slices["mydoc"], MydocSlice)
    [wish] = said.volumes
    asked = [
        {"path": b64encode(one.path).decode(), "uid": uid_of(one.person), "access": one.access.value}
        for one in wish.grants
    ]
    return guest.ask("grants_apply", grants=asked)


def test_the_owner_gets_a_deleted_file_and_an_older_version_back_from_my_page_alone(  # noqa: PLR0917
    copies: Copies, guest: Guest, real: AnsweringPc, volume: Volume, sato: User, now: datetime
) -> None:
    quote, diary = (guest.root / name for name in ("営業/見積 2026.xlsx", "私用/日記.txt"))
    kept = Copies(volume, guest.root).replicate(now=now - timedelta(hours=3))
    quote.write_bytes(b"spoilt")
    diary.unlink()
    mine = logged_in(sato)

    assert reverse("mydoc:earlier", args=[VOLUME, b""]) in mine.get("/my/").content.decode()
    for file in (quote, diary):
        path = os.fsencode(file.relative_to(guest.root))
        answer = mine.post(reverse("mydoc:put-back", args=[VOLUME, path]), {"at": str(kept.pk)}, follow=True)
        assert "It is put back" in answer.content.decode()

    stamp = browsing.stamp_of(kept.begun_at or now)
    assert quote.read_bytes() == b"spoilt"
    assert quote.with_stem(f"見積 2026 ({stamp})").read_bytes() == BIG
    assert diary.with_stem(f"日記 ({stamp})").read_bytes() == b"diary"
    assert Look.objects.filter(act="put_back", by="sato").count() == 2

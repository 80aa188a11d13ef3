"""User data for the browser: whose lies on which PC, and the PC that answers for it over HTTP.

The rows are made inside an installation (`cast`); the PC speaks from the process of the test.
"""

import hashlib
import threading
from collections.abc import Mapping
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import django
import urllib3
from cryptography.hazmat.primitives.asymmetric import ec
from django.apps import apps

if not apps.ready:  # the pictures are made without pytest
    import os

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()

from clients.models import Client
from tests.mydoc.answering import AnsweringPc, Files, link
from tests.pcs import FakePc

PC = "pc-sales-01"
SALES = "営業"
FILES: Files = {
    "営業/見積 2026.xlsx".encode(): b"quotation" * 4000,
    "営業/議事録/第1回 打合せ.docx".encode(): b"minutes" * 900,
    "営業/🗾 地図.png".encode(): b"\x89PNG" * 150000,
    "経理/請求書.pdf".encode(): b"%PDF" * 20000,
    "議事録 見積の件.txt".encode(): "議事録".encode(),
    b"notes.txt": b"hello",
    b"old share": link("//fileserver/経理".encode()),
    "invoice\u202excod.exe".encode(): b"MZ",
    b"<script>alert(1)": b"x",
    b"caf\xe9 menu.txt": b"x",
    b"two\nlines.txt": b"x",
    ("とても長い名前の資料" * 8 + ".txt").encode(): b"x",
}


def key_of(name: str) -> ec.EllipticCurvePrivateKey:
    """The key of a PC of the cast: the same in every process, and worth nothing elsewhere."""
    return ec.derive_private_key(int.from_bytes(hashlib.sha256(name.encode()).digest()), ec.SECP256R1())


class HttpPc(FakePc):
    """A PC that knocks over HTTP."""

    url = ""

    def get(self, path: str, **headers: str) -> Any:
        return self._knock("GET", path, b"")

    def post(self, path: str, message: Any) -> Any:
        return self._knock("POST", path, message)

    def _knock(self, method: str, path: str, body: bytes) -> Any:
        answer = urllib3.request(
            method,
            self.url + path,
            body=body or None,
            headers=self.sign(method, path, body),
            retries=False,
            timeout=10,
        )
        return SimpleNamespace(content=answer.data, status_code=answer.status)


class Answering(threading.Thread):
    """Asks for questions and answers them, until it is ended."""

    def __init__(self, url: str, pc: str, *, guests: Mapping[str, str]) -> None:
        super().__init__(daemon=True)
        readers = {guests["kato"]: [SALES.encode()], guests["admin"]: ["経理".encode()]}
        there = HttpPc(Client(pk=UUID(pc)), key_of(PC))
        there.url = url
        self.there = AnsweringPc(there, files=FILES, readers=readers)
        self._ended = threading.Event()

    def run(self) -> None:
        while not self._ended.wait(0.1):
            try:
                self.there.look()
            except (urllib3.exceptions.HTTPError, OSError):  # the server is away: a PC asks again
                continue
            except Exception as error:
                if not self._ended.is_set():
                    print(f"the answering PC: {error!r}")

    def end(self) -> None:
        self._ended.set()
        self.join(15)


def rows(*, now: datetime) -> None:
    """Whose data lies where: open, locked, on a PC that is off, damaged; shared, looked into."""
    from django.contrib.auth import get_user_model
    from django.contrib.auth.models import Group

    from clients.auditing import Actor, acting
    from clients.people.rolenames import Role
    from mydoc.models import Volume
    from mydoc.tree import browsing, sharing
    from tests.mydoc.answering import make_volume
    from vrasnode.wire.mydoc import Access, LockProof, VolumeState

    people = get_user_model()._default_manager
    employee, _new = Group.objects.get_or_create(name=Role.EMPLOYEE.value)
    everybody = {}
    for name, family, given in (
        ("sato", "佐藤", "葵"),
        ("kato", "加藤", "凛"),
        ("mori", "森", "悠真"),
        ("ito", "伊藤", "結衣"),
    ):
        user, _new = people.get_or_create(username=name)
        user.first_name, user.last_name = given, family
        user.set_password(f"{name} has a password")
        user.save()
        user.groups.add(employee)
        everybody[name] = user
    admin = people.get(username="admin")

    def volume(pc: str, owner: Any, **says: Any) -> Volume:
        there = SimpleNamespace(client=Client.objects.get(name=pc))
        return make_volume(there, owner, now=now - timedelta(minutes=95), **says)  # type: ignore[arg-type]

    proof = LockProof(
        reason="left_the_lan", seconds=1.4, read_failed=True, daemon_gone=True, guest_answered=True
    )
    sato = volume(PC, everybody["sato"])
    kato = volume("pc-sales-02", everybody["kato"], opened=False, proof=proof)
    volume("pc-sales-06", everybody["mori"], used_bytes=41 << 30)
    broken = volume(
        "pc-sales-03",
        everybody["ito"],
        opened=False,
        state=VolumeState.BROKEN,
        code="volume_damaged",
        words="The header of the volume cannot be read. Its copy may help: see the manual.",
    )
    _restored(broken, volume("pc-sales-02", everybody["ito"]), now=now)
    own = volume("pc-design-01", admin, opened=False, proof=proof)
    with acting(Actor(name="admin", kind="user", origin="portal 192.0.2.10")):
        sharing.share(
            sato,
            SALES.encode(),
            person=everybody["kato"],
            access=Access.READ,
            revision=None,
            reason="休暇中の代理対応",
            now=now - timedelta(minutes=40),
        )
        sharing.share(
            kato,
            "見積".encode(),
            person=admin,
            access=Access.WRITE,
            revision=None,
            reason="期末の確認",
            now=now - timedelta(minutes=30),
        )
        sharing.share(
            sato,
            "経理".encode(),
            person=admin,
            access=Access.READ,
            revision=None,
            reason="監査",
            now=now - timedelta(minutes=20),
        )
        for act, path in (("list", ""), ("search", "見積"), ("download", "営業/見積 2026.xlsx")):
            for one in (sato, own):
                browsing.record(
                    one, act, path.encode(), reason="見積書の紛失に関する調査", now=now - timedelta(minutes=9)
                )


def _restored(broken: Any, target: Any, *, now: datetime) -> None:
    """What was on a damaged volume is on its way to another PC."""
    from mydoc.models import Replica, ReplicationRun, Restoration
    from mydoc.replicas import passwords

    at, replica = now - timedelta(hours=15), passwords.replica_of(broken)
    times = {"asked_at": at, "begun_at": at, "ended_at": at + timedelta(minutes=4)}
    run = ReplicationRun.objects.create(replica=replica, occasion="shutdown", state="done", **times)
    Replica.objects.filter(pk=replica.pk).update(last_good_at=at, files=6420, total_bytes=11 << 30)
    Restoration.objects.create(
        source=broken,
        target=target,
        run=run,
        reason="データボリュームの破損",
        asked_at=now - timedelta(minutes=30),
        asked_by="admin",
        files=6420,
        total_bytes=11 << 30,
        written=2300,
        same=12,
        beside=1,
        left_out=1,
        names=[{"path": "営業/見積 2024.xlsx", "code": "damaged"}],
        code="volume_locked",
    )

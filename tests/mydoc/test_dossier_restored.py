"""Every file in the dossier of a lost PC is in its replica, with that content: compared by somebody else."""

import csv
import hashlib
import io
import os
import re
import subprocess
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from django.contrib.auth.models import User
from django.test import Client as Browser
from django.utils import timezone

from mydoc.losses import losing
from mydoc.models import Replica, Volume
from tests.lab.server import ROOT
from tests.mydoc.keeping import Copies
from vrasnode import sealing

pytestmark = [pytest.mark.slow, pytest.mark.django_db]


@pytest.fixture
def now() -> datetime:
    return timezone.now()


def opened_by(custodians: Sequence[X25519PrivateKey], volume: Volume) -> bytes:
    """What both together get out of what was wrapped for them."""
    opened = bytes(Replica.objects.get(volume=volume).recovery or b"")
    for key in custodians:
        opened = sealing.open_sealed(opened, key, purpose=sealing.recovery_purpose(f"replica {volume.pk}"))
    return opened


def as_documented(copies: Copies, password: Path, target: Path) -> None:
    """The command of docs/vrasctl.md, with nothing of ours around it."""
    (written,) = re.findall(r"`(restic --repo [^`]*)`", (ROOT / "docs" / "vrasctl.md").read_text())
    command = " ".join(written.split())
    for told, here in (
        ("/mnt/nas/replicas/VOLUME-ID", copies.folder),
        ("sato.password", password),
        ("/srv/sato", target),
    ):
        assert told in command
        command = command.replace(told, str(here))
    bare = {"PATH": os.environ["PATH"], "HOME": str(password.parent)}
    done = subprocess.run(command.split(), env=bare, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_file_in_the_dossier_is_what_a_plain_restic_restores_with_what_the_custodians_open(  # noqa: PLR0917
    client: Browser,
    admin: User,
    custodians: tuple[X25519PrivateKey, X25519PrivateKey],
    copies: Copies,
    now: datetime,
    tmp_path: Path,
) -> None:
    for number in range(60):
        copies.put(f"営業/{number % 7}/見積 {number}.xlsx".encode(), os.urandom(number * 97))
    copies.replicate(now=now)
    loss = losing.declare(
        copies.volume.client, by=admin, reason="left in a train", confirm="pc-sales-01", now=timezone.now()
    )
    client.force_login(admin)

    copies.copy("slice", "--exclude", "*")  # a part, of a copy that was cut off
    password = tmp_path / "sato.password"
    password.write_bytes(opened_by(custodians, copies.volume))
    as_documented(copies, password, tmp_path / "restored")
    answer = client.get(f"/losses/{loss.pk}/dossier.csv?lang=en")
    table = b"".join(answer.streaming_content).decode("utf-8-sig")  # type: ignore[arg-type]

    top = tmp_path / "restored" / copies.data.relative_to("/")
    restored = {
        str(path.relative_to(top)): (path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest())
        for path in top.rglob("*")
        if path.is_file()
    }
    told = {row[2]: (int(row[3]), row[5]) for row in csv.reader(io.StringIO(table)) if row[1] == "File"}
    assert len(told) == 62
    assert told == restored

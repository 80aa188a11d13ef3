"""Every file in the dossier of a lost PC is in its replica, with that content: compared by somebody else."""

import csv
import hashlib
import io
import os
from datetime import datetime
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.test import Client as Browser
from django.utils import timezone

from mydoc.losses import losing
from tests.mydoc.keeping import Copies

pytestmark = [pytest.mark.slow, pytest.mark.django_db]


@pytest.fixture
def now() -> datetime:
    return timezone.now()


def test_every_file_in_the_dossier_is_what_a_plain_restic_restores(
    client: Browser, admin: User, copies: Copies, now: datetime, tmp_path: Path
) -> None:
    for number in range(60):
        copies.put(f"営業/{number % 7}/見積 {number}.xlsx".encode(), os.urandom(number * 97))
    copies.replicate(now=now)
    loss = losing.declare(
        copies.volume.client, by=admin, reason="left in a train", confirm="pc-sales-01", now=timezone.now()
    )
    client.force_login(admin)

    copies.restic("restore", "latest", "--target", str(tmp_path / "restored"))
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

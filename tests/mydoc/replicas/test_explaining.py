"""A PC sees only that its copy was not taken: why is found out by the server, which asks the NAS itself."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mydoc.models import ReplicationRun, Volume
from mydoc.nas.settings import NasSettings
from mydoc.replicas import explaining, passwords

pytestmark = [pytest.mark.slow, pytest.mark.django_db]


def failed(volume: Volume, *, at: datetime, reason: str = "nas_failed") -> ReplicationRun:
    return ReplicationRun.objects.create(
        replica=passwords.replica_of(volume),
        occasion=ReplicationRun.Occasion.SCHEDULE,
        state=ReplicationRun.State.FAILED,
        asked_at=at,
        ended_at=at,
        reason=reason,
    )


def test_why_the_nas_took_nothing_stands_with_the_run(
    volume: Volume, now: datetime, tmp_path: Path, settings: Any
) -> None:
    settings.NAS = NasSettings(url=f"file://{tmp_path}/gone")
    run, other = failed(volume, at=now), failed(volume, at=now, reason="restic_failed")
    old = failed(volume, at=now - timedelta(hours=3))

    assert explaining.explain(now=now) == 1
    assert explaining.explain(now=now) == 0

    reasons = [ReplicationRun.objects.get(pk=one.pk).reason for one in (run, other, old)]
    assert reasons == ["nas_folder", "restic_failed", "nas_failed"]


def test_a_nas_that_is_well_again_explains_nothing(
    volume: Volume, now: datetime, tmp_path: Path, settings: Any
) -> None:
    settings.NAS = NasSettings(url=f"file://{tmp_path}")
    run = failed(volume, at=now)

    assert explaining.explain(now=now) == 0
    assert ReplicationRun.objects.get(pk=run.pk).reason == "nas_failed"

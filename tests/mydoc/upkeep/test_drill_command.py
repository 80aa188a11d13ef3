"""`manage.py drill`: what a replica gives back is compared on the spot; the exit code says how it went."""

import io
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from clients.models import Event
from mydoc.models import KeptSnapshot
from mydoc.upkeep import retaining
from tests.mydoc.keeping import Copies

pytestmark = pytest.mark.django_db


def drilled(*arguments: str) -> tuple[int, str]:
    """The exit code, and what was said."""
    said: Any = io.StringIO()
    try:
        call_command("drill", *arguments, "--language", "en", stdout=said)
    except CommandError as error:
        return error.returncode, f"{said.getvalue()}{error}"
    return 0, said.getvalue()


@pytest.mark.slow
def test_the_exit_code_is_zero_only_when_all_is_what_the_pc_signed(copies: Copies) -> None:
    now = timezone.now()
    run = copies.replicate(now=now - timedelta(hours=2))
    retaining.see(copies.replica, now=now - timedelta(hours=2))
    good = drilled("--whole")
    told = {**copies.files(), b"notes.txt": b"what never was there"}
    forged = copies.tell(told, now=now - timedelta(hours=1), snapshot=run.told["snapshot"])
    KeptSnapshot.objects.update(run=forged)

    bad = drilled("sato@pc-sales-01", "--whole")

    assert good[0] == 0
    assert "ok  sato @ pc-sales-01: 2 files" in good[1]
    assert bad[0] == 1
    assert "NO  sato @ pc-sales-01: 1 files are other than the PC signed, 0 are missing: notes.txt" in bad[1]
    assert Event.objects.filter(verb="upkeep.done", origin="manage.py drill").count() == 2


def test_a_replica_that_was_never_seen_on_the_nas_and_a_name_that_is_none_are_no_success(
    copies: Copies,
) -> None:
    copies.tell({b"a": b"1"}, now=timezone.now())

    unseen, unknown = drilled(), drilled("kato@pc-sales-01")

    assert unseen[0] == unknown[0] == 1
    assert "There is no replica that the server has seen" in unseen[1]
    assert "kato@pc-sales-01 has no replica" in unknown[1]

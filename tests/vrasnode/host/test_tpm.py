"""Secrets sealed by the TPM of swtpm: it alone gives them back. What hardware adds is not shown here."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lab.chip import Chip
from vrasnode.errors import HostBroken, Refused
from vrasnode.host.tpm import MAX_SECRET_BYTES
from vrasnode.mydoc.pchalf import Halves

pytestmark = pytest.mark.slow

VOLUME = "5b0e8f0e-7a51-4f0e-9d3b-0d6d4c9f1a77"


def test_what_a_tpm_sealed_it_gives_back_for_that_purpose_alone(chip: Callable[[str], Chip]) -> None:
    tpm = chip("pc").tpm
    secret = os.urandom(32)

    sealed = tpm.seal(secret, "one thing")

    assert secret not in sealed
    assert tpm.unseal(sealed, "one thing") == secret
    with pytest.raises(Refused) as refused:
        tpm.unseal(sealed, "another")
    assert refused.value.code == "not_for_us"


def test_a_tpm_is_not_filled_up_by_use(chip: Callable[[str], Chip]) -> None:
    """It has room for three objects and three sessions."""
    tpm = chip("pc").tpm
    secrets = [os.urandom(MAX_SECRET_BYTES) for _ in range(4)]

    sealed = [tpm.seal(secret, "use") for secret in secrets]

    assert [tpm.unseal(blob, "use") for blob in sealed] == secrets


def test_after_a_power_cut_the_tpm_still_gives_it_back(chip: Callable[[str], Chip]) -> None:
    before = chip("pc")
    sealed = before.tpm.seal(b"secret", "use")
    before.process.kill()
    before.process.wait()

    assert chip("pc").tpm.unseal(sealed, "use") == b"secret"


def test_another_pcs_tpm_gives_nothing(chip: Callable[[str], Chip]) -> None:
    sealed = chip("pc").tpm.seal(b"secret", "use")

    with pytest.raises(HostBroken) as broken:
        chip("other").tpm.unseal(sealed, "use")

    assert broken.value.code == "sealed_elsewhere"
    assert "custodians" in broken.value.words


def test_a_tpm_that_does_not_answer_is_said(chip: Callable[[str], Chip]) -> None:
    pc = chip("pc")
    sealed = pc.tpm.seal(b"secret", "use")
    pc.end()

    with pytest.raises(HostBroken) as broken:
        pc.tpm.unseal(sealed, "use")

    assert broken.value.code == "tpm_failed"
    assert not pc.tpm.present()


def test_a_secret_goes_to_the_tpm_by_no_argument_and_no_file(
    chip: Callable[[str], Chip], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the tools leave in their directory is copied before it is removed."""
    programs, seen = tmp_path / "bin", tmp_path / "seen"
    programs.mkdir()
    for name in ("tpm2_create", "tpm2_load", "tpm2_unseal", "tpm2_flushcontext"):
        program = programs / name
        lines = [f'echo "$0 $*" >> {seen}', f'{shutil.which(name)} "$@"', "ended=$?", f"cat ./* >> {seen}"]
        program.write_text("\n".join(["#!/bin/sh", *lines, "exit $ended", ""]))
        program.chmod(0o755)
    tpm = chip("pc").tpm
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    secret = os.urandom(32)

    assert tpm.unseal(tpm.seal(secret, "use"), "use") == secret

    everything = seen.read_bytes()
    assert b"tpm2_unseal" in everything
    assert not [form for form in (secret, secret.hex().encode()) if form in everything]


def test_a_half_is_made_once_and_lies_sealed_where_there_is_a_tpm(
    chip: Callable[[str], Chip], tmp_path: Path
) -> None:
    pc = chip("pc")
    halves = Halves(tmp_path / "mydoc", tpm=pc.tpm)
    assert halves.get(VOLUME) is None

    half = halves.make(VOLUME)

    assert halves.make(VOLUME) == half == Halves(tmp_path / "mydoc", tpm=pc.tpm).get(VOLUME)
    (kept,) = (tmp_path / "mydoc" / VOLUME).iterdir()
    assert kept.name == "half.tpm"
    assert half not in kept.read_bytes()
    with pytest.raises(HostBroken) as broken:
        Halves(tmp_path / "mydoc", tpm=chip("other").tpm).get(VOLUME)
    assert broken.value.code == "sealed_elsewhere"

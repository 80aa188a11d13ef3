"""The PCs of the demo and the tests: quick to start, and plain about what goes wrong."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.demo.lan import Lan, LanPc
from config.demo.pcs import RUN, LabPc
from tests.lab.libvirtd import QEMU_CACHE
from vrasnode.errors import HostBroken

pytestmark = pytest.mark.slow


def _known(directory: Path) -> dict[str, int]:
    return {file.name: file.stat().st_mtime_ns for file in directory.glob("*.xml")}


@pytest.fixture
def one_processor() -> Iterator[None]:
    """What libvirt reads of the processor holds the number of the one it runs on (CPUID, leaf 0x1f): where
    that is another one, it takes this for another computer and asks QEMU anew."""
    usual = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(usual)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, usual)


@pytest.mark.usefixtures("one_processor")
def test_what_one_pc_learnt_of_qemu_the_next_need_not_ask(lan: Lan, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    with LabPc(lan.join("first"), tmp_path / "first", cache=cache):
        learnt = _known(cache)
    assert learnt

    with LabPc(lan.join("second"), tmp_path / "second", cache=cache):
        assert _known(tmp_path / "second" / "cache" / "qemu" / "capabilities") == learnt


def test_a_pc_that_is_switched_off_leaves_nothing_running(lan: Lan, tmp_path: Path) -> None:
    place = lan.join("pc")
    with LabPc(place, tmp_path / "pc", cache=QEMU_CACHE) as pc:
        assert place.processes()
        run = Path(pc.uri.partition("socket=")[2]).parent
        assert run.parent == RUN

    assert not place.processes()
    assert not run.exists()


def test_a_libvirtd_that_does_not_start_is_said_with_its_log(tmp_path: Path) -> None:
    nowhere = LanPc("pc", namespace="no-such-namespace", switch="none", number=1)

    with pytest.raises(HostBroken) as broken, LabPc(nowhere, tmp_path / "pc", cache=QEMU_CACHE):
        pass

    assert broken.value.code == "libvirtd_failed"
    assert "no-such-namespace" in broken.value.words

"""The PCs of the demo and the tests: quick to start, and plain about what goes wrong."""

from pathlib import Path

import pytest

from config.demo.lan import Lan, LanPc
from config.demo.pcs import RUN, LabPc
from tests.lab.libvirtd import QEMU_CACHE
from vrasnode.errors import HostBroken

pytestmark = pytest.mark.slow


def _known(directory: Path) -> set[str]:
    return {file.name for file in directory.glob("*.xml")}


def test_what_one_pc_learnt_of_qemu_the_next_need_not_ask(lan: Lan, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    with LabPc(lan.join("first"), tmp_path / "first", cache=cache):
        learnt = _known(cache)
    (cache / "of-another-qemu.xml").write_text("<qemuCaps/>")

    with LabPc(lan.join("second"), tmp_path / "second", cache=cache):
        lent = _known(tmp_path / "second" / "cache" / "qemu" / "capabilities")

    assert learnt  # libvirt asks QEMU anew when it finds that out of date, so not the times
    assert lent == learnt | {"of-another-qemu.xml"}


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

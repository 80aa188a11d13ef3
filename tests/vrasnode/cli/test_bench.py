"""What a client VM loses is said with numbers, or not at all."""

import csv
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree

import pytest

from config.demo.bootimage import BootImages
from tests.lab.libvirtd import comes
from tests.vrasnode.waiting import small_vm
from vrasnode.bench import emulation, measures, plotting, results
from vrasnode.bench.comparing import HEADER, compare
from vrasnode.bench.emulation import judge
from vrasnode.bench.results import Results, Series
from vrasnode.cli import bench
from vrasnode.cli.main import main
from vrasnode.domainxml import client_vm_xml
from vrasnode.errors import HostBroken, Refused
from vrasnode.machines.hypervisor import Hypervisor

BARE = {"disk.read.sequential": [200.0, 202.0, 198.0], "cpu.one": [1000.0, 1001.0, 999.0]}
EQUAL = {"disk.read.sequential": [185.0, 184.0, 186.0], "cpu.one": [970.0, 971.0, 969.0]}
SLOWER = {"disk.read.sequential": [185.0, 184.0, 186.0], "cpu.one": [940.0, 941.0, 939.0]}
FLAGS = "model name\t: Some CPU\nflags\t\t: fpu vme hypervisor"


def measured(values: dict[str, list[float]], *, inside: bool, accelerator: str = "kvm") -> Results:
    limits = {"disk": 0.10, "cpu": 0.05}
    series = {
        name: Series(unit="B/s", limit=limits[name.partition(".")[0]], values=found)
        for name, found in values.items()
    }
    return Results(
        machine="",
        host_name="pc-1",
        inside=inside,
        accelerator=accelerator,
        kernel="6.1",
        processor="4 × Some CPU",
        at=datetime(2026, 1, 2, tzinfo=UTC),
        rounds=3,
        series=series,
    )


@pytest.fixture
def kept(tmp_path: Path) -> Callable[..., str]:
    """Keeps results in a file: `kept("bare", BARE, inside=False)` is its path."""

    def keep(name: str, values: dict[str, list[float]], *, inside: bool, accelerator: str = "kvm") -> str:
        path = tmp_path / f"{name}.json"
        results.keep(measured(values, inside=inside, accelerator=accelerator), path)
        return str(path)

    return keep


def test_a_machine_within_5_and_10_percent_passes() -> None:
    found = compare(measured(BARE, inside=False), measured(EQUAL, inside=True))

    assert found.passed
    assert [(row.measure, round(row.ratio, 3), row.bar) for row in found.rows] == [
        ("disk.read.sequential", 0.925, 0.90),
        ("cpu.one", 0.97, 0.95),
    ]
    assert "n = 3 bare, 3 inside" in found.text()


def test_a_machine_that_loses_more_than_was_promised_fails(kept: Callable[..., str]) -> None:
    bare, inside = kept("bare", BARE, inside=False), kept("inside", SLOWER, inside=True)

    assert main(["bench", "--compare", bare, "--results", inside]) == bench.EXIT_SLOWER


def test_a_measure_that_was_not_taken_inside_does_not_pass() -> None:
    found = compare(measured(BARE, inside=False), measured({"cpu.one": [1000.0] * 3}, inside=True))

    assert not found.passed
    assert "disk.read.sequential" in found.text()


def test_nothing_is_claimed_of_an_emulated_machine() -> None:
    for before, now in (("kvm", "tcg"), ("tcg", "kvm")):
        bare = measured(BARE, inside=False, accelerator=before)
        with pytest.raises(Refused) as refused:
            compare(bare, measured(EQUAL, inside=True, accelerator=now))
        assert refused.value.code == "emulated"


def test_a_pc_that_only_emulates_is_refused_before_anything_is_measured(
    kept: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    bare = kept("bare", BARE, inside=False, accelerator="tcg")

    assert main(["bench", "--compare", bare, "--inside"]) == 3
    assert "[emulated]" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("cpuinfo", "clocks", "maker", "signature", "expected"),
    [
        ("model name\t: QEMU TCG CPU version 2.5+\nflags\t\t: fpu hypervisor", "tsc", "QEMU", None, "tcg"),
        ("model name\t: QEMU TCG CPU version 2.5+\nflags\t\t: fpu hypervisor", "tsc", "Other", None, "tcg"),
        (FLAGS, "tsc", "QEMU", "TCGTCGTCGTCG", "tcg"),
        (FLAGS, "tsc", "QEMU", None, "tcg"),
        (FLAGS, "kvm-clock tsc", "QEMU", None, "kvm"),
        (FLAGS, "tsc", "QEMU", "KVMKVMKVM", "kvm"),
        (FLAGS, "tsc", "Some maker", "VMwareVMware", ""),
        ("model name\t: Some CPU\nflags\t\t: fpu vme", "tsc", "Some maker", "GenuineIntel", ""),
    ],
)
def test_a_machine_knows_whether_it_is_emulated(
    cpuinfo: str, clocks: str, maker: str, signature: str | None, expected: str
) -> None:
    assert judge(cpuinfo=cpuinfo, clocks=clocks, maker=maker, signature=signature) == expected


def test_the_processor_here_can_be_asked_by_machine_code() -> None:
    asked = judge(
        cpuinfo=Path("/proc/cpuinfo").read_text(),
        clocks="",
        maker="",
        signature=emulation.cpuid_signature(),
    )

    assert emulation.cpuid_signature() is not None
    assert emulation.accelerator_inside() == asked


def test_ratios_go_into_a_table_and_a_picture(kept: Callable[..., str], tmp_path: Path) -> None:
    bare, inside = kept("bare", BARE, inside=False), kept("inside", EQUAL, inside=True)
    table, picture = tmp_path / "ratios.csv", tmp_path / "ratios.svg"

    arguments = ["bench", "--compare", bare, "--results", inside, "--csv", str(table), "--plot", str(picture)]
    assert main(arguments) == 0

    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert list(rows[0]) == HEADER
    assert [(row["measure"], row["n_inside"], row["passed"]) for row in rows] == [
        ("cpu.one", "3", "true"),
        ("disk.read.sequential", "3", "true"),
    ]
    assert ElementTree.fromstring(picture.read_text()).tag.endswith("svg")  # noqa: S314


def test_a_picture_shows_what_failed() -> None:
    found = compare(measured(BARE, inside=False), measured(SLOWER, inside=True))

    drawn = ElementTree.fromstring(plotting.svg(found, title="<&> a title"))  # noqa: S314

    words = [element.text for element in drawn.iter() if element.text]
    assert "<&> a title" in words
    assert "0.940 fail" in words
    assert "0.925 pass" in words


def test_values_that_vary_more_than_the_loss_allowed_are_called_noisy() -> None:
    wild = {**EQUAL, "cpu.one": [900.0, 980.0, 1050.0]}

    found = compare(measured(BARE, inside=False), measured(wild, inside=True))

    assert [row.noisy for row in found.rows] == [False, True]
    assert "noisy" in found.text()


def test_a_baseline_that_is_missing_damaged_or_too_short_is_said(
    kept: Callable[..., str], tmp_path: Path
) -> None:
    with pytest.raises(HostBroken) as missing:
        results.read(tmp_path / "none.json")
    (tmp_path / "damaged.json").write_text("{}")
    with pytest.raises(Refused) as damaged:
        results.read(tmp_path / "damaged.json")
    with pytest.raises(Refused) as short:
        results.read(Path(kept("short", {"cpu.one": [1.0, 2.0]}, inside=False)))

    assert missing.value.code == "no_baseline"
    assert (damaged.value.code, short.value.code) == ("bad_baseline", "bad_baseline")


def test_two_bare_pcs_are_not_compared(kept: Callable[..., str]) -> None:
    bare = kept("bare", BARE, inside=False)

    with pytest.raises(Refused) as refused:
        compare(results.read(Path(bare)), results.read(Path(bare)))

    assert refused.value.code == "bad_baseline"


def test_what_is_passed_through_is_held_to_the_smaller_loss() -> None:
    limits = {one.name: one.limit for one in measures.measures(peer="pc-2", passed=["network"])}

    assert limits["network.lan.send"] == measures.OWN
    assert limits["disk.read.sequential"] == measures.SHARED


@pytest.mark.slow
def test_a_pc_is_measured_bare_and_its_values_are_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = Path.cwd() / ".cache"  # tmp may be a file system without direct I/O
    file.mkdir(exist_ok=True)
    base = tmp_path / "bare.json"
    quick = ["--rounds", "3", "--seconds", "1", "--disk-mib", "64"]

    assert main(["bench", "--baseline", str(base), "--disk", str(file), *quick, "--json"]) == 0

    found = results.read(base)
    assert found.series.keys() == {one.name for one in measures.measures(peer=None)}
    assert all(len(series.values) == 3 for series in found.series.values())
    assert json.loads(capsys.readouterr().out)["medians"].keys() == found.series.keys()
    assert not list(file.glob(".vrasnode-bench*"))


@pytest.mark.slow
def test_an_emulated_guest_finds_out_that_it_is_one(
    libvirtd: str, boot_images: BootImages, tmp_path: Path
) -> None:
    vm = small_vm(boot_images.v1, tmp_path, name="bench-guest", memory_mib=128)
    hypervisor = Hypervisor(libvirtd)
    hypervisor.start(client_vm_xml(vm))
    try:
        assert comes(lambda: hypervisor.ping(vm.name))
        cpuinfo = hypervisor.ask(vm.name, ["cat", "/proc/cpuinfo"], timeout_s=60).output.decode()
        maker = hypervisor.ask(vm.name, ["cat", "/sys/class/dmi/id/sys_vendor"], timeout_s=60).output.decode()
    finally:
        hypervisor.destroy(vm.name)
        hypervisor.close()

    assert judge(cpuinfo=cpuinfo, clocks="", maker=maker, signature=None) == "tcg"
    unnamed = cpuinfo.replace("TCG", "Some")
    assert judge(cpuinfo=unnamed, clocks="tsc", maker=maker, signature=None) == "tcg"

"""The benchmarks still run, end to end, and say what they measured. How fast it was is not looked at."""

import json
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Any

import pytest

from benchmarks import swarmplot

ROOT = Path(__file__).parents[2]
BLOCK = 1 << 20
PARTITION = bytes([0, 0, 2, 0, 0x83, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0])  # in the table: Linux, all of it
FIELDS = {"benchmark", "workload", "rounds", "machine", "versions", "commands", "series", "bars", "passed"}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def workload(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder with two versions of a small disk, as a workload: the real one takes minutes to build."""
    folder, random = tmp_path_factory.mktemp("workload"), Random(1)
    disk = {place: random.randbytes(BLOCK) for place in range(0, 256, 5)}
    write(folder / "v1.raw", disk)
    for place in range(0, 40, 5):  # changed a little
        disk[place] = random.randbytes(4096) + disk[place][4096:]
    disk |= {place: random.randbytes(BLOCK) for place in range(1, 21, 5)}
    write(folder / "v2t.raw", disk)
    return str(folder)


def write(path: Path, disk: dict[int, bytes]) -> None:
    """Blocks at these places of a disk that is empty elsewhere."""
    with path.open("wb") as file:
        file.truncate(256 * BLOCK)
        for place, block in disk.items():
            file.seek(place * BLOCK)
            file.write(block)
        file.seek(446)
        file.write(PARTITION + bytes(48) + b"\x55\xaa")


def run(benchmark: str, *more: str) -> dict[str, Any]:
    """The JSON object on the last line of a small round."""
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{benchmark}", "--quick", "--json", "--rounds", "1", *more],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert result.keys() == FIELDS
    return result


def test_publishing_is_measured_beside_casync(workload: str) -> None:
    result = run("publish", "--workload", workload)

    assert result["benchmark"] == "publish"
    assert any(command.startswith("casync make") for command in result["commands"])
    assert {
        "v1.ours.time", "v1.casync.time", "v2.ours.time", "v2.ours.cpu", "v2.ours.stored",
        "v2.ours.peak_memory", "v2.casync.time", "v2.time_ratio", "v2.cpu_ratio", "v2.bytes_ratio",
        "unchanged.time_ratio",
    } <= result["series"].keys()  # fmt: skip
    assert result["series"]["unchanged.ours.stored"]["values"] == [0]
    assert result["bars"] == []


def test_updating_is_measured_beside_casync_with_and_without_reflink(workload: str) -> None:
    result = run("update", "--workload", workload)

    assert result["benchmark"] == "update"
    assert any(command.startswith("casync extract") for command in result["commands"])
    for kind in ("xfs", "ext4"):
        assert {
            f"{kind}.ours.time", f"{kind}.ours.received", f"{kind}.ours.peak_memory", f"{kind}.casync.time",
            f"{kind}.time_ratio", f"{kind}.bytes_ratio",
        } <= result["series"].keys()  # fmt: skip
        new, received = result["series"]["v2.new_packed"], result["series"][f"{kind}.ours.received"]
        assert received["values"][0] >= new["values"][0]
    assert result["bars"] == []


@pytest.mark.soak  # minutes, and every part of it has tests of its own
def test_opening_and_cutting_off_user_data_is_measured_with_and_without_the_guests() -> None:
    result = run("cutoff")

    assert result["benchmark"] == "cutoff"
    assert {
        "pc.create", "pc.open_and_read", "pc.cut", "pc.cut.p95", "pc.cut_and_proof", "walk.first_logon",
        "walk.logon_to_read", "walk.cut.data_path.p95", "walk.cut.read_fails_inside.p95",
        "walk.cut.proof_at_the_server",
    } <= result["series"].keys()  # fmt: skip
    assert result["bars"] == []


@pytest.mark.soak  # minutes, and every part of it has tests of its own
def test_a_client_vm_is_measured_beside_its_host_and_beside_emulated_devices() -> None:
    result = run("machines")

    assert result["benchmark"] == "machines"
    assert {
        "host.slow.read", "ours.slow.read", "ours.slow.write", "slow.read_ratio", "slow.write_ratio",
        "emulated.fast.read", "gain.fast.read", "gain.fast.requests", "gain.network.receive",
    } <= result["series"].keys()  # fmt: skip
    assert "emulated.slow.read" not in result["series"]
    assert result["bars"] == []


@pytest.mark.soak  # minutes, and every part of it has tests of its own
def test_delta_frames_are_made_fetched_and_used_by_a_real_pc(workload: str) -> None:
    result = run("delta", "--workload", workload)

    series = {name: found["values"][0] for name, found in result["series"].items()}
    assert 0 < series["ours.delta"] < series["ours.plain"]
    assert series["casync.bytes"] > 0 and series["patch.bytes"] > 0
    assert series["ours.received"] > series["ours.delta"]


def test_a_crowd_is_simulated_and_a_call_of_the_tracker_is_measured() -> None:
    result = run("crowd")

    series = {name: found["values"] for name, found in result["series"].items()}
    assert series["stay.stuck"] == series["churn.stuck"] == [0]
    assert series["stay.egress"][0] < 1.1
    assert {"tracker.called.python", "tracker.called.redis", "tracker.called.web"} <= series.keys()
    assert result["bars"] == []


def shared(*more: str) -> list[dict[str, Any]]:
    """The runs of a small round of sharing."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.swarm", "--quick", "--json", *more],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    runs: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return runs


def test_runs_of_sharing_are_drawn_with_a_bar_for_each_way() -> None:
    runs = [
        {"method": method, "pcs": pcs, "mbit": 100, "x": x}
        for method, pcs, x in (("swarm", 2, 1.04), ("swarm", 2, 1.08), ("swarm", 2, 1.06), ("http", 8, 7.9))
    ]

    plot = swarmplot.draw(runs).decode()

    for words in ("swarm", "http", "2 PCs, 100 Mbit/s", "8 PCs, 100 Mbit/s", "1.06", "7.90"):
        assert words in plot
    assert "<script" not in plot


@pytest.mark.soak  # what others' programs do is not ours to test
def test_sharing_is_measured_beside_http_libtorrent_udpcast_and_uftp() -> None:
    runs = shared()

    assert {run["method"] for run in runs} == {"swarm", "http", "libtorrent", "udpcast", "uftp"}
    assert all(run.get("whole", True) for run in runs)


@pytest.mark.soak  # a minute
def test_a_fault_is_measured_beside_runs_without_it() -> None:
    runs = shared("--pcs", "4", "--fault", "all")

    assert [run["fault"] for run in runs] == ["slow", "dies", "lies", "leaves", "late"]
    assert all(run["ratio"] > 0 for run in runs)
    assert all("last_s" in run for run in runs if run["fault"] != "dies")
    (lies,) = (run for run in runs if run["fault"] == "lies")
    assert len(lies["wrong"]) == 1
    assert lies["reports"] >= 1

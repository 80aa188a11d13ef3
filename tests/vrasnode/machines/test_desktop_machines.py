"""The whole agent with real libvirt, QEMU and firmware, and guests that prove what they run. Needs root."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from config.demo.bootimage import HEALTH_COMMAND, MARKER, BootImages
from config.demo.pcs import LabPc
from tests.lab.libvirtd import comes
from tests.vrasnode.conftest import member_of
from tests.vrasnode.office import Keys, Office, Published, publish
from vrasnode.imaging.slots import read_boot
from vrasnode.machines.desktop import NAME
from vrasnode.machines.hypervisor import Hypervisor, MachineState
from vrasnode.wire.imaging import Apply, DeliveryStage, Health

pytestmark = pytest.mark.slow

CHUNK = 256 << 10
HEALTHY = Health(within_s=120, command=HEALTH_COMMAND)
HOPELESS = Health(within_s=5, command=HEALTH_COMMAND)


@pytest.fixture
def versions(keys: Keys, boot_images: BootImages) -> dict[str, Published]:
    first = publish(keys, boot_images.v1.read_bytes(), chunk_bytes=CHUNK, pack_bytes=16 << 20)
    second = publish(keys, boot_images.v2.read_bytes(), chunk_bytes=CHUNK, base=[first])
    broken = publish(keys, boot_images.unbootable.read_bytes(), chunk_bytes=CHUNK, base=[first, second])
    return {"v1": first, "v2": second, "unbootable": broken}


@contextmanager
def agent(state: Path, pc: LabPc) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "vrasnode",
            "run",
            "--state",
            state,
            "--hypervisor",
            pc.uri,
            "--memory-mib",
            "160",
        ]
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def marker(pc: LabPc) -> str:
    """The hash of the version's own file, asked inside the guest."""
    hypervisor = Hypervisor(pc.uri)
    try:
        return hypervisor.ask(NAME, ["sha256sum", MARKER], timeout_s=60).output.split()[0].decode()
    finally:
        hypervisor.close()


def test_machines_run_on_when_the_agent_is_killed_and_a_version_that_does_not_start_is_taken_back(
    office: Office, lab_pc: LabPc, boot_images: BootImages, versions: dict[str, Published], tmp_path: Path
) -> None:
    office.stock(*versions.values())
    state = tmp_path / "state"
    member_of(office, state / "identity")
    hypervisor = Hypervisor(lab_pc.uri)

    office.assign(versions["v1"], serial=1, health=HEALTHY, apply=Apply.NOW)
    with agent(state, lab_pc) as first:
        assert comes(lambda: hypervisor.state(NAME) is MachineState.RUNNING)
        first.send_signal(signal.SIGKILL)  # while the guest starts
        first.wait()
    with agent(state, lab_pc) as second:
        assert comes(lambda: office.stages()[-1:] == [DeliveryStage.BOOTED])
        assert marker(lab_pc) == boot_images.marker["v1"]
        started = read_boot(state / "images").starts

        office.assign(versions["unbootable"], serial=2, health=HOPELESS, apply=Apply.NOW)
        assert comes(lambda: office.stages()[-1:] == [DeliveryStage.FAILED])
        assert comes(lambda: hypervisor.ping(NAME))
        assert marker(lab_pc) == boot_images.marker["v1"]

        office.assign(versions["v2"], serial=3, health=HEALTHY, apply=Apply.NOW)
        assert comes(lambda: office.stages()[-1:] == [DeliveryStage.BOOTED])
        assert marker(lab_pc) == boot_images.marker["v2"]
        second.send_signal(signal.SIGTERM)
        assert second.wait(60) == 0

    failed = next(report for report in office.delivery_reports() if report.stage is DeliveryStage.FAILED)
    assert (failed.serial, failed.code, failed.running) == (2, "no_answer", versions["v1"].digest)
    assert started == 1  # the second agent took the first one's start over
    assert hypervisor.ping(NAME)
    hypervisor.destroy(NAME)
    hypervisor.close()

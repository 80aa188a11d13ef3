"""Each PC's machine has a TPM of its own for ever: no image carries it, no update changes it (row N6)."""

import os
import shutil
import signal
import socket
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from config.demo.bootimage import BootImages
from config.demo.pcs import LabPc
from tests.lab.libvirtd import comes, talking_disk
from tests.vrasnode.waiting import small_vm
from vrasnode.domainxml import ClientVm, Firmware, Mark, Profile, client_vm_xml
from vrasnode.machines.hypervisor import Hypervisor, MachineState, make_overlay

pytestmark = pytest.mark.slow

EK_HANDLE = 0x81010001  # RSA endorsement key: TCG EK Credential Profile 2.5 §2.2.1.4
READ_PUBLIC = 0x173  # TPM 2.0 Part 2, TPM_CC
SUCCESS = 0


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """The master image of all PCs."""
    image = tmp_path / "v1.raw"
    image.write_bytes(talking_disk("v1 runs"))
    return image


@pytest.fixture
def hypervisor(lab_pc: LabPc) -> Iterator[Hypervisor]:
    hypervisor = Hypervisor(lab_pc.uri)
    yield hypervisor
    hypervisor.close()


def _pc(image: Path, directory: Path, *, name: str) -> ClientVm:
    """The client VM of a PC of its own, from the image that all have."""
    return replace(small_vm(image, directory, name=name), tpm=True)


def _state(pc: LabPc, vm: ClientVm) -> Path:
    return pc.directory / "lib" / "swtpm" / str(vm.uuid) / "tpm2"


def _run_once(hypervisor: Hypervisor, vm: ClientVm) -> None:
    """Until its disk has spoken, so firmware has met the TPM; then off."""
    vm.console_log.unlink(missing_ok=True)
    hypervisor.start(client_vm_xml(vm))
    assert comes(lambda: vm.console_log.exists() and b"runs" in vm.console_log.read_bytes())
    hypervisor.destroy(vm.name)


def _endorsement_key(state: Path, scratch: Path) -> bytes:
    """The public part of the key that makes this TPM this TPM, asked of a TPM over a copy of its state."""
    copy = scratch / "tpm-copy"
    shutil.copytree(state, copy)
    ours, theirs = socket.socketpair()
    emulate = ["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={copy}", "--flags", "startup-clear"]
    tpm = subprocess.Popen([*emulate, "--fd", str(theirs.fileno())], pass_fds=[theirs.fileno()])
    try:
        theirs.close()
        ours.settimeout(60)
        ours.sendall(struct.pack(">HIII", 0x8001, 14, READ_PUBLIC, EK_HANDLE))
        answer = ours.recv(4096)
    finally:
        ours.close()
        tpm.send_signal(signal.SIGKILL)
        tpm.wait()
        shutil.rmtree(copy)
    _tag, size, code = struct.unpack(">HII", answer[:10])
    assert (size, code) == (len(answer), SUCCESS)
    (length,) = struct.unpack(">H", answer[10:12])
    return answer[12 : 12 + length]


def test_two_pcs_of_one_image_have_two_tpms(
    hypervisor: Hypervisor, lab_pc: LabPc, image: Path, tmp_path: Path
) -> None:
    first, second = (_pc(image, tmp_path, name=name) for name in ("first", "second"))

    _run_once(hypervisor, first)
    _run_once(hypervisor, second)

    keys = [_endorsement_key(_state(lab_pc, vm), tmp_path) for vm in (first, second)]
    assert min(map(len, keys)) > 256  # RSA 2048 and what is said about it
    assert keys[0] != keys[1]


def test_an_image_update_keeps_the_tpm(
    hypervisor: Hypervisor, lab_pc: LabPc, image: Path, tmp_path: Path
) -> None:
    vm = _pc(image, tmp_path, name="pc")
    _run_once(hypervisor, vm)
    before = _endorsement_key(_state(lab_pc, vm), tmp_path)

    (tmp_path / "v2.raw").write_bytes(talking_disk("v2 runs"))
    make_overlay(tmp_path / "v2.raw", tmp_path / "v2.qcow2")
    updated = replace(vm, disk=tmp_path / "v2.qcow2", mark=Mark(manifest="22" * 32, serial=2))
    _run_once(hypervisor, updated)

    assert hypervisor.metadata(vm.name) == updated.mark
    assert _endorsement_key(_state(lab_pc, vm), tmp_path) == before


def test_a_tpm_outlives_its_machines_definition_and_libvirtd(
    hypervisor: Hypervisor, lab_pc: LabPc, image: Path, tmp_path: Path
) -> None:
    vm = _pc(image, tmp_path, name="pc")
    _run_once(hypervisor, vm)
    before = _endorsement_key(_state(lab_pc, vm), tmp_path)

    subprocess.run(["virsh", "-qc", lab_pc.uri, "undefine", vm.name], check=True)
    lab_pc.end_libvirtd()
    lab_pc.start()
    _run_once(hypervisor, vm)

    assert _endorsement_key(_state(lab_pc, vm), tmp_path) == before


def test_a_tpm_survives_a_power_cut(
    hypervisor: Hypervisor, lab_pc: LabPc, image: Path, tmp_path: Path
) -> None:
    vm = _pc(image, tmp_path, name="pc")
    _run_once(hypervisor, vm)
    before = _endorsement_key(_state(lab_pc, vm), tmp_path)
    hypervisor.start(client_vm_xml(vm))

    for pid in lab_pc.place.processes():
        if Path(f"/proc/{pid}/exe").readlink().name in {"qemu-system-x86_64", "swtpm"}:
            os.kill(pid, signal.SIGKILL)
    assert comes(lambda: hypervisor.state(vm.name) is MachineState.CRASHED)
    _run_once(hypervisor, vm)

    assert _endorsement_key(_state(lab_pc, vm), tmp_path) == before


def test_a_windows_machine_starts_with_the_keys_of_secure_boot_and_a_tpm(
    hypervisor: Hypervisor, lab_pc: LabPc, image: Path, tmp_path: Path
) -> None:
    vm = replace(
        _pc(image, tmp_path, name="windows"),
        profile=Profile.WINDOWS,
        firmware=Firmware.EFI,
        nvram=tmp_path / "nvram.fd",
        secure_boot=True,
        memory_bytes=256 << 20,
    )

    hypervisor.start(client_vm_xml(vm))

    monitor = ["virsh", "-qc", lab_pc.uri, "qemu-monitor-command", "--hmp", vm.name, "info tpm"]
    assert "tpm-crb" in subprocess.run(monitor, capture_output=True, text=True, check=True).stdout
    assert b"Microsoft Corporation UEFI CA 2011" in (tmp_path / "nvram.fd").read_bytes()
    assert hypervisor.state(vm.name) is MachineState.RUNNING


def test_secure_boot_starts_no_system_that_nobody_signed(
    hypervisor: Hypervisor, boot_images: BootImages, tmp_path: Path
) -> None:
    """Our demo's guest is such a one: without Secure Boot the same disk comes up."""
    open_pc = replace(
        _pc(boot_images.v1, tmp_path, name="open"),
        firmware=Firmware.EFI,
        nvram=tmp_path / "open.fd",
        memory_bytes=256 << 20,
    )
    strict_pc = replace(
        open_pc,
        name="strict",
        uuid=uuid4(),
        nvram=tmp_path / "strict.fd",
        console_log=tmp_path / "strict.log",
        secure_boot=True,
    )

    hypervisor.start(client_vm_xml(strict_pc))
    assert comes(lambda: b"Access Denied" in strict_pc.console_log.read_bytes())
    hypervisor.destroy(strict_pc.name)

    hypervisor.start(client_vm_xml(open_pc))
    assert comes(lambda: hypervisor.ping(open_pc.name))

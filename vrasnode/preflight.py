"""What a PC lacks for being an OpenVRAS PC: board, firmware, control base, and what its policy wants of it.

Pure: facts in, findings out; the PC's command and the portal say the same. A blocker is what somebody should
put right before people work on the PC: without it the client VM crawls, is not what its policy says on any
PC set up this way, or data lies bare. With a warning the PC works with less. A note is worth knowing. Which
fate each device has is `devicepolicy.planning`'s; the words are in `words.preflight`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from vrasnode.devicepolicy.planning import USB_CONTROLLER, Plan, Planned, make_plan
from vrasnode.wire.clients import HostFacts, Platform
from vrasnode.wire.devices import (
    Bus,
    DeviceFacts,
    DevicePolicy,
    Fate,
    Need,
    Rule,
    Scope,
    UsbMode,
    Verdict,
)

# Firmware and graphics keep some of what is built in, so each bound lies under the size that is sold.
MEMORY_BYTES = 3 << 30  # for two machines and the control base at all
GOOD_MEMORY_BYTES = 7 << 30
DISK_BYTES = 40 * 10**9  # for two versions of a small master image
GOOD_DISK_BYTES = 100 * 10**9
FREE_SHARE = 20  # one part in so many of the state disk stays free

# Without a policy every PCI function counts as wanted, so that a PC can be judged before it has one.
_ALL = DevicePolicy(rules=[Rule(id=0, scope=Scope.GROUP, verdict=Verdict.PASS, bus=Bus.PCI)])
_OF_DEVICES = {
    "no_reset": "device_no_reset",
    "no_group": "device_not_isolated",
    "controller_mode_unsafe": "usb_controller_unsafe",
}


class Severity(StrEnum):
    BLOCKER = "blocker"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True)
class Finding:
    """One thing that is lacking. `words.say` knows `code`, and what to do as `code` + ".remedy"."""

    code: str
    severity: Severity
    details: Mapping[str, str] = field(default_factory=dict)


def examine(facts: HostFacts, *, policy: DevicePolicy | None, now: datetime) -> list[Finding]:
    """What is lacking, the gravest first. `policy` is the PC's; None: not known yet. What nobody could find
    out is not held against the PC, only said where it matters."""
    found = [*_of_machine(facts)]
    if facts.platform is not None:
        found += _of_platform(facts.platform)
    if facts.devices is not None:
        iommu = facts.platform is not None and facts.platform.iommu is not None
        of_devices = _Devices(facts.devices, policy, now=now, iommu=iommu)
        found += of_devices.findings()
        if facts.platform is not None and facts.platform.vfio is False and iommu:
            found.append(of_devices.without_vfio())
        found += _of_usb(facts.devices, facts.platform, policy)
        found += _of_network(facts.devices)
    if facts.platform is None or facts.devices is None:
        found.append(Finding("not_described", Severity.WARNING))
    return sorted(found, key=lambda finding: list(Severity).index(finding.severity))


def _of_machine(facts: HostFacts) -> Iterator[Finding]:
    """Processor, memory and disk."""
    if facts.simulated:
        yield Finding("simulated", Severity.NOTE)
    elif facts.accelerator != "kvm":
        able = facts.platform is not None and facts.platform.virtualizes
        yield Finding("kvm_unusable" if able else "no_virtualization", Severity.BLOCKER)
    if facts.memory_bytes < GOOD_MEMORY_BYTES:
        grave = Severity.BLOCKER if facts.memory_bytes < MEMORY_BYTES else Severity.WARNING
        yield Finding("little_memory", grave, {"memory": f"{facts.memory_bytes / 2**30:.1f}"})
    if facts.state_disk_bytes < GOOD_DISK_BYTES:
        grave = Severity.BLOCKER if facts.state_disk_bytes < DISK_BYTES else Severity.WARNING
        yield Finding("little_disk", grave, {"disk": f"{facts.state_disk_bytes / 10**9:.0f}"})
    if facts.state_disk_free_bytes * FREE_SHARE < facts.state_disk_bytes:
        free = f"{facts.state_disk_free_bytes / 10**9:.1f}"
        yield Finding("disk_nearly_full", Severity.WARNING, {"free": free})
    if not facts.reflink:
        yield Finding("no_reflink", Severity.NOTE)


def _of_platform(platform: Platform) -> Iterator[Finding]:
    """What keeps data and the control base itself safe."""
    if platform.encrypted_state is not True:
        told = platform.encrypted_state is False
        code = "state_not_encrypted" if told else "state_encryption_unknown"
        yield Finding(code, Severity.BLOCKER if told else Severity.WARNING)
        if platform.unencrypted_allowed:
            yield Finding("unencrypted_allowed", Severity.WARNING)
    if platform.swap:
        yield Finding("host_swap_on", Severity.WARNING)
    if platform.tpm is None:
        yield Finding("no_tpm", Severity.WARNING)
    elif platform.tpm != "2.0":
        yield Finding("tpm_1_2", Severity.WARNING, {"version": platform.tpm})
    if platform.secure_boot is False:
        yield Finding("secure_boot_off", Severity.WARNING)


class _Devices:
    """What the policy wants to pass through, and this PC cannot or should not."""

    def __init__(
        self, facts: DeviceFacts, policy: DevicePolicy | None, *, now: datetime, iommu: bool
    ) -> None:
        self._facts = facts
        self._plan: Plan = make_plan(facts, policy or _ALL, now=now, iommu=iommu)
        self._iommu = iommu
        self._known = policy is not None

    def findings(self) -> Iterator[Finding]:
        if not self._iommu:
            yield self._no_iommu()
        for one in self._plan.devices:
            if one.fate is Fate.IMPOSSIBLE and one.code != "no_iommu":
                yield self._of(one)
        for device in self._facts.pci:
            planned = self._plan.of(Bus.PCI, device.address)
            if device.boot_display and planned and planned.fate is Fate.PASSED:
                yield Finding("boot_display_passed", self._grave, _named(planned))

    def without_vfio(self) -> Finding:
        """The IOMMU is on, and the kernel hands nothing out all the same."""
        passed = any(one.bus is Bus.PCI and one.fate is Fate.PASSED for one in self._plan.devices)
        if not self._known:
            return Finding("vfio_missing", Severity.WARNING)
        return Finding("vfio_missing", Severity.BLOCKER if passed else Severity.NOTE)

    @property
    def _grave(self) -> Severity:
        return Severity.WARNING if self._known else Severity.NOTE

    def _no_iommu(self) -> Finding:
        """A firmware setting in most cases, and then all that the policy passes through is missing."""
        wanted = any(one.code == "no_iommu" for one in self._plan.devices)
        if not self._known:
            return Finding("iommu_off", Severity.WARNING)
        return Finding("iommu_off", Severity.BLOCKER if wanted else Severity.NOTE)

    def _of(self, one: Planned) -> Finding:
        details = {**one.details, **_named(one)}
        if one.code == "group_shared":
            needed = one.details.get("reason_code", "").startswith("needed_")
            return Finding("iommu_group_with_disk" if needed else "iommu_group_shared", self._grave, details)
        return Finding(_OF_DEVICES.get(one.code, "device_impossible"), self._grave, details)


def _of_usb(facts: DeviceFacts, platform: Platform | None, policy: DevicePolicy | None) -> Iterator[Finding]:
    """A notebook whose keyboard hangs on its only USB controller cannot give that away."""
    controllers = [device for device in facts.pci if device.device_class.startswith(USB_CONTROLLER)]
    if platform is None or not platform.notebook or len(controllers) != 1:
        return
    if any(device.controller == controllers[0].address for device in facts.usb):
        whole = policy is not None and policy.usb_mode is UsbMode.CONTROLLER
        details = {"controller": f"{controllers[0].name} ({controllers[0].address})".strip()}
        yield Finding("one_usb_controller_notebook", Severity.WARNING if whole else Severity.NOTE, details)


def _of_network(facts: DeviceFacts) -> Iterator[Finding]:
    listed = [device.needed_for for device in facts.pci] + [device.needed_for for device in facts.usb]
    needs = {need for needed in listed for need in needed}
    if Need.WIFI in needs:
        yield Finding("wifi_shared", Severity.NOTE if Need.LAN in needs else Severity.WARNING)


def _named(one: Planned) -> dict[str, str]:
    return {"device": f"{one.name} ({one.key})".strip()}

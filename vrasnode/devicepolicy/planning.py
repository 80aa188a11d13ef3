"""What becomes of each device of a PC: passed through, shared, hidden, or impossible and why.

One pure function of facts and policy, used by the agent that does it and by the portal that shows it before.
What the control base itself needs is never granted, whatever the rules say; nor is anything that the IOMMU
cannot keep apart from it. A device that the rules grant and the PC cannot give is `impossible`, never quietly
hidden.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from vrasnode.devicepolicy.checking import is_board
from vrasnode.devicepolicy.deciding import Decision, Rulebook, grants_all_usb, stricter
from vrasnode.devicepolicy.linting import Remark
from vrasnode.devicepolicy.matching import pci_match
from vrasnode.wire.devices import (
    Bus,
    DeviceFacts,
    DevicePolicy,
    Fate,
    Need,
    OpticalDrive,
    PciDevice,
    Rule,
    UsbDevice,
    UsbMode,
    Verdict,
)

USB_CONTROLLER = "0c03"  # PCI class
# Functions that work after a machine was stopped hard though they cannot be reset: displays and audio are set
# up from nothing by their drivers, and without them there is nothing to pass through on many PCs.
NEEDS_NO_RESET = ("03", "0401", "0403")
# Bridges that hold a group together and carry no data of their own: the kernel lets their driver stay (VFIO).
TRANSPARENT = ("0600", "0604")
_BRIDGE_DRIVERS = (None, "pcieport")
_NEEDS = (Need.DISK, Need.LAN, Need.WIFI)  # the first one is named


@dataclass(frozen=True)
class Planned:
    """One device and its fate. `code` and `details` are said by `words.say`; `verdict` is what the policy
    grants of what the fate allows, `rule` who decided."""

    bus: Bus
    key: str  # PCI address, USB port or optical node
    name: str
    fate: Fate
    code: str
    details: Mapping[str, str] = field(default_factory=dict)
    rule: Rule | None = None
    verdict: Verdict = Verdict.HIDE


@dataclass(frozen=True)
class Plan:
    """All devices of one PC in the order of its facts."""

    devices: tuple[Planned, ...]

    def of(self, bus: Bus, key: str) -> Planned | None:
        """What becomes of one device; None when the PC has none there."""
        return next((one for one in self.devices if (one.bus, one.key) == (bus, key)), None)

    def passed_pci(self) -> list[str]:
        """Addresses of the PCI functions that the client VM gets."""
        return [one.key for one in self.devices if one.bus is Bus.PCI and one.fate is Fate.PASSED]


def make_plan(facts: DeviceFacts, policy: DevicePolicy, *, now: datetime, iommu: bool) -> Plan:
    """What becomes of each device now. `iommu`: whether the PC has one that is switched on."""
    book = Rulebook(policy.rules, now=now)
    functions = _PciPlanner(facts, policy, book, now=now, iommu=iommu).plan()
    passed = {one.key for one in functions if one.fate is Fate.PASSED}
    usb = [_usb(device, book, passed) for device in facts.usb]
    by_port = {one.key: one for one in usb}
    drives = [_optical(drive, book, by_port.get(drive.port), passed) for drive in facts.optical]
    return Plan((*functions, *usb, *drives))


def changes(before: Plan, after: Plan) -> list[tuple[Planned | None, Planned | None]]:
    """Each device whose fate or verdict differs, before and after; None where it is not in that plan."""
    old = {(one.bus, one.key): one for one in before.devices}
    new = {(one.bus, one.key): one for one in after.devices}
    pairs = [(old.get(key), new.get(key)) for key in {**old, **new}]
    return [(one, other) for one, other in pairs if _effect(one) != _effect(other)]


def findings(plan: Plan, facts: DeviceFacts, policy: DevicePolicy) -> list[Remark]:
    """What rules ask of this PC in vain: `rule_matches_nothing` (an address that it does not have, as after a
    firmware update), `rule_grants_needed` (a device that the control base needs)."""
    return [*_matching_nothing(facts, policy), *_granting_needed(plan, facts, policy)]


class _PciPlanner:
    """The PCI functions of one PC: each for itself first, then what the groups make of it."""

    def __init__(
        self, facts: DeviceFacts, policy: DevicePolicy, book: Rulebook, *, now: datetime, iommu: bool
    ) -> None:
        self._facts = facts
        self._book = book
        self._iommu = iommu
        self._mode = policy.usb_mode
        whole = policy.usb_mode is UsbMode.CONTROLLER
        self._all_usb = grants_all_usb(policy.rules, now=now) if whole else None
        self._needs = _needs(facts)

    def plan(self) -> list[Planned]:
        alone = [self._alone(device) for device in self._facts.pci]
        groups: dict[int | None, list[tuple[PciDevice, Planned]]] = defaultdict(list)
        for device, one in zip(self._facts.pci, alone, strict=True):
            groups[device.iommu_group].append((device, one))
        return [
            _with_group(device, one, groups[device.iommu_group])
            for device, one in zip(self._facts.pci, alone, strict=True)
        ]

    def _alone(self, device: PciDevice) -> Planned:
        """What would become of it if it were in a group of its own."""
        needs = self._needs.get(device.address, set())
        if needs:
            return _pci(device, Fate.SHARED, _need_code(needs))
        if is_board(device.device_class):
            return _pci(device, Fate.SHARED, "board")
        decision = self._book.pci(device)
        if device.device_class.lower().startswith(USB_CONTROLLER):
            if self._mode is UsbMode.DEVICE or (decision.rule and decision.verdict is Verdict.HIDE):
                return _pci(device, Fate.SHARED, "usb_controller")
            if self._all_usb is None:
                return _pci(device, Fate.IMPOSSIBLE, "controller_mode_unsafe")
            decision = Decision(Verdict.PASS, self._all_usb, "rule")
        if decision.verdict is Verdict.HIDE:
            return _decided(Bus.PCI, device.address, device.name, Fate.HIDDEN, decision)
        granted = _decided(Bus.PCI, device.address, device.name, Fate.PASSED, decision)
        code = self._hindrance(device)
        return replace(granted, fate=Fate.IMPOSSIBLE, code=code) if code else granted

    def _hindrance(self, device: PciDevice) -> str | None:
        """Why this PC cannot pass the function through, groups apart."""
        if not self._iommu:
            return "no_iommu"
        if device.iommu_group is None:
            return "no_group"
        if not device.resets and not device.device_class.startswith(NEEDS_NO_RESET):
            return "no_reset"
        return None


def _with_group(device: PciDevice, one: Planned, group: Sequence[tuple[PciDevice, Planned]]) -> Planned:
    """The IOMMU keeps whole groups apart: all of one goes to the client VM, or none of it."""
    if one.fate is not Fate.PASSED and one.code != "no_reset":
        return one
    staying = [
        (other, planned)
        for other, planned in group
        if planned.fate is not Fate.PASSED and not _is_transparent(other, planned)
    ]
    if one.code == "no_reset":  # of two reasons the one of the board is said, not of each other
        staying = [(other, planned) for other, planned in staying if planned.code != "no_reset"]
    if not staying:
        return one
    worst = min((planned for _, planned in staying), key=lambda planned: _weight(planned.code))
    details = {
        "group": str(device.iommu_group),
        "others": ", ".join(f"{other.name or other.address} ({other.address})" for other, _ in staying),
        "reason_code": worst.code,
        **{key: value for key, value in worst.details.items() if key not in ("group", "others")},
    }
    return replace(one, fate=Fate.IMPOSSIBLE, code="group_shared", details=details)


def _usb(device: UsbDevice, book: Rulebook, passed: set[str]) -> Planned:
    def fixed(fate: Fate, code: str, **details: str) -> Planned:
        return Planned(Bus.USB, device.port, device.name, fate, code, details)

    if device.needed_for:
        return fixed(Fate.SHARED, _need_code(set(device.needed_for)))
    if device.controller in passed:
        gone = fixed(Fate.PASSED, "with_controller", controller=device.controller)
        return replace(gone, verdict=Verdict.PASS)
    if device.hub:
        return fixed(Fate.SHARED, "usb_hub")
    decision = book.usb(device)
    fate = Fate.HIDDEN if decision.verdict is Verdict.HIDE else Fate.PASSED
    return _decided(Bus.USB, device.port, device.name, fate, decision)


def _optical(drive: OpticalDrive, book: Rulebook, usb: Planned | None, passed: set[str]) -> Planned:
    """A drive goes with the device that it is in, and is not granted by the back door when that is denied."""
    if drive.port in passed or (usb and usb.code == "with_controller"):
        controller = drive.port if usb is None else usb.details["controller"]
        return _whole(drive, "with_controller", {"controller": controller}, None)
    if usb and usb.fate is Fate.PASSED and usb.verdict is Verdict.PASS:
        return _whole(drive, "with_usb", {"port": drive.port}, usb.rule)
    decision = book.optical(drive)
    if usb and usb.rule and (decision.rule is None or usb.verdict is stricter(usb.verdict, decision.verdict)):
        decision = Decision(usb.verdict, usb.rule, usb.code)
    if decision.verdict is Verdict.HIDE:
        return _decided(Bus.OPTICAL, drive.node, drive.name, Fate.HIDDEN, decision)
    shared = _decided(Bus.OPTICAL, drive.node, drive.name, Fate.SHARED, decision)
    return replace(shared, code="virtual_scsi")


def _whole(drive: OpticalDrive, code: str, details: Mapping[str, str], rule: Rule | None) -> Planned:
    return Planned(Bus.OPTICAL, drive.node, drive.name, Fate.PASSED, code, details, rule, Verdict.PASS)


def _pci(device: PciDevice, fate: Fate, code: str) -> Planned:
    return Planned(Bus.PCI, device.address, device.name, fate, code)


def _decided(bus: Bus, key: str, name: str, fate: Fate, decision: Decision) -> Planned:
    details = {}
    if rule := decision.rule:
        details = {
            "rule": str(rule.id),
            "scope_code": f"scope.{rule.scope}",
            "verdict_code": f"verdict.{rule.verdict}",
        }
    return Planned(bus, key, name, fate, decision.code, details, decision.rule, decision.verdict)


def _needs(facts: DeviceFacts) -> dict[str, set[Need]]:
    """What each PCI function is needed for, also through a USB device behind it."""
    needs = {device.address: set(device.needed_for) for device in facts.pci if device.needed_for}
    for device in facts.usb:
        if device.needed_for and device.controller:
            needs.setdefault(device.controller, set()).update(device.needed_for)
    return needs


def _need_code(needs: set[Need]) -> str:
    return f"needed_{next(need for need in _NEEDS if need in needs)}"


def _is_transparent(device: PciDevice, planned: Planned) -> bool:
    bridge = device.device_class.lower().startswith(TRANSPARENT) and device.driver in _BRIDGE_DRIVERS
    return bridge and planned.code == "board"


def _weight(code: str) -> int:
    """Of several reasons in one group the one that no policy can change is said."""
    order = [*(f"needed_{need}" for need in _NEEDS), "board", "no_reset", "controller_mode_unsafe"]
    return order.index(code) if code in order else len(order)


def _effect(one: Planned | None) -> tuple[Fate, Verdict] | None:
    return (one.fate, one.verdict) if one else None


def _matching_nothing(facts: DeviceFacts, policy: DevicePolicy) -> Iterator[Remark]:
    for rule in policy.rules:
        match = pci_match(rule) if rule.port else None
        if match and not any(match.covers(device) for device in facts.pci):
            yield Remark("rule_matches_nothing", rule.id, details={"port": rule.port})


def _granting_needed(plan: Plan, facts: DeviceFacts, policy: DevicePolicy) -> Iterator[Remark]:
    """Rules that name a device by its address or id and would grant it. One for all devices is no mistake."""
    needed = [
        (device, planned)
        for device in facts.pci
        if (planned := plan.of(Bus.PCI, device.address)) and planned.code.startswith("needed_")
    ]
    for rule in policy.rules:
        match = pci_match(rule) if rule.port or rule.device_id else None
        if match is None or rule.verdict is Verdict.HIDE:
            continue
        for device, planned in needed:
            if match.covers(device):
                details = {
                    "device": f"{device.name or 'PCI'} ({device.address})",
                    "reason_code": planned.code,
                }
                yield Remark("rule_grants_needed", rule.id, details=details)
                break

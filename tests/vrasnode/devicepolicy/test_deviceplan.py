"""What becomes of each device of a PC: that what the control base needs is never granted, above all."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.vrasnode import sysfs
from tests.vrasnode.policycast import (
    DRIVE,
    FRIDAY,
    GPU,
    GPU_AUDIO,
    HIDE,
    KEYBOARD,
    KEYS,
    PASS,
    READ_ONLY,
    STICK,
    any_rules,
    facts,
    rule,
)
from vrasnode.devicepolicy import Remark
from vrasnode.devicepolicy.planning import Plan, changes, findings, make_plan
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
)

ALL = [rule(PASS)]
SATA = PciDevice(
    address="0000:00:17.0", device_class="010601", vendor="8086", product="a352", name="SATA", driver="ahci",
    iommu_group=5, resets=["flr"], needed_for=[Need.DISK],
)  # fmt: skip
NIC = replace(
    SATA, address="0000:02:00.0", device_class="020000", name="LAN", driver="e1000e", iommu_group=6,
    needed_for=[Need.LAN],
)  # fmt: skip
SECOND_NIC = replace(NIC, address="0000:03:00.0", name="Second LAN", iommu_group=7, needed_for=[])
PORT = replace(
    SATA, address="0000:00:1c.0", device_class="060400", name="Root port", driver="pcieport", iommu_group=1,
    resets=[], needed_for=[],
)  # fmt: skip
ISA = replace(PORT, address="0000:00:1f.0", device_class="060100", name="ISA bridge", driver="lpc_ich")
XHCI = replace(
    SATA, address="0000:00:14.0", device_class="0c0330", name="USB", driver="xhci_hcd", iommu_group=4,
    needed_for=[],
)  # fmt: skip
HUB = replace(KEYS, port="1-1", name="Hub", hub=True, interfaces=["09:00:00"])


def of(
    *devices: PciDevice | UsbDevice | OpticalDrive,
    rules: Sequence[Rule] = ALL,
    usb_mode: UsbMode = UsbMode.DEVICE,
    iommu: bool = True,
) -> Plan:
    """The plan for a PC with these devices."""
    return make_plan(
        _facts(*devices), DevicePolicy(rules=list(rules), usb_mode=usb_mode), now=FRIDAY, iommu=iommu
    )


def _facts(*devices: PciDevice | UsbDevice | OpticalDrive) -> DeviceFacts:
    return DeviceFacts(
        pci=[device for device in devices if isinstance(device, PciDevice)],
        usb=[device for device in devices if isinstance(device, UsbDevice)],
        optical=[device for device in devices if isinstance(device, OpticalDrive)],
    )


def fates(plan: Plan) -> dict[str, tuple[Fate, str]]:
    return {one.key: (one.fate, one.code) for one in plan.devices}


@pytest.mark.parametrize(
    ("device", "fate", "code"),
    [
        (SECOND_NIC, Fate.PASSED, "rule"),
        (SATA, Fate.SHARED, "needed_disk"),
        (NIC, Fate.SHARED, "needed_lan"),
        (replace(NIC, needed_for=[Need.WIFI]), Fate.SHARED, "needed_wifi"),
        (replace(NIC, needed_for=[Need.LAN, Need.DISK]), Fate.SHARED, "needed_disk"),
        (PORT, Fate.SHARED, "board"),
        (ISA, Fate.SHARED, "board"),
        (replace(ISA, device_class="0c0500"), Fate.SHARED, "board"),
        (replace(SECOND_NIC, device_class="080501"), Fate.PASSED, "rule"),
        (XHCI, Fate.SHARED, "usb_controller"),
        (replace(SECOND_NIC, iommu_group=None), Fate.IMPOSSIBLE, "no_group"),
        (replace(SECOND_NIC, resets=[]), Fate.IMPOSSIBLE, "no_reset"),
        (replace(GPU, resets=[]), Fate.PASSED, "rule"),
        (replace(GPU_AUDIO, resets=[]), Fate.PASSED, "rule"),
        (STICK, Fate.PASSED, "rule"),
        (HUB, Fate.SHARED, "usb_hub"),
        (replace(STICK, needed_for=[Need.DISK]), Fate.SHARED, "needed_disk"),
        (DRIVE, Fate.SHARED, "virtual_scsi"),
    ],
)
def test_a_device_that_the_rules_grant_has_the_fate_that_its_nature_allows(
    device: PciDevice | UsbDevice | OpticalDrive, fate: Fate, code: str
) -> None:
    assert list(fates(of(device)).values()) == [(fate, code)]


@pytest.mark.parametrize("device", [SECOND_NIC, STICK, DRIVE, GPU])
def test_what_no_rule_grants_is_hidden(device: PciDevice | UsbDevice | OpticalDrive) -> None:
    assert list(fates(of(device, rules=[])).values()) == [(Fate.HIDDEN, "no_rule")]


def test_without_an_iommu_nothing_on_pci_is_passed_through_and_usb_still_is() -> None:
    plan = of(SECOND_NIC, replace(GPU, iommu_group=None), STICK, iommu=False)

    assert fates(plan) == {
        SECOND_NIC.address: (Fate.IMPOSSIBLE, "no_iommu"),
        GPU.address: (Fate.IMPOSSIBLE, "no_iommu"),
        STICK.port: (Fate.PASSED, "rule"),
    }
    assert plan.passed_pci() == []


def test_a_graphics_card_goes_with_its_audio_and_the_bridge_above_stays() -> None:
    plan = of(PORT, GPU, GPU_AUDIO)

    assert plan.passed_pci() == [GPU.address, GPU_AUDIO.address]
    assert fates(plan)[PORT.address] == (Fate.SHARED, "board")


def test_a_graphics_card_whose_audio_is_not_granted_is_impossible_and_the_reason_names_it() -> None:
    plan = of(PORT, GPU, GPU_AUDIO, rules=[rule(PASS, 4, bus=Bus.PCI, device_class="03")])

    gpu = plan.of(Bus.PCI, GPU.address)
    assert gpu is not None
    assert (gpu.fate, gpu.code) == (Fate.IMPOSSIBLE, "group_shared")
    assert gpu.details["others"] == "GPU audio (0000:01:00.1)"
    assert gpu.details["reason_code"] == "no_rule"
    assert gpu.rule is not None and gpu.rule.id == 4
    assert fates(plan)[GPU_AUDIO.address] == (Fate.HIDDEN, "no_rule")


@pytest.mark.parametrize(
    ("mate", "reason"),
    [
        (replace(SATA, iommu_group=1), "needed_disk"),
        (replace(NIC, iommu_group=1), "needed_lan"),
        (ISA, "board"),
        (replace(PORT, driver="vendor_driver"), "board"),
        (replace(PORT, needed_for=[Need.DISK]), "needed_disk"),
        (replace(SECOND_NIC, iommu_group=1, resets=[]), "no_reset"),
        (replace(XHCI, iommu_group=1), "usb_controller"),
    ],
)
def test_what_stays_keeps_its_whole_group(mate: PciDevice, reason: str) -> None:
    plan = of(GPU, GPU_AUDIO, mate)

    for device in (GPU, GPU_AUDIO):
        one = plan.of(Bus.PCI, device.address)
        assert one is not None
        assert (one.fate, one.code, one.details["reason_code"]) == (Fate.IMPOSSIBLE, "group_shared", reason)


def test_of_several_reasons_in_a_group_the_one_that_no_policy_changes_is_said() -> None:
    plan = of(
        GPU, GPU_AUDIO, replace(SATA, iommu_group=1), rules=[rule(PASS, bus=Bus.PCI, device_class="03")]
    )

    gpu = plan.of(Bus.PCI, GPU.address)
    assert gpu is not None and gpu.details["reason_code"] == "needed_disk"


def test_two_functions_that_cannot_be_reset_are_not_each_others_reason() -> None:
    plan = of(replace(SECOND_NIC, resets=[]), replace(NIC, resets=[], needed_for=[], iommu_group=7))

    assert {code for _, code in fates(plan).values()} == {"no_reset"}


def test_a_group_that_holds_a_part_of_the_board_is_the_reason_before_a_missing_reset() -> None:
    plan = of(ISA, replace(SECOND_NIC, resets=[], iommu_group=ISA.iommu_group))

    assert fates(plan)[SECOND_NIC.address] == (Fate.IMPOSSIBLE, "group_shared")


def test_a_controller_of_the_stick_that_the_control_base_runs_from_is_needed_too() -> None:
    plan = of(XHCI, replace(STICK, needed_for=[Need.DISK]), KEYS, usb_mode=UsbMode.CONTROLLER)

    assert fates(plan) == {
        XHCI.address: (Fate.SHARED, "needed_disk"),
        STICK.port: (Fate.SHARED, "needed_disk"),
        KEYS.port: (Fate.PASSED, "rule"),
    }


def test_in_controller_mode_all_that_is_behind_a_controller_goes_with_it() -> None:
    drive = replace(DRIVE, port=STICK.port)

    plan = of(XHCI, HUB, STICK, drive, usb_mode=UsbMode.CONTROLLER)

    assert plan.passed_pci() == [XHCI.address]
    assert {one.code for one in plan.devices[1:]} == {"with_controller"}
    assert {one.fate for one in plan.devices} == {Fate.PASSED}


def test_controller_mode_is_unsafe_while_a_usb_rule_could_deny() -> None:
    rules = [rule(PASS), rule(HIDE, 2, interfaces=[KEYBOARD])]

    plan = of(XHCI, STICK, KEYS, rules=rules, usb_mode=UsbMode.CONTROLLER)

    assert fates(plan) == {
        XHCI.address: (Fate.IMPOSSIBLE, "controller_mode_unsafe"),
        STICK.port: (Fate.PASSED, "rule"),
        KEYS.port: (Fate.HIDDEN, "rule"),
    }


def test_a_controller_that_a_rule_hides_stays_in_controller_mode_too() -> None:
    rules = [rule(PASS, bus=Bus.USB), rule(HIDE, 2, bus=Bus.PCI, device_class="0c03")]

    plan = of(XHCI, STICK, rules=rules, usb_mode=UsbMode.CONTROLLER)

    assert fates(plan)[XHCI.address] == (Fate.SHARED, "usb_controller")
    assert fates(plan)[STICK.port] == (Fate.PASSED, "rule")


def test_storage_that_is_read_only_is_passed_through_as_such() -> None:
    one = of(STICK, rules=[rule(READ_ONLY, bus=Bus.USB)]).devices[0]

    assert (one.fate, one.verdict) == (Fate.PASSED, READ_ONLY)


USB_DRIVE = replace(DRIVE, port=STICK.port)


@pytest.mark.parametrize(
    ("rules", "fate", "code", "verdict"),
    [
        ([rule(PASS)], Fate.PASSED, "with_usb", PASS),
        ([rule(READ_ONLY)], Fate.SHARED, "virtual_scsi", READ_ONLY),
        ([rule(PASS, bus=Bus.OPTICAL)], Fate.SHARED, "virtual_scsi", PASS),
        ([rule(PASS, bus=Bus.OPTICAL), rule(HIDE, 2, bus=Bus.USB)], Fate.HIDDEN, "rule", HIDE),
        ([rule(READ_ONLY, bus=Bus.USB), rule(HIDE, 2, bus=Bus.OPTICAL)], Fate.HIDDEN, "rule", HIDE),
        ([rule(READ_ONLY, bus=Bus.USB), rule(PASS, 2, bus=Bus.OPTICAL)],
         Fate.SHARED, "virtual_scsi", READ_ONLY),
        ([], Fate.HIDDEN, "no_rule", HIDE),
    ],
)  # fmt: skip
def test_an_optical_drive_on_usb_is_not_granted_by_the_back_door(
    rules: list[Rule], fate: Fate, code: str, verdict: str
) -> None:
    one = of(STICK, USB_DRIVE, rules=rules).devices[1]

    assert (one.fate, one.code, one.verdict) == (fate, code, verdict)


def test_a_change_of_policy_is_told_by_what_it_does() -> None:
    before = of(STICK, KEYS, DRIVE, rules=ALL)
    after = of(STICK, KEYS, DRIVE, rules=[rule(PASS, 9), rule(HIDE, 2, device_id="0930:6545")])

    found = changes(before, after)

    assert [(old.fate, new.fate) for old, new in found if old and new] == [(Fate.PASSED, Fate.HIDDEN)]
    assert [new.key for _, new in found if new] == [STICK.port]


def test_devices_that_came_and_went_are_changes_too() -> None:
    found = changes(of(STICK), of(KEYS))

    keys = [(old.key if old else None, new.key if new else None) for old, new in found]
    assert keys == [(STICK.port, None), (None, KEYS.port)]


def test_a_rule_whose_address_moved_matches_nothing_and_is_pointed_out() -> None:
    moved = _facts(replace(SECOND_NIC, address="0000:04:00.0"))
    policy = DevicePolicy(rules=[rule(PASS, 3, port=SECOND_NIC.address), rule(PASS, 4, port="1-9")])
    plan = make_plan(moved, policy, now=FRIDAY, iommu=True)

    assert fates(plan) == {"0000:04:00.0": (Fate.HIDDEN, "no_rule")}
    assert findings(plan, moved, policy) == [
        Remark("rule_matches_nothing", 3, details={"port": SECOND_NIC.address})
    ]


@pytest.mark.parametrize("fields", [{"port": SATA.address}, {"device_id": "8086:a352"}])
def test_a_rule_that_names_the_disk_is_pointed_out_and_grants_nothing(fields: dict[str, Any]) -> None:
    described = _facts(SATA, STICK)
    policy = DevicePolicy(rules=[rule(PASS, 3, **fields)])
    plan = make_plan(described, policy, now=FRIDAY, iommu=True)

    found = findings(plan, described, policy)

    assert [(remark.code, remark.rule_id) for remark in found] == [("rule_grants_needed", 3)]
    assert found[0].details == {"device": f"SATA ({SATA.address})", "reason_code": "needed_disk"}
    assert plan.passed_pci() == []


def test_a_rule_for_all_devices_is_no_mistake_on_a_pc_with_a_disk() -> None:
    described = _facts(SATA, NIC)
    policy = DevicePolicy(rules=ALL)

    assert findings(make_plan(described, policy, now=FRIDAY, iommu=True), described, policy) == []


@settings(max_examples=200)
@given(described=facts, rules=any_rules, usb_mode=st.sampled_from(UsbMode), iommu=st.booleans())
def test_no_policy_ever_grants_what_the_control_base_needs_or_what_is_in_its_group(
    described: DeviceFacts, rules: list[Rule], usb_mode: UsbMode, iommu: bool
) -> None:
    plan = make_plan(described, DevicePolicy(rules=rules, usb_mode=usb_mode), now=FRIDAY, iommu=iommu)

    passed = set(plan.passed_pci())
    needed = {device.address for device in described.pci if device.needed_for}
    needed |= {device.controller for device in described.usb if device.needed_for}
    groups = {device.iommu_group for device in described.pci if device.address in needed}
    assert not passed & needed
    assert not passed & {device.address for device in described.pci if device.iommu_group in groups}
    for device in described.usb:
        one = plan.of(Bus.USB, device.port)
        assert one is not None
        assert not device.needed_for or one.fate is Fate.SHARED


@settings(max_examples=200)
@given(described=facts, rules=any_rules, usb_mode=st.sampled_from(UsbMode))
def test_a_group_is_passed_through_whole_or_not_at_all(
    described: DeviceFacts, rules: list[Rule], usb_mode: UsbMode
) -> None:
    plan = make_plan(described, DevicePolicy(rules=rules, usb_mode=usb_mode), now=FRIDAY, iommu=True)

    passed = set(plan.passed_pci())
    for device in described.pci:
        if device.address in passed:
            mates = [mate for mate in described.pci if mate.iommu_group == device.iommu_group]
            assert device.iommu_group is not None
            assert all(mate.address in passed or mate.device_class == "060400" for mate in mates)


@given(described=facts, rules=any_rules)
def test_every_device_has_one_fate_and_a_rule_where_one_decided(
    described: DeviceFacts, rules: list[Rule]
) -> None:
    plan = make_plan(described, DevicePolicy(rules=rules), now=FRIDAY, iommu=True)

    keys = [*(device.address for device in described.pci), *(device.port for device in described.usb)]
    assert [one.key for one in plan.devices] == [*keys, *(drive.node for drive in described.optical)]
    for one in plan.devices:
        assert one.fate is not Fate.PASSED or (one.rule in rules and one.verdict is not HIDE)
        assert one.fate is not Fate.HIDDEN or one.verdict is HIDE


def _on(name: str, rules: Sequence[Rule] = ALL, usb_mode: UsbMode = UsbMode.DEVICE) -> Plan:
    iommu = sysfs.platform(name).iommu is not None
    policy = DevicePolicy(rules=list(rules), usb_mode=usb_mode)
    return make_plan(sysfs.facts(name), policy, now=FRIDAY, iommu=iommu)


@pytest.mark.parametrize("name", sysfs.NAMES)
def test_on_every_pc_that_was_read_the_disk_and_the_lan_stay_when_all_is_granted(name: str) -> None:
    described = sysfs.facts(name)
    needed = {device.address for device in described.pci if device.needed_for}

    for usb_mode in UsbMode:
        plan = _on(name, usb_mode=usb_mode)
        assert needed
        assert {one.fate for one in plan.devices if one.key in needed} == {Fate.SHARED}


def test_on_the_pc_without_an_iommu_what_is_granted_is_impossible() -> None:
    plan = _on("synthetic_no_iommu")

    codes = {one.code for one in plan.devices if one.bus is Bus.PCI and one.fate is not Fate.SHARED}
    assert codes == {"no_iommu"}


def test_on_the_captured_pc_the_disks_beside_the_needed_one_are_passed_through() -> None:
    plan = _on("vtd_machine")

    classes = {device.address: device.device_class[:4] for device in sysfs.facts("vtd_machine").pci}
    assert {"0106", "0108"} <= {classes[address] for address in plan.passed_pci()}
    assert fates(plan)["0000:00:1f.2"] == (Fate.IMPOSSIBLE, "group_shared")

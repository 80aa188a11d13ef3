"""What a PC lacks: found from facts of real and synthetic PCs, and said by `vrasnode preflight`."""

import json
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from tests.vrasnode import sysfs
from tests.vrasnode.policycast import FRIDAY, HIDE, PASS, rule
from vrasnode import preflight, words
from vrasnode.cli.main import EXIT_BROKEN, EXIT_REFUSED, main
from vrasnode.contact.slices import Slices
from vrasnode.preflight import Finding, Severity, examine
from vrasnode.wire import codec
from vrasnode.wire.clients import Desired, HostFacts, Platform
from vrasnode.wire.devices import Bus, DevicePolicy, Need, UsbMode
from vrasnode.words import preflight as preflightwords

CARD, ITS_SOUND = "0000:01:00.0", "0000:01:00.1"
NOTHING = DevicePolicy(rules=[])
DISPLAYS = DevicePolicy(
    rules=[rule(PASS, 1, bus=Bus.PCI, port=CARD), rule(PASS, 2, bus=Bus.PCI, port=ITS_SOUND)]
)
NETWORK = DevicePolicy(rules=[rule(PASS, 1, bus=Bus.PCI, device_class="02")])


def described(name: str) -> HostFacts:
    """What a good PC with this board says of itself."""
    return HostFacts(
        hostname="pc-sales-01",
        agent_version="1",
        os="",
        cpus=4,
        memory_bytes=16 << 30,
        state_disk_bytes=256 * 10**9,
        state_disk_free_bytes=128 * 10**9,
        accelerator="kvm",
        reflink=True,
        platform=sysfs.platform(name),
        devices=sysfs.facts(name),
    )


def with_board(facts: HostFacts, **changes: Any) -> HostFacts:
    assert facts.platform is not None
    return replace(facts, platform=replace(facts.platform, **changes))


def disk(size_gb: int) -> dict[str, int]:
    return {"state_disk_bytes": size_gb * 10**9, "state_disk_free_bytes": size_gb * 10**9}


def found(facts: HostFacts, policy: DevicePolicy | None = NOTHING) -> dict[str, Finding]:
    return {finding.code: finding for finding in examine(facts, policy=policy, now=FRIDAY)}


@pytest.fixture(scope="module")
def tower() -> HostFacts:
    return described("synthetic_desktop")


@pytest.fixture(scope="module")
def notebook() -> HostFacts:
    return described("synthetic_notebook_one_xhci")


def test_nothing_is_lacking_on_a_good_pc(tower: HostFacts) -> None:
    assert examine(tower, policy=NOTHING, now=FRIDAY) == []


@pytest.mark.parametrize(
    ("changes", "code", "severity"),
    [
        ({"memory_bytes": 2 << 30}, "little_memory", Severity.BLOCKER),
        ({"memory_bytes": 4 << 30}, "little_memory", Severity.WARNING),
        (disk(30), "little_disk", Severity.BLOCKER),
        (disk(64), "little_disk", Severity.WARNING),
        ({"state_disk_free_bytes": 10**9}, "disk_nearly_full", Severity.WARNING),
        ({"reflink": False}, "no_reflink", Severity.NOTE),
        ({"accelerator": "tcg"}, "kvm_unusable", Severity.BLOCKER),
        ({"accelerator": "tcg", "simulated": True}, "simulated", Severity.NOTE),
        ({"platform": None}, "not_described", Severity.WARNING),
        ({"devices": None}, "not_described", Severity.WARNING),
    ],
)  # fmt: skip
def test_what_the_machine_lacks_is_found(
    tower: HostFacts, changes: dict[str, Any], code: str, severity: Severity
) -> None:
    findings = found(replace(tower, **changes))

    assert findings[code].severity is severity
    assert set(findings) <= {code, "iommu_off"}  # the latter where no platform is told


@pytest.mark.parametrize(
    ("changes", "code", "severity"),
    [
        ({"encrypted_state": False}, "state_not_encrypted", Severity.BLOCKER),
        ({"encrypted_state": None}, "state_encryption_unknown", Severity.WARNING),
        ({"swap": True}, "host_swap_on", Severity.WARNING),
        ({"tpm": None}, "no_tpm", Severity.WARNING),
        ({"tpm": "1.2"}, "tpm_1_2", Severity.WARNING),
        ({"secure_boot": False}, "secure_boot_off", Severity.WARNING),
    ],
)
def test_what_the_board_lacks_is_found(
    tower: HostFacts, changes: dict[str, Any], code: str, severity: Severity
) -> None:
    findings = found(with_board(tower, **changes))

    assert {one: finding.severity for one, finding in findings.items()} == {code: severity}


def test_what_nobody_could_find_out_is_not_held_against_a_pc(tower: HostFacts) -> None:
    assert found(with_board(tower, secure_boot=None, swap=None, notebook=None)) == {}


def test_a_processor_without_virtualization_is_told_from_one_whose_kvm_does_not_work(
    tower: HostFacts,
) -> None:
    slow = with_board(replace(tower, accelerator="tcg"), virtualizes=False)

    assert list(found(slow)) == ["no_virtualization"]


@pytest.mark.parametrize(
    ("policy", "severity"),
    [(DISPLAYS, Severity.BLOCKER), (NOTHING, Severity.NOTE), (None, Severity.WARNING)],
)
def test_an_iommu_that_is_off_blocks_where_something_is_to_be_passed_through(
    policy: DevicePolicy | None, severity: Severity
) -> None:
    assert found(described("synthetic_no_iommu"), policy)["iommu_off"].severity is severity


@pytest.mark.parametrize(
    ("policy", "severity"),
    [(DISPLAYS, Severity.BLOCKER), (NOTHING, Severity.NOTE), (None, Severity.WARNING)],
)
def test_a_kernel_that_hands_nothing_out_blocks_where_something_is_to_be_passed_through(
    tower: HostFacts, policy: DevicePolicy | None, severity: Severity
) -> None:
    assert found(with_board(tower, vfio=False), policy)["vfio_missing"].severity is severity
    assert "vfio_missing" not in found(with_board(tower, vfio=True), policy)
    assert "vfio_missing" not in found(with_board(tower, vfio=None), policy)


def test_without_an_iommu_that_alone_is_said() -> None:
    findings = found(with_board(described("synthetic_no_iommu"), vfio=False), DISPLAYS)

    assert "iommu_off" in findings
    assert "vfio_missing" not in findings


def test_a_wanted_device_in_the_group_of_the_disk_is_named_with_the_reason() -> None:
    finding = found(described("synthetic_shared_group"), NETWORK)["iommu_group_with_disk"]

    said = words.say(finding.code, "en", finding.details)
    assert finding.severity is Severity.WARNING
    assert finding.details["device"].endswith("(0000:03:00.0)")
    assert "(0000:00:17.0)" in said
    assert words.say("needed_disk", "en") in said


def test_a_wanted_device_in_a_group_with_one_that_is_not_granted_is_found(tower: HostFacts) -> None:
    only_graphics = DevicePolicy(rules=[rule(PASS, 1, bus=Bus.PCI, device_class="03")])

    finding = found(tower, only_graphics)["iommu_group_shared"]

    assert "(0000:01:00.1)" in finding.details["others"]


def test_a_wanted_device_that_cannot_be_reset_is_found() -> None:
    finding = found(described("synthetic_no_reset"), NETWORK)["device_no_reset"]

    assert finding.details["device"].endswith("(0000:03:00.0)")


def test_a_wanted_device_outside_the_iommu_is_found(tower: HostFacts) -> None:
    assert tower.devices is not None
    bare = [replace(device, iommu_group=None) for device in tower.devices.pci]

    findings = found(replace(tower, devices=replace(tower.devices, pci=bare)), NETWORK)

    assert findings["device_not_isolated"].details["device"].endswith("(0000:03:00.0)")


def test_the_pcs_own_screen_is_said_when_it_is_to_go(tower: HostFacts) -> None:
    finding = found(tower, DISPLAYS)["boot_display_passed"]

    assert finding.severity is Severity.WARNING
    assert finding.details["device"].endswith("(0000:01:00.0)")
    assert "boot_display_passed" not in found(described("synthetic_two_gpus"), DISPLAYS)


def test_a_pc_without_a_policy_is_judged_as_if_everything_was_wanted_and_nothing_had_to_be() -> None:
    findings = found(described("synthetic_shared_group"), None)

    assert findings["iommu_group_with_disk"].severity is Severity.NOTE
    assert {finding.severity for finding in findings.values()} == {Severity.NOTE}


def test_a_notebook_with_one_usb_controller_is_warned_of_controller_mode(notebook: HostFacts) -> None:
    whole = DevicePolicy(rules=[], usb_mode=UsbMode.CONTROLLER)

    assert found(notebook)["one_usb_controller_notebook"].severity is Severity.NOTE
    assert found(notebook, whole)["one_usb_controller_notebook"].severity is Severity.WARNING
    assert "one_usb_controller_notebook" not in found(with_board(notebook, notebook=False), whole)


def test_a_usb_controller_that_stays_for_a_rule_is_said(tower: HostFacts) -> None:
    policy = DevicePolicy(rules=[rule(HIDE, 1, bus=Bus.USB)], usb_mode=UsbMode.CONTROLLER)
    granted = DevicePolicy(rules=[rule(PASS, 1, bus=Bus.USB, device_class="03")], usb_mode=UsbMode.CONTROLLER)

    assert {"usb_controller_unsafe"} == set(found(tower, policy)) == set(found(tower, granted))


def test_wifi_is_a_warning_only_where_it_is_the_only_way_to_the_company(notebook: HostFacts) -> None:
    assert notebook.devices is not None
    wired = [
        replace(device, needed_for=[Need.LAN]) if device.device_class == "040300" else device
        for device in notebook.devices.pci
    ]

    assert found(notebook)["wifi_shared"].severity is Severity.WARNING
    both = replace(notebook, devices=replace(notebook.devices, pci=wired))
    assert found(both)["wifi_shared"].severity is Severity.NOTE


def test_the_gravest_come_first(tower: HostFacts) -> None:
    poor = with_board(replace(tower, reflink=False, memory_bytes=1), tpm=None)

    assert [finding.code for finding in examine(poor, policy=None, now=FRIDAY)][:3] == [
        "little_memory", "no_tpm", "no_reflink",
    ]  # fmt: skip


def test_a_captured_machine_is_examined_with_what_it_lacks() -> None:
    plain, installed = described("vtd_machine"), described("vtd_machine_installed")

    assert set(found(plain)) == {"state_not_encrypted", "no_tpm", "secure_boot_off"}
    assert set(found(installed)) == {"no_tpm", "secure_boot_off"}


def test_each_finding_has_words_and_a_remedy_in_both_languages() -> None:
    codes = {code.removesuffix(".remedy") for code in preflightwords.TABLE} - {
        f"severity.{severity}" for severity in Severity
    }
    source = Path(preflight.__file__).read_text()

    assert {f"{code}.remedy" for code in codes} | codes <= words.known_codes()
    assert all(f'"{code}"' in source for code in codes)


@pytest.fixture
def facts(tmp_path: Path, tower: HostFacts) -> Path:
    path = tmp_path / "facts.json"
    path.write_bytes(codec.encode(tower))
    return path


def test_a_good_pc_ends_the_command_with_0(facts: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["preflight", "--state", "/nowhere", "--facts", str(facts), "--policy", "/dev/null"]) == 0

    assert capsys.readouterr().out == "Nothing is lacking.\n"


def test_a_blocker_ends_the_command_with_the_code_of_a_pc_to_be_seen_to(
    tmp_path: Path, tower: HostFacts, capsys: pytest.CaptureFixture[str]
) -> None:
    bare = tmp_path / "bare.json"
    bare.write_bytes(codec.encode(with_board(tower, encrypted_state=False)))

    code = main(["preflight", "--state", "/nowhere", "--facts", str(bare), "--language", "ja"])

    first, remedy, *_ = capsys.readouterr().out.splitlines()
    assert code == EXIT_BROKEN
    assert first.startswith("要対処: 状態ディレクトリーが暗号化されていません")
    assert first.endswith("[state_not_encrypted]")
    assert "LUKS2" in remedy


def test_programs_read_findings_as_json(
    facts: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    Slices(tmp_path / "slices").keep(Desired(slices={"devices": codec.encode(DISPLAYS)}), "1")

    assert main(["preflight", "--state", str(tmp_path), "--facts", str(facts), "--json"]) == 0

    [finding] = json.loads(capsys.readouterr().out)["findings"]
    assert (finding["code"], finding["severity"]) == ("boot_display_passed", "warning")
    assert finding["details"]["device"].endswith("(0000:01:00.0)")
    assert finding["words"].startswith(finding["details"]["device"])
    assert finding["remedy"]


def test_this_very_pc_is_examined_before_it_has_a_state_directory(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = tmp_path / "not" / "yet"

    assert main(["preflight", "--state", str(state), "--json"]) in {0, EXIT_BROKEN}

    assert "findings" in json.loads(capsys.readouterr().out)
    assert not state.exists()


def test_facts_that_are_not_there_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["preflight", "--state", "/nowhere", "--facts", "/nowhere/facts"]) == EXIT_REFUSED

    assert "/nowhere/facts" in capsys.readouterr().err


def test_a_platform_that_says_nothing_is_not_a_crash(tower: HostFacts) -> None:
    assert "iommu_off" in found(replace(tower, platform=Platform()))

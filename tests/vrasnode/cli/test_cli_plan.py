"""`vrasnode plan`, as an administrator runs it on a PC or for one."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.vrasnode import sysfs
from tests.vrasnode.policycast import HIDE, PASS, rule
from vrasnode.cli.main import EXIT_REFUSED, main
from vrasnode.contact.slices import Slices
from vrasnode.wire import codec
from vrasnode.wire.clients import Desired, HostFacts
from vrasnode.wire.devices import Bus, DevicePolicy

GPU, NIC, SATA = "0000:01:00.0", "0000:03:00.0", "0000:00:17.0"
GRANTS = DevicePolicy(
    rules=[rule(PASS, 4, bus=Bus.PCI, device_class="03"), rule(PASS, 5, bus=Bus.USB, device_class="03")]
)


@pytest.fixture
def facts(tmp_path: Path) -> Path:
    """The description of a PC whose second network card is in the group of its disk."""
    name = "synthetic_shared_group"
    described = HostFacts(
        hostname="pc-sales-01",
        agent_version="1",
        os="",
        cpus=4,
        memory_bytes=0,
        state_disk_bytes=0,
        state_disk_free_bytes=0,
        accelerator="kvm",
        reflink=True,
        platform=sysfs.platform(name),
        devices=sysfs.facts(name),
    )
    path = tmp_path / "facts.json"
    path.write_bytes(codec.encode(described))
    return path


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """The state directory of a PC whose server said what it may have."""
    desired = Desired(slices={"devices": codec.encode(GRANTS)})
    Slices(tmp_path / "state" / "slices").keep(desired, "1")
    return tmp_path / "state"


def planned(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found | {"devices": {one["key"]: one for one in found["devices"]}}


def test_a_plan_says_what_becomes_of_each_device_by_the_policy_that_the_server_told(
    state: Path, facts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", "--state", str(state), "--facts", str(facts), "--json"]) == 0

    devices = planned(capsys)["devices"]
    keyboard = devices["1-1"]
    assert (keyboard["fate"], keyboard["rule"], keyboard["words"]) == (
        "passed", 5, "Rule 5 (group) says: pass.",
    )  # fmt: skip
    assert devices[SATA]["code"] == "needed_disk"
    assert devices[NIC]["code"] == "no_rule"


def test_a_plan_in_japanese_gives_the_reason_in_words(
    state: Path, facts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["plan", "--state", str(state), "--facts", str(facts), "--language", "ja"])

    lines = capsys.readouterr().out.splitlines()
    gpu = next(place for place, line in enumerate(lines) if GPU in line)
    assert "不可" in lines[gpu]
    assert "許可するルールがない" in lines[gpu + 1] and "[group_shared]" in lines[gpu + 1]


def test_a_policy_can_be_tried_before_anybody_saves_it(
    state: Path, facts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tried = tmp_path / "policy.json"
    tried.write_bytes(
        codec.encode(
            DevicePolicy(
                rules=[
                    rule(PASS, 1, bus=Bus.PCI),
                    rule(PASS, 2, port=SATA),
                    rule(HIDE, 3, port="0000:09:00.0"),
                ]
            )
        )
    )

    main(["plan", "--state", str(state), "--facts", str(facts), "--policy", str(tried), "--json"])

    found = planned(capsys)
    assert found["devices"][GPU]["fate"] == "passed"
    assert found["devices"][NIC]["code"] == "group_shared"
    assert "virtual disk" in found["devices"][NIC]["words"]
    assert [(remark["code"], remark["rule"]) for remark in found["remarks"]] == [
        ("unreachable", 2),
        ("rule_matches_nothing", 3),
        ("rule_grants_needed", 2),
    ]


def test_rules_of_usbguard_can_be_tried(
    state: Path, facts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tried = tmp_path / "rules.conf"
    tried.write_text("allow with-interface match-all { 03:01:02 }\n")

    main(["plan", "--state", str(state), "--facts", str(facts), "--policy", str(tried), "--json"])

    devices = planned(capsys)["devices"]
    assert [devices[port]["fate"] for port in ("1-1", "1-2")] == ["hidden", "passed"]


def test_before_the_server_said_anything_nothing_is_granted(
    facts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["plan", "--state", str(tmp_path / "empty"), "--facts", str(facts), "--json"])

    assert {one["fate"] for one in planned(capsys)["devices"].values()} == {"hidden", "shared"}
    assert not (tmp_path / "empty").exists()


def test_this_pc_has_a_plan(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--state", str(tmp_path), "--json"]) == 0

    assert planned(capsys)["remarks"] == []


@pytest.mark.parametrize(
    ("policy", "code"),
    [
        (None, "no_policy_file"),
        ("{}", "bad_message"),
        ('{"rules": [{"id": 1, "scope": "group", "verdict": "pass", "port": "1-"}]}', "bad_port"),
        ("allow\nallow name \"x\"\n", "usbguard_line"),
    ],
)  # fmt: skip
def test_a_policy_that_cannot_be_is_refused_in_words(
    *,
    policy: str | None,
    code: str,
    state: Path,
    facts: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    tried = tmp_path / "policy"
    if policy is not None:
        tried.write_text(policy)

    exit_code = main(["plan", "--state", str(state), "--facts", str(facts), "--policy", str(tried)])

    assert exit_code == EXIT_REFUSED
    assert f"[{code}]" in capsys.readouterr().err

"""Device policies at the command line, against a real server."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.pcs import facts_with_devices
from tests.vrasctl.conftest import Administrator, Pc

pytestmark = pytest.mark.slow

STICK = {"verdict": "pass", "bus": "usb", "device_id": "0930:6545", "serial": "AAAA0001"}


@pytest.fixture
def group(administrator: Administrator, request: pytest.FixtureRequest) -> str:
    """A group of this test's own."""
    name = request.node.name[5:60].replace("_", "-")
    administrator.json("group", "create", name)
    return name


def written(path: Path, policy: Any) -> str:
    path.write_text(json.dumps(policy))
    return str(path)


def test_a_policy_is_previewed_set_and_shown(
    administrator: Administrator, enrol: Callable[..., Pc], group: str, tmp_path: Path
) -> None:
    enrol("pc-policy-1", group=group, approved=True).describe(facts_with_devices())
    file = written(tmp_path / "policy.json", {"rules": [STICK]})

    preview = administrator.must("policy", "preview", "--group", group, file)
    assert "pc-policy-1" in preview.out
    assert "hidden" in preview.out
    assert administrator.json("policy", "show", "--group", group)["rules"] == []

    said = administrator.must("policy", "set", "--group", group, file, "--reason", "asked for")
    assert "Saved as revision 1, 1 rules." in said.err
    assert "AAAA0001" in administrator.must("policy", "show", "--group", group).out


def test_what_was_shown_is_set_only_if_nobody_saved_meanwhile(
    administrator: Administrator, group: str, tmp_path: Path
) -> None:
    seen = administrator.json("policy", "show", "--group", group)
    mine = written(tmp_path / "mine.json", {**seen, "rules": [STICK]})
    theirs = written(tmp_path / "theirs.json", {"rules": [{"verdict": "hide", "bus": "usb"}]})
    administrator.must("policy", "set", "--group", group, theirs)

    refused = administrator.run("policy", "set", "--group", group, mine)

    assert refused.code == 3
    assert "[policy_changed]" in refused.err
    assert administrator.json("policy", "show", "--group", group)["rules"][0]["verdict"] == "hide"


def test_what_a_model_may_do_when_its_lid_is_closed_is_previewed_set_and_shown_with_who_decided(
    administrator: Administrator, enrol: Callable[..., Pc], group: str, tmp_path: Path
) -> None:
    enrol("pc-policy-3", group=group, approved=True).describe(facts_with_devices())
    wish = {"rules": [], "suspend_by_model": [{"model": "Fabrikam *", "suspend": "hibernate"}]}
    file = written(tmp_path / "policy.json", wish)

    preview = administrator.must("policy", "preview", "--group", group, file)
    administrator.must("policy", "set", "--group", group, file)

    assert "pc-policy-3: suspend blocked, then hibernate: as the group says of the model" in preview.err
    assert "suspend of Fabrikam *: hibernate" in administrator.must("policy", "show", "--group", group).out
    why = administrator.must("policy", "why", "pc-policy-3")
    assert "suspend hibernate: as the group says of the model “Fabrikam *”" in why.err


def test_why_a_device_is_as_it_is(
    administrator: Administrator, enrol: Callable[..., Pc], group: str, tmp_path: Path
) -> None:
    enrol("pc-policy-2", group=group, approved=True).describe(facts_with_devices())
    administrator.must("policy", "set", "--pc", "pc-policy-2", "-", said=json.dumps({"rules": [STICK]}))

    one = administrator.json("policy", "why", "pc-policy-2", "1-1")
    assert (one["fate"], one["scope"], one["owner"]) == ("passed", "client", "pc-policy-2")
    every = administrator.json("policy", "why", "pc-policy-2")
    assert {"1-1": "passed", "1-2": "hidden"}.items() <= {row["key"]: row["fate"] for row in every}.items()
    assert administrator.run("policy", "why", "pc-policy-2", "9-9").code == 3


def test_usbguards_rules_are_added_replaced_and_given_back(
    administrator: Administrator, group: str, tmp_path: Path
) -> None:
    file = tmp_path / "rules.conf"
    file.write_text('allow id 0930:6545 serial "A1"\n')
    administrator.must("policy", "import", "--group", group, str(file))
    file.write_text('allow id 0930:6545 serial "A2"\n')
    administrator.must("policy", "import", "--group", group, str(file))
    assert administrator.must("policy", "export", "--group", group).out.count("allow") >= 2

    administrator.must("policy", "import", "--group", group, str(file), "--replace")

    text = administrator.must("policy", "export", "--group", group).out
    assert 'allow id 0930:6545 serial "A2"' in text
    assert '"A1"' not in text


def test_input_that_cannot_be_used_is_said(administrator: Administrator, group: str, tmp_path: Path) -> None:
    broken = tmp_path / "broken.json"
    broken.write_text("{")

    assert administrator.run("policy", "set", "--group", group, str(broken)).code == 1
    assert administrator.run("policy", "set", "--group", group, str(tmp_path / "none.json")).code == 1
    assert administrator.run("policy", "set", "--group", group, written(broken, [1])).code == 1
    assert administrator.run("policy", "show").code == 2
    assert administrator.run("policy", "show", "--group", group, "--user", "sato").code == 2
    assert administrator.run("policy", "show", "--user", "nobody").code == 3
    assert administrator.run("policy", "import", "--group", group, "-", said="let it in").code == 3

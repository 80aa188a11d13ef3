"""The main job, walked from end to end on real parts: publish, distribute, boot, update, roll back."""

import pytest

from config.demo import story
from config.demo.office import GROUP, IMAGE
from tests.lab.office import Walk

pytestmark = pytest.mark.slow


def test_an_image_goes_from_upload_to_a_boot_that_the_guest_confirms(walk: Walk) -> None:
    distribution = walk.distribute("v1")

    delivery = walk.ended(distribution)

    assert (delivery["state"], delivery["percent"]) == ("booted", 100)
    assert walk.runs("v1")
    pc = walk.office.ctl("pc", "show", walk.pc.name)
    assert pc["running"] == walk.record("v1")["manifest"]


def test_a_guest_proves_the_version_that_it_runs_and_no_other(walk: Walk) -> None:
    here, there = walk.settle()
    first, second = walk.pc.prove(), walk.pc.prove()

    assert [story._why_not(walk.pc, walk.images.marker[name]) for name in (here, there)] == [
        "",
        f"the guest runs something else: {walk.images.marker[here]}",
    ]
    assert first.sha256 == second.sha256 == walk.images.marker[here]
    assert first.nonce != second.nonce


def test_an_update_brings_only_what_changed_and_a_rollback_brings_nothing(walk: Walk) -> None:
    walk.bring_to("v1")
    first = walk.record("v1")
    second = walk.record("v2")

    before = walk.office.received_bytes()
    walk.bring_to("v2")
    updated = walk.office.received_bytes() - before

    # Beside frames: manifest and frame map, what enrolled PCs say anyway, headers.
    assert second["new_bytes"] <= updated <= second["new_bytes"] + 256 * 1024
    assert updated < first["packed_bytes"] / 5

    before = walk.office.received_bytes()
    answer = walk.office.ctl("rollback", "--group", GROUP, "--to", str(walk.version("v1")), "--now", "--wait")
    assert answer["kind"] == "rollback"
    assert walk.runs("v1")
    assert walk.office.received_bytes() - before < 256 * 1024


def test_a_version_that_waits_for_the_next_start_gets_it(walk: Walk) -> None:
    here, there = walk.settle()
    answer = walk.office.ctl("distribute", f"{IMAGE}@{walk.version(there)}", "--group", GROUP)
    walk.wait("staged", lambda: walk.delivery(answer["id"])["state"] == "staged")
    assert walk.runs(here)

    # The user shuts the client VM down.
    walk.pc.shut_down_desktop()

    assert walk.ended(answer["id"])["state"] == "booted"
    assert walk.runs(there)


def test_a_version_that_boots_but_is_not_well_goes_back_and_says_why(walk: Walk) -> None:
    here, _there = walk.settle()

    with walk.patience(max(15, 2 * walk.slowest_boot_s())):  # it has to answer to be unwell
        delivery = walk.ended(walk.distribute("unhealthy"), within_s=500)

    assert (delivery["state"], delivery["code"]) == ("failed", "unhealthy")
    assert "openvras-healthy" in delivery["words"]
    walk.wait("the version before", lambda: walk.slots().boot.starts == 0 and walk.answers(here))


def test_a_version_that_never_answers_goes_back_and_says_so(walk: Walk) -> None:
    here, _there = walk.settle()

    with walk.patience(8):
        delivery = walk.ended(walk.distribute("unbootable"), within_s=500)

    assert (delivery["state"], delivery["code"]) == ("failed", "no_answer")
    walk.wait("the version before", lambda: walk.answers(here))

"""USB devices plugged into a running PC, granted and masked one by one: what the client VM's bus shows."""

from collections.abc import Callable

import pytest

from tests.e2e.test_passthrough import USB
from tests.lab.outer.gadgets import Gadget, plugged
from tests.lab.outer.member import CLIENT_VM, Member, Rules

pytestmark = pytest.mark.slow

ALLOWED = Gadget("allowed", serial="AA01")
ANOTHER = Gadget("another", serial="BB02")  # of the same model
TYPING = Gadget("typing", serial="CC03", keyboard=True)  # a stick that is a keyboard as well
ONE_STICK: Rules = [{"verdict": "pass", "bus": "usb", "device_id": "0930:6545", "serial": "AA01"}]
ALL_STICKS: Rules = [{"verdict": "pass", "bus": "usb", "device_class": "08", "device_id": "0930:6545"}]
TO_READ: Rules = [{**ONE_STICK[0], "verdict": "read_only"}]


def under(pc: Member, rules: Rules) -> Member:
    """The PC, whose client VM has a USB controller of its own and nothing on it yet."""
    pc.bring_up()
    pc.set_policy(rules)
    if pc.driver(USB) == "vfio-pci":
        pc.restart_client_vm()
    pc.wait("an empty bus in the guest", lambda: pc.last_scan() >= 1 and pc.usb_count() == 0)
    return pc


def sticks(pc: Member) -> dict[str, tuple[str, str, bool]]:
    """Fate, reason and presence of the test's sticks, by serial, as the server shows them."""
    found = (one for one in pc.devices().values() if one["device_id"] == "0930:6545")
    return {one["serial"]: (one["fate"], one["code"], one["present"]) for one in found}


def test_an_allowed_stick_appears_and_another_of_its_model_does_not(pc: Member) -> None:
    under(pc, ONE_STICK)

    with plugged(pc.outer, ANOTHER, socket=1), plugged(pc.outer, ALLOWED, socket=0):
        pc.wait("the stick in the guest", lambda: pc.usb_count() == 1)
        assert pc.look_again() == 1  # searching does not bring up the other one
        expected = {"AA01": ("passed", "rule", True), "BB02": ("hidden", "no_rule", False)}
        pc.wait("the server's knowing", lambda: sticks(pc) == expected)

    pc.wait("the unplugged stick's going", lambda: pc.usb_count() == 0)
    pc.wait("the audit log", lambda: pc.events("device.unplugged")[:1] != [])
    assert {event["serial"] for event in pc.events("device.attached")} == {"AA01"}


def test_a_revoked_stick_is_taken_away_and_stays_away(
    pc: Member, record_property: Callable[[str, object], None]
) -> None:
    under(pc, ONE_STICK)

    with plugged(pc.outer, ALLOWED):
        pc.wait("the stick in the guest", lambda: pc.usb_count() == 1)
        told = len(pc.events("device.detached"))
        pc.put_policy([])
        seconds = pc.wait("its going", lambda: pc.usb_count() == 0)
        record_property("seconds from the click until it was gone", round(seconds, 1))
        print(f"revoked: gone from the guest {seconds:.1f} s after the click")

        assert pc.look_again() == 0
        pc.wait("the server's knowing", lambda: sticks(pc) == {"AA01": ("hidden", "no_rule", False)})
        pc.wait("the audit log", lambda: len(pc.events("device.detached")) > told)
        assert pc.events("device.detached")[0]["serial"] == "AA01"


def test_a_stick_that_types_is_refused_where_sticks_are_granted(pc: Member) -> None:
    under(pc, ALL_STICKS)

    with plugged(pc.outer, TYPING, socket=1), plugged(pc.outer, ANOTHER, socket=0):
        pc.wait("the honest one in the guest", lambda: pc.usb_count() == 1)
        assert pc.look_again() == 1
        expected = {"BB02": ("passed", "rule", True), "CC03": ("hidden", "interface_not_allowed", False)}
        pc.wait("the server's knowing", lambda: sticks(pc) == expected)


def test_a_stick_to_read_comes_as_a_disk_that_refuses_writes(pc: Member) -> None:
    under(pc, TO_READ)

    with plugged(pc.outer, ALLOWED):
        pc.wait("the stick in the guest", lambda: pc.usb_count() == 1)
        blocks = pc.outer.run("virsh", "qemu-monitor-command", CLIENT_VM, "--hmp", "info block")

    (stick,) = (block for block in blocks.split("\n\n") if "ua-storage" in block)
    assert "read-only" in stick

"""What the rules say of a device, which rules cannot be, and which never decide."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.vrasnode.policycast import (
    CLIENT,
    DRIVE,
    FRIDAY,
    GPU,
    GPU_AUDIO,
    GROUP,
    HIDE,
    KEYBOARD,
    KEYS,
    PASS,
    READ_ONLY,
    SILENT,
    STICK,
    STORAGE,
    TRICK,
    USER,
    any_rules,
    rule,
    usb_devices,
)
from vrasnode.devicepolicy import (
    Remark,
    check_rule,
    check_rules,
    decide_optical,
    decide_pci,
    decide_usb,
    grants_all_usb,
    lint,
    linting,
    next_change,
)
from vrasnode.errors import Refused
from vrasnode.wire.devices import Bus, PciDevice, Rule, UsbDevice, Verdict

HOUR = timedelta(hours=1)
STORAGE_PASS = rule(PASS, 1, bus=Bus.USB, device_class="08")
KEYS_PASS = rule(PASS, 2, bus=Bus.USB, interfaces=["03:*:*"])
NO_STICK = rule(HIDE, 3, device_id="0930:6545")

USB_CASES: dict[str, tuple[UsbDevice, list[Rule], Verdict, int | None, str]] = {
    "no rule hides": (STICK, [], HIDE, None, "no_rule"),
    "a class passes": (STICK, [STORAGE_PASS], PASS, 1, "rule"),
    "another class does not": (STICK, [KEYS_PASS], HIDE, None, "no_rule"),
    "a rule without a bus is for every bus": (STICK, [rule(PASS)], PASS, 1, "rule"),
    "a rule for PCI is none for USB": (STICK, [rule(PASS, bus=Bus.PCI)], HIDE, None, "no_rule"),
    "the first of two that pass decides": (STICK, [STORAGE_PASS, rule(PASS, 9)], PASS, 1, "rule"),
    "deny wins before": (STICK, [NO_STICK, STORAGE_PASS], HIDE, 3, "rule"),
    "deny wins behind": (STICK, [STORAGE_PASS, NO_STICK], HIDE, 3, "rule"),
    "the first of two that hide is named": (STICK, [rule(HIDE, 8), NO_STICK], HIDE, 8, "rule"),
    "a whole maker": (STICK, [rule(PASS, device_id="0930:*")], PASS, 1, "rule"),
    "another maker": (STICK, [rule(PASS, device_id="046d:*")], HIDE, None, "no_rule"),
    "ids in capitals": (KEYS, [rule(PASS, device_id="046D:C31C")], PASS, 1, "rule"),
    "its serial": (STICK, [rule(PASS, serial="AA01")], PASS, 1, "rule"),
    "another serial": (STICK, [rule(PASS, serial="AA02")], HIDE, None, "no_rule"),
    "a serial in other letters": (STICK, [rule(PASS, serial="aa01")], HIDE, None, "no_rule"),
    "none asked, one there": (STICK, [rule(PASS, serial="")], HIDE, None, "no_rule"),
    "none asked, none there": (KEYS, [rule(PASS, serial="")], PASS, 1, "rule"),
    "none asked, an empty one there": (replace(KEYS, serial=""), [rule(PASS, serial="")], PASS, 1, "rule"),
    "its port": (STICK, [rule(PASS, port="1-2")], PASS, 1, "rule"),
    "a hub's port is not the port behind it": (
        replace(STICK, port="1-2.1"), [rule(PASS, port="1-2")], HIDE, None, "no_rule",
    ),
    "everything given has to match": (
        STICK, [rule(PASS, device_id="0930:6545", serial="AA01", port="1-3")], HIDE, None, "no_rule",
    ),
    "read-only storage": (STICK, [rule(READ_ONLY, bus=Bus.USB)], READ_ONLY, 1, "rule"),
    "a read-only keyboard": (KEYS, [rule(READ_ONLY, bus=Bus.USB)], HIDE, 1, "not_storage"),
    "a composite device with one interface granted": (
        TRICK, [STORAGE_PASS], HIDE, None, "interface_not_allowed",
    ),
    "a composite device with both granted": (TRICK, [STORAGE_PASS, KEYS_PASS], PASS, 1, "rule"),
    "a composite device granted as a whole": (TRICK, [rule(PASS, 5, device_id="0930:*")], PASS, 5, "rule"),
    "a composite device with one interface denied": (
        TRICK, [rule(PASS), rule(HIDE, 4, interfaces=[KEYBOARD])], HIDE, 4, "rule",
    ),
    "a composite device whose storage is read-only": (
        TRICK, [rule(READ_ONLY, 6, bus=Bus.USB, device_class="08"), KEYS_PASS],
        HIDE, 6, "composite_read_only",
    ),
    "storage of two kinds, one of them read-only": (
        replace(STICK, interfaces=[STORAGE, "08:06:62"]),
        [rule(READ_ONLY, 6, interfaces=["08:06:62"]), STORAGE_PASS], READ_ONLY, 6, "rule",
    ),
    "a class and interfaces: both": (
        KEYS, [rule(PASS, bus=Bus.USB, device_class="08", interfaces=["03:*:*"])], HIDE, None, "no_rule",
    ),
    "a device that says nothing": (SILENT, [rule(PASS)], HIDE, None, "no_interfaces"),
    "the user over the group": (STICK, [NO_STICK, rule(PASS, 4, USER, serial="AA01")], PASS, 4, "rule"),
    "the PC over the group": (STICK, [rule(HIDE, 4, CLIENT), STORAGE_PASS], HIDE, 4, "rule"),
    "the user over the PC": (STICK, [rule(HIDE, 4, CLIENT), rule(PASS, 5, USER)], PASS, 5, "rule"),
    "a narrower rule for other devices changes nothing": (
        STICK, [STORAGE_PASS, rule(HIDE, 4, USER, serial="AA02")], PASS, 1, "rule",
    ),
    "the user's interface over the group's, the group's for the rest": (
        TRICK, [rule(PASS), rule(HIDE, 4, interfaces=[KEYBOARD]), rule(PASS, 5, USER, interfaces=[STORAGE])],
        HIDE, 4, "rule",
    ),
    "deny wins between two groups": (STICK, [rule(PASS, 10), rule(HIDE, 20)], HIDE, 20, "rule"),
}  # fmt: skip


@pytest.mark.parametrize("case", USB_CASES)
def test_a_usb_device_is_judged_by_the_rules(case: str) -> None:
    device, rules, verdict, decided_by, code = USB_CASES[case]

    decision = decide_usb(device, rules, now=FRIDAY)

    named = decision.rule.id if decision.rule else None
    assert (decision.verdict, named, decision.code) == (verdict, decided_by, code)


PCI_CASES: dict[str, tuple[PciDevice, list[Rule], Verdict, int | None, str]] = {
    "no rule hides": (GPU, [], HIDE, None, "no_rule"),
    "a class": (GPU, [rule(PASS, bus=Bus.PCI, device_class="03")], PASS, 1, "rule"),
    "a subclass": (GPU_AUDIO, [rule(PASS, bus=Bus.PCI, device_class="0403")], PASS, 1, "rule"),
    "another subclass": (GPU_AUDIO, [rule(PASS, bus=Bus.PCI, device_class="0401")], HIDE, None, "no_rule"),
    "a model": (GPU, [rule(PASS, device_id="10de:2504")], PASS, 1, "rule"),
    "an address": (GPU, [rule(PASS, port="0000:01:00.0")], PASS, 1, "rule"),
    "an address in capitals": (
        replace(GPU, address="0000:0a:00.0"), [rule(PASS, port="0000:0A:00.0")], PASS, 1, "rule",
    ),
    "USB's class is none of PCI": (GPU, [rule(PASS, bus=Bus.USB, device_class="03")], HIDE, None, "no_rule"),
    "functions have no serial": (GPU, [rule(PASS, serial="")], HIDE, None, "no_rule"),
    "functions have no interfaces": (GPU, [rule(PASS, interfaces=["03:*:*"])], HIDE, None, "no_rule"),
    "a function cannot be read-only": (GPU, [rule(READ_ONLY)], HIDE, 1, "not_storage"),
    "deny wins": (GPU, [rule(PASS), rule(HIDE, 2, device_id="10de:*")], HIDE, 2, "rule"),
}  # fmt: skip


@pytest.mark.parametrize("case", PCI_CASES)
def test_a_pci_function_is_judged_by_the_rules(case: str) -> None:
    device, rules, verdict, decided_by, code = PCI_CASES[case]

    decision = decide_pci(device, rules, now=FRIDAY)

    named = decision.rule.id if decision.rule else None
    assert (decision.verdict, named, decision.code) == (verdict, decided_by, code)


@pytest.mark.parametrize(
    ("fields", "verdict"),
    [({"bus": Bus.OPTICAL}, READ_ONLY), ({"port": "sr0"}, PASS), ({"port": "sr1"}, HIDE), ({}, PASS),
     ({"bus": Bus.USB}, HIDE), ({"device_id": "0930:*"}, HIDE)],
)  # fmt: skip
def test_an_optical_drive_is_judged_by_its_node_alone(fields: dict[str, Any], verdict: Verdict) -> None:
    wish = verdict if verdict is not HIDE else PASS

    assert decide_optical(DRIVE, [rule(wish, **fields)], now=FRIDAY).verdict is verdict


def test_of_two_identical_sticks_the_port_says_which_is_granted() -> None:
    granted = rule(PASS, device_id="0930:6545", serial="AA01", port="1-2")
    twin = replace(STICK, port="1-3", number=8)

    assert decide_usb(STICK, [granted], now=FRIDAY).verdict is PASS
    assert decide_usb(twin, [granted], now=FRIDAY).verdict is HIDE


def test_a_device_that_renames_itself_is_judged_anew() -> None:
    granted = rule(PASS, device_id="0930:6545", serial="AA01")
    renamed = replace(STICK, vendor="046d", product="c31c", serial="BB02", interfaces=[KEYBOARD])

    assert decide_usb(renamed, [granted], now=FRIDAY).verdict is HIDE


@pytest.mark.parametrize(
    ("moment", "verdict"),
    [(-HOUR, HIDE), (0 * HOUR, PASS), (HOUR, PASS), (2 * HOUR, HIDE), (3 * HOUR, HIDE)],
)
def test_a_rule_counts_from_the_beginning_of_its_period_to_before_its_end(
    moment: timedelta, verdict: Verdict
) -> None:
    lent = rule(PASS, valid_from=FRIDAY, valid_until=FRIDAY + 2 * HOUR)

    assert decide_usb(STICK, [lent], now=FRIDAY + moment).verdict is verdict


def test_a_time_without_a_zone_is_in_utc() -> None:
    lent = rule(PASS, valid_until=datetime(2026, 3, 6, 13, 0))  # noqa: DTZ001 - what it is about

    assert decide_usb(STICK, [lent], now=FRIDAY).verdict is PASS
    assert decide_usb(STICK, [lent], now=FRIDAY + HOUR).verdict is HIDE


def test_an_expired_rule_of_a_narrower_scope_lets_the_wider_one_decide() -> None:
    denied = rule(HIDE, 4, USER, valid_until=FRIDAY)

    assert decide_usb(STICK, [STORAGE_PASS, denied], now=FRIDAY).rule is STORAGE_PASS


def test_the_next_change_is_the_next_beginning_or_end_of_a_period() -> None:
    rules = [
        rule(PASS, valid_from=FRIDAY - HOUR, valid_until=FRIDAY + 3 * HOUR),
        rule(PASS, valid_from=FRIDAY + 2 * HOUR),
        rule(PASS, valid_until=FRIDAY),
        rule(PASS),
    ]

    assert next_change(rules, now=FRIDAY) == FRIDAY + 2 * HOUR
    assert next_change(rules, now=FRIDAY + 2 * HOUR) == FRIDAY + 3 * HOUR
    assert next_change(rules, now=FRIDAY + 3 * HOUR) is None


@given(device=usb_devices, rules=any_rules, data=st.data())
def test_between_two_changes_a_decision_stays(
    device: UsbDevice, rules: list[Rule], data: st.DataObject
) -> None:
    before = FRIDAY - HOUR
    change = next_change(rules, now=before) or FRIDAY + HOUR
    later = before + data.draw(st.floats(0, 0.99)) * (change - before)

    assert decide_usb(device, rules, now=later) == decide_usb(device, rules, now=before)


@given(device=usb_devices, rules=any_rules)
def test_a_device_passes_only_if_each_interface_would_by_itself(device: UsbDevice, rules: list[Rule]) -> None:
    alone = [
        decide_usb(replace(device, interfaces=[interface]), rules, now=FRIDAY).verdict
        for interface in device.interfaces
    ]

    together = decide_usb(device, rules, now=FRIDAY).verdict

    assert (together is PASS) == all(verdict is PASS for verdict in alone)
    assert together is not READ_ONLY or HIDE not in alone


@given(device=usb_devices, rules=any_rules)
def test_one_more_hide_never_grants_anything(device: UsbDevice, rules: list[Rule]) -> None:
    before = decide_usb(device, rules, now=FRIDAY).verdict
    after = decide_usb(device, [*rules, rule(HIDE, scope=GROUP, device_id="0930:*")], now=FRIDAY).verdict

    assert after is before or after is HIDE


UNSAFE: dict[str, list[Rule]] = {
    "no rule": [],
    "only storage": [STORAGE_PASS],
    "a hide as well": [rule(PASS), rule(HIDE, 2, interfaces=["e0:*:*"])],
    "a read-only as well": [rule(PASS), rule(READ_ONLY, 2, bus=Bus.USB, device_class="08")],
    "a hide to come": [rule(PASS), rule(HIDE, 2, valid_from=FRIDAY + HOUR)],
    "it ends": [rule(PASS, valid_until=FRIDAY + HOUR)],
    "it has not begun": [rule(PASS, valid_from=FRIDAY + HOUR)],
    "a narrower hide": [rule(PASS), rule(HIDE, 2, USER, port="1-2")],
    "a rule for PCI": [rule(PASS, bus=Bus.PCI)],
}
SAFE: dict[str, list[Rule]] = {
    "everything": [rule(PASS)],
    "all of USB": [rule(PASS, bus=Bus.USB)],
    "a narrower one over a hide": [rule(HIDE, 2), rule(PASS, 1, CLIENT)],
    "a hide that is over": [rule(PASS), rule(HIDE, 2, valid_until=FRIDAY)],
    "a hide on PCI": [rule(PASS), rule(HIDE, 2, bus=Bus.PCI)],
}


@pytest.mark.parametrize("case", UNSAFE)
def test_usb_is_not_granted_as_a_whole_while_any_device_could_be_denied(case: str) -> None:
    assert grants_all_usb(UNSAFE[case], now=FRIDAY) is None


@pytest.mark.parametrize("case", SAFE)
def test_usb_is_granted_as_a_whole_by_a_rule_that_nothing_limits(case: str) -> None:
    found = grants_all_usb(SAFE[case], now=FRIDAY)

    assert found is not None and found.id == 1


GOOD: list[dict[str, Any]] = [
    {},
    {"bus": Bus.USB, "port": "1-2.3.4.5.6.7"},
    {"port": "0000:03:00.0"},
    {"port": "sr0", "verdict": READ_ONLY},
    {"bus": Bus.PCI, "device_class": "0c0330"},
    {"bus": Bus.PCI, "device_class": "0805"},
    {"bus": Bus.USB, "device_class": "08", "interfaces": ["08:06:*"], "verdict": READ_ONLY},
    {"device_id": "0930:6545", "serial": "", "note": "経理のスティック"},
    {"bus": Bus.USB, "interfaces": ["03:*:*", "08:06:50"]},
    {"bus": Bus.PCI, "device_class": "06", "verdict": HIDE},
    {"verdict": READ_ONLY},
    {"note": "営業\u3000第2課"},
]
BAD: list[tuple[str, dict[str, Any]]] = [
    *(("bad_port", {"bus": Bus.USB, "port": port}) for port in
      ["1", "1-", "1-2.", "1-2..3", "-2", "0-1", "1-0", "1-2.3.4.5.6.7.8.9", "usb1", "1-2 ",
       "１-２", "0000:03:00.0"]),
    *(("bad_port", {"bus": Bus.PCI, "port": port}) for port in
      ["03:00.0", "0000:03:00.8", "0000:03:20.0", "0000:03:00", "1-2", "*"]),
    ("bad_port", {"bus": Bus.OPTICAL, "port": "cdrom"}),
    ("bad_port", {"port": "somewhere"}),
    ("unknown_class", {"bus": Bus.USB, "device_class": "0806"}),
    ("unknown_class", {"bus": Bus.USB, "device_class": "04"}),
    ("unknown_class", {"bus": Bus.PCI, "device_class": "3"}),
    ("unknown_class", {"bus": Bus.PCI, "device_class": "03000"}),
    ("unknown_class", {"bus": Bus.PCI, "device_class": "99"}),
    ("unknown_class", {"bus": Bus.PCI, "device_class": "zz"}),
    ("class_needs_bus", {"device_class": "03"}),
    ("class_needs_bus", {"bus": Bus.OPTICAL, "device_class": "03"}),
    *(("bad_device_id", {"device_id": given}) for given in
      ["0930", "0930:", "930:6545", "*:6545", "*:*", "0930:65*", "0930:654g", "0930:6545:01"]),
    *(("bad_interface", {"interfaces": [given]}) for given in
      ["08", "08:06", "08:*:50", "*:*:*", "8:6:50", "08:06:50:00", "04:*:*", ""]),
    ("bus_contradicted", {"bus": Bus.PCI, "serial": "AA01"}),
    ("bus_contradicted", {"bus": Bus.PCI, "interfaces": ["03:*:*"]}),
    ("bus_contradicted", {"bus": Bus.OPTICAL, "device_id": "0930:*"}),
    ("bus_contradicted", {"port": "0000:03:00.0", "serial": "AA01"}),
    ("bus_contradicted", {"port": "sr0", "device_id": "0930:*"}),
    ("bus_contradicted", {"bus": Bus.USB, "device_class": "08", "interfaces": ["03:*:*"]}),
    ("read_only_not_storage", {"verdict": READ_ONLY, "bus": Bus.PCI, "device_class": "01"}),
    ("read_only_not_storage", {"verdict": READ_ONLY, "bus": Bus.USB, "device_class": "03"}),
    ("read_only_not_storage", {"verdict": READ_ONLY, "interfaces": ["08:*:*", "03:*:*"]}),
    ("read_only_not_storage", {"verdict": READ_ONLY, "port": "0000:03:00.0"}),
    ("never_granted", {"bus": Bus.PCI, "device_class": "06"}),
    ("never_granted", {"bus": Bus.PCI, "device_class": "0C05"}),
    ("never_granted", {"bus": Bus.PCI, "device_class": "060100"}),
    ("never_granted", {"bus": Bus.USB, "device_class": "09"}),
    ("bad_validity", {"valid_from": FRIDAY, "valid_until": FRIDAY}),
    ("bad_validity", {"valid_from": FRIDAY, "valid_until": datetime(2026, 3, 6, 11)}),  # noqa: DTZ001
    ("text_too_long", {"serial": "A" * 201}),
    ("text_too_long", {"note": "長" * 201}),
    ("text_too_long", {"interfaces": ["08:06:50"] * 33}),
    ("bad_text", {"serial": "AA\x0001"}),
    ("bad_text", {"note": "one\ntwo"}),
    ("bad_text", {"note": "one\u2028two"}),
    ("bad_text", {"note": "\u202etxt"}),
]  # fmt: skip


@pytest.mark.parametrize("fields", GOOD)
def test_a_rule_that_can_be_meant_is_taken(fields: dict[str, Any]) -> None:
    check_rule(rule(**{"verdict": PASS, **fields}))


@pytest.mark.parametrize(("code", "fields"), BAD)
def test_a_rule_that_cannot_be_meant_is_refused(code: str, fields: dict[str, Any]) -> None:
    with pytest.raises(Refused) as refused:
        check_rule(rule(**{"verdict": PASS, **fields}))

    assert refused.value.code == code


def test_of_many_rules_the_words_name_the_bad_one() -> None:
    with pytest.raises(Refused, match=r"^Rule 7: .*1-2\.3") as refused:
        check_rules([rule(PASS), rule(PASS, 7, port="1-")])

    assert refused.value.code == "bad_port"


@given(
    text=st.text(max_size=20), where=st.sampled_from(["port", "device_id", "device_class", "serial", "note"])
)
def test_no_text_breaks_the_check(text: str, where: str) -> None:
    fields: dict[str, Any] = {where: text}
    wild = rule(PASS, bus=Bus.USB, **fields)

    try:
        check_rule(wild)
    except Refused as refused:
        assert refused.words
    decide_usb(STICK, [wild], now=FRIDAY)


LINTED: dict[str, tuple[list[Rule], list[Remark]]] = {
    "an exception to a wider rule is no mistake": ([STORAGE_PASS, NO_STICK], []),
    "two different rules": ([STORAGE_PASS, KEYS_PASS], []),
    "two periods": (
        [rule(PASS, 1, valid_until=FRIDAY + HOUR), rule(PASS, 2, valid_from=FRIDAY + HOUR)], [],
    ),
    "the same again": ([STORAGE_PASS, replace(STORAGE_PASS, id=2)], [Remark("unreachable", 2, 1)]),
    "the same said in another way": (
        [STORAGE_PASS, rule(READ_ONLY, 2, interfaces=["08:06:50"])], [Remark("unreachable", 2, 1)],
    ),
    "a narrower one first": ([rule(PASS, 1, serial="AA01"), rule(PASS, 2)], []),
    "a wider one first": ([rule(PASS, 2), rule(PASS, 1, serial="AA01")], [Remark("unreachable", 1, 2)]),
    "a class and its subclass": (
        [rule(PASS, 1, bus=Bus.PCI, device_class="04"), rule(PASS, 2, bus=Bus.PCI, device_class="0403")],
        [Remark("unreachable", 2, 1)],
    ),
    "a pass that a hide takes": ([rule(PASS, 1, serial="AA01"), rule(HIDE, 2)], [Remark("denied", 1, 2)]),
    "pass and hide of the same": (
        [NO_STICK, rule(PASS, 4, device_id="0930:6545")], [Remark("contradicting", 4, 3)],
    ),
    "the opposite in two groups": ([rule(PASS, 1), rule(HIDE, 2)], [Remark("contradicting", 1, 2)]),
    "overridden": ([rule(PASS, 1, serial="AA01"), rule(HIDE, 2, USER)], [Remark("overridden", 1, 2)]),
    "a wider scope overrides nothing": ([rule(HIDE, 1), rule(PASS, 2, CLIENT, serial="AA01")], []),
    "a shorter period covers nothing": ([rule(PASS, 1, valid_until=FRIDAY + HOUR), rule(PASS, 2)], []),
    "a longer period does": (
        [rule(PASS, 1), rule(PASS, 2, valid_until=FRIDAY + HOUR)], [Remark("unreachable", 2, 1)],
    ),
    "a rule for all buses needs all covered": ([rule(PASS, 1, bus=Bus.USB), rule(PASS, 2)], []),
    "a port says which bus": (
        [rule(PASS, 1, bus=Bus.USB), rule(PASS, 2, port="1-2")], [Remark("unreachable", 2, 1)],
    ),
    "ended": ([rule(PASS, 1, valid_until=FRIDAY)], [Remark("expired", 1)]),
    "never": ([rule(PASS, 1, valid_from=FRIDAY, valid_until=FRIDAY - HOUR)], [Remark("never_valid", 1)]),
}  # fmt: skip


@pytest.mark.parametrize("case", LINTED)
def test_rules_that_never_decide_are_pointed_out(case: str) -> None:
    rules, remarks = LINTED[case]

    assert lint(rules, now=FRIDAY) == remarks


def test_without_a_moment_nothing_is_called_expired() -> None:
    assert lint([rule(PASS, valid_until=datetime(2000, 1, 1, tzinfo=UTC))]) == []


@given(device=usb_devices, rules=any_rules)
def test_a_rule_that_was_pointed_out_indeed_never_decides(device: UsbDevice, rules: list[Rule]) -> None:
    rules = [replace(one, id=place) for place, one in enumerate(rules)]
    pointed_out = {remark.rule_id for remark in lint(rules)}

    decided = [
        decide_usb(replace(device, interfaces=[interface]), rules, now=now).rule
        for interface in device.interfaces
        for now in (FRIDAY - HOUR, FRIDAY)
    ]

    assert not {one.id for one in decided if one} & pointed_out


def test_a_thousand_rules_are_linted_without_trying_all_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    rules = [
        rule(PASS, number, bus=Bus.USB, device_id=f"{number:04x}:*", serial=str(number))
        for number in range(1000)
    ]
    compared: list[object] = []
    covers = linting._Entry.covers

    def counted(one: linting._Entry, other: linting._Entry) -> bool:
        compared.append(one)
        return covers(one, other)

    monkeypatch.setattr(linting._Entry, "covers", counted)

    remarks = lint([*rules, rule(HIDE, 1000, bus=Bus.USB)])

    assert remarks == [Remark("denied", number, 1000) for number in range(1000)]
    assert len(compared) < 10_000

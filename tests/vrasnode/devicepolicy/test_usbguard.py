"""Rules in usbguard's language. What is written is held against Debian's usbguard-rule-parser."""

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.vrasnode.policycast import (
    CLIENT,
    FRIDAY,
    GROUP,
    HIDE,
    IDS,
    KEYBOARD,
    KEYS,
    PASS,
    PATTERNS,
    PORTS,
    READ_ONLY,
    SERIALS,
    STICK,
    STORAGE,
    TRICK,
    USER,
    rule,
    usb_devices,
)
from vrasnode.devicepolicy import decide_usb
from vrasnode.devicepolicy.usbguard import rules_in, rules_out
from vrasnode.devicepolicy.usbguardlines import Attribute, Line, quoted, read_lines
from vrasnode.errors import Refused
from vrasnode.wire.devices import Bus, Rule, Scope, UsbDevice

usb_rules = st.lists(
    st.builds(
        Rule,
        id=st.integers(1, 999),
        scope=st.just(GROUP),
        verdict=st.sampled_from([PASS, PASS, HIDE]),
        bus=st.just(Bus.USB),
        device_class=st.sampled_from(["", "", "08", "03"]),
        device_id=st.sampled_from(["", *(f"{vendor}:*" for vendor in IDS), "0930:6545", "046D:C31C"]),
        serial=st.sampled_from([None, None, "", *SERIALS]),
        port=st.sampled_from(["", "", *PORTS]),
        interfaces=st.just([]),
        note=st.sampled_from(["", "", '経理 "A" \\ # 1']),
    ),
    max_size=6,
)
pass_or_hide_interfaces = st.builds(
    Rule,
    id=st.integers(1, 999),
    scope=st.just(GROUP),
    verdict=st.sampled_from([PASS, HIDE]),
    bus=st.just(Bus.USB),
    device_id=st.sampled_from(["", "0930:6545"]),
    interfaces=st.lists(st.sampled_from(PATTERNS), min_size=1, max_size=3, unique=True),
)
sayable = st.tuples(usb_rules, st.lists(pass_or_hide_interfaces, max_size=3)).map(
    lambda two: [*two[0], *two[1]]
)


def parsed(text: str, directory: Path) -> list[str]:
    """What usbguard makes of the text, line by line. Fails with its words where it makes nothing of one."""
    file = directory / "rules.conf"
    file.write_text(text)
    run = subprocess.run(
        ["usbguard-rule-parser", "-f", file], capture_output=True, text=True, check=False, timeout=60
    )
    assert run.returncode == 0, run.stderr
    lines = [line.removeprefix("OUTPUT: ") for line in run.stdout.splitlines() if line.startswith("OUTPUT:")]
    return [line for line in lines if line.strip()]


def test_each_thing_that_a_rule_can_say_is_written(tmp_path: Path) -> None:
    rules = [
        rule(PASS, 1, device_id="0930:*", serial='a "b" \\ c', port="1-2.3", bus=Bus.USB),
        rule(HIDE, 2, bus=Bus.USB, interfaces=["03:01:01", "08:*:*"]),
        rule(PASS, 3, bus=Bus.USB, device_class="08", note="会計"),
        rule(PASS, 4, bus=Bus.USB, serial=""),
        rule(PASS, 5, bus=Bus.USB),
    ]

    assert parsed(rules_out(rules), tmp_path) == [
        "block with-interface one-of { 03:01:01 08:*:* }",
        'allow id 0930:* serial "a \\"b\\" \\\\ c" via-port "1-2.3"',
        'allow with-interface match-all { 08:*:* } label "\\xe4\\xbc\\x9a\\xe8\\xa8\\x88"',
        'allow serial ""',
        "allow",
    ]


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rules=sayable)
def test_usbguard_reads_whatever_is_written(rules: list[Rule], tmp_path: Path) -> None:
    text = rules_out(rules)

    assert len(parsed(text, tmp_path)) == len(list(read_lines(text))) == len(rules)


@given(rules=sayable)
@example(rules=[rule(HIDE, bus=Bus.USB, note="all")])
def test_what_was_written_and_read_again_is_written_the_same(rules: list[Rule]) -> None:
    text = rules_out(rules)

    again = rules_in(text)

    assert _rules_of(rules_out(again)) == _without_last_block(text)


@given(rules=sayable, device=usb_devices)
def test_what_was_written_and_read_again_decides_the_same(rules: list[Rule], device: UsbDevice) -> None:
    again = rules_in(rules_out(rules))

    before, after = (decide_usb(device, both, now=FRIDAY) for both in (rules, again))
    assert before.verdict is after.verdict


@given(rules=sayable, narrower=st.sampled_from(Scope), device=usb_devices)
def test_what_usbguard_would_allow_by_our_text_is_granted_here(
    rules: list[Rule], narrower: Scope, device: UsbDevice
) -> None:
    mixed = [replace(one, scope=narrower if place % 2 else GROUP) for place, one in enumerate(rules)]

    if _allowed(device, list(read_lines(rules_out(mixed)))):
        assert decide_usb(device, mixed, now=FRIDAY).verdict is PASS


def _rules_of(text: str) -> list[str]:
    return [line for line in text.splitlines() if line and line[0] != "#"]


def _without_last_block(text: str) -> list[str]:
    """The rules but for a last one that blocks everything: it adds nothing."""
    lines = _rules_of(text)
    return lines[:-1] if lines and re.fullmatch("block( label .*)?", lines[-1]) else lines


def _allowed(device: UsbDevice, lines: Sequence[Line]) -> bool:
    """usbguard's own way: the first rule of which all conditions are met decides; no rule: blocked."""
    for line in lines:
        if all(_met(device, attribute) for attribute in line.attributes):
            return line.target == "allow"
    return False


def _met(device: UsbDevice, attribute: Attribute) -> bool:
    values = attribute.values
    match attribute.name:
        case "id":
            return any(
                value in (f"{device.vendor}:{device.product}", f"{device.vendor}:*") for value in values
            )
        case "serial":
            return (device.serial or "") in values
        case "via-port":
            return device.port in values
        case "with-interface":
            met = [any(_is(interface, value) for value in values) for interface in device.interfaces]
            return all(met) if attribute.operator == "match-all" else any(met)
    return attribute.name == "label"


def _is(interface: str, pattern: str) -> bool:
    return all(
        want in ("*", have) for have, want in zip(interface.split(":"), pattern.split(":"), strict=True)
    )


def test_the_narrowest_scope_is_written_first() -> None:
    text = rules_out([rule(HIDE, 1, bus=Bus.USB), rule(PASS, 2, USER, bus=Bus.USB, serial="A")])

    assert _rules_of(text) == ['allow serial "A"', "block"]


def test_rules_of_other_buses_are_named_in_a_comment(tmp_path: Path) -> None:
    text = rules_out(
        [rule(PASS, 7, bus=Bus.PCI), rule(PASS, 8, port="sr0"), rule(HIDE, 9, device_id="0930:*")]
    )

    assert parsed(text, tmp_path) == ["block id 0930:*"]
    assert "# rule 7 is about pci, not USB: not written" in text
    assert "# rule 8 is about other devices, not USB: not written" in text
    assert "# rule 9 is for other buses too; this is what it says about USB" in text


@pytest.mark.parametrize(
    "unsayable",
    [
        rule(READ_ONLY, 7, bus=Bus.USB, device_class="08"),
        rule(PASS, 7, valid_until=FRIDAY),
        rule(HIDE, 7, valid_from=FRIDAY),
    ],
)
def test_what_usbguard_cannot_say_is_refused_by_the_rules_number(unsayable: Rule) -> None:
    with pytest.raises(Refused, match="Rule 7") as refused:
        rules_out([rule(PASS, 6), unsayable])

    assert refused.value.code == "usbguard_cannot_say"


def test_a_note_cannot_break_out_of_its_line() -> None:
    with pytest.raises(Refused) as refused:
        rules_out([rule(PASS, note='x"\nallow')])

    assert refused.value.code == "bad_text"


READ: dict[str, list[Rule]] = {
    "allow": [rule(PASS, 1, bus=Bus.USB)],
    "# nothing\n\n  \n": [],
    "allow id 0930:6545 # a comment": [rule(PASS, 1, bus=Bus.USB, device_id="0930:6545")],
    "allow 0930:6545\r\n": [rule(PASS, 1, bus=Bus.USB, device_id="0930:6545")],
    "allow id *:* via-port \"1-2\"": [rule(PASS, 1, bus=Bus.USB, port="1-2")],
    "reject id 0930:*\nblock id 046D:C31C": [
        rule(HIDE, 1, bus=Bus.USB, device_id="0930:*"), rule(HIDE, 2, bus=Bus.USB, device_id="046d:c31c"),
    ],
    'allow serial "a\\x41\\"\\\\#"': [rule(PASS, 1, bus=Bus.USB, serial='aA"\\#')],
    'allow serial "\\xe8\\xa3\\xbd"': [rule(PASS, 1, bus=Bus.USB, serial="製")],
    'allow label "会計" via-port equals { "1-2" }': [rule(PASS, 1, bus=Bus.USB, port="1-2", note="会計")],
    'allow via-port one-of { "1-1" "1-2" }': [
        rule(PASS, 1, bus=Bus.USB, port="1-1"), rule(PASS, 2, bus=Bus.USB, port="1-2"),
    ],
    "allow with-interface 08:06:50": [rule(PASS, 1, bus=Bus.USB, interfaces=[STORAGE])],
    "allow with-interface equals { 08:*:* }": [rule(PASS, 1, bus=Bus.USB, interfaces=["08:*:*"])],
    "allow with-interface match-all { 08:*:* 03:01:01 }": [
        rule(PASS, 1, bus=Bus.USB, interfaces=["08:*:*", KEYBOARD]),
    ],
    "allow id 046d:c31c with-interface { 03:01:01 03:00:00 }": [
        rule(PASS, 1, bus=Bus.USB, device_id="046d:c31c", interfaces=[KEYBOARD, "03:00:00"]),
    ],
    "block with-interface one-of { 03:*:* e0:*:* }": [
        rule(HIDE, 1, bus=Bus.USB, interfaces=["03:*:*", "e0:*:*"]),
    ],
    "reject with-interface all-of { 03:*:* }": [rule(HIDE, 1, bus=Bus.USB, interfaces=["03:*:*"])],
    "allow id 0930:6545\nblock": [rule(PASS, 1, bus=Bus.USB, device_id="0930:6545")],
    "allow id 0930:6545\nblock id 046d:*": [
        rule(PASS, 1, bus=Bus.USB, device_id="0930:6545"), rule(HIDE, 2, bus=Bus.USB, device_id="046d:*"),
    ],
    "allow with-interface match-all { 08:*:* }\nblock with-interface one-of { 03:*:* }": [
        rule(PASS, 1, bus=Bus.USB, interfaces=["08:*:*"]), rule(HIDE, 2, bus=Bus.USB, interfaces=["03:*:*"]),
    ],
}  # fmt: skip


@pytest.mark.parametrize("text", READ)
def test_a_rule_of_usbguard_is_read_as_what_it_means_here(text: str) -> None:
    assert rules_in(text) == READ[text]


def test_rules_are_read_for_the_scope_that_asks() -> None:
    assert [one.scope for one in rules_in("allow\nallow id 0930:*", scope=CLIENT)] == [CLIENT, CLIENT]


@pytest.mark.parametrize("scope", [CLIENT, USER])
def test_a_narrower_scope_cannot_block_all_that_it_does_not_name(scope: Scope) -> None:
    with pytest.raises(Refused, match=r"^Line 3: .*wider scope"):
        rules_in("allow id 0930:6545\n\nblock", scope=scope)


REFUSED: list[tuple[str, int, str]] = [
    ("permit id 0930:6545", 1, "allow, block or reject"),
    ("match id 0930:6545", 1, "allow, block or reject"),
    ("allow\nallow name \"x\"", 2, "'name'"),
    ("allow hash \"abc\"", 1, "'hash'"),
    ("allow parent-hash \"abc\"", 1, "'parent-hash'"),
    ("allow with-connect-type \"hotplug\"", 1, "'with-connect-type'"),
    ("allow vendor 0930", 1, "'vendor'"),
    ("allow if localtime(10:00-11:00)", 1, "conditions"),
    ("allow id", 1, "no value"),
    ("allow id }", 1, "no value"),
    ("allow id one-of 0930:6545", 1, "braces"),
    ("allow id { 0930:6545", 1, "not closed"),
    ("allow id { }", 1, "empty"),
    ("allow id { { 0930:6545 } }", 1, "not closed"),
    ("allow id { 0930:6545 0930:6546 }", 1, "one-of"),
    ("allow id none-of { 0930:6545 }", 1, "none-of"),
    ("allow id 0930:6545 id 0930:6546", 1, "twice"),
    ("allow id 0930:65*", 1, "no id"),
    ("allow serial \"a", 1, "no part of a rule"),
    ("allow serial \"\\q\"", 1, "escape"),
    ("allow serial \"\\xff\"", 1, "UTF-8"),
    ("allow serial \"\\x0a\"", 1, "does not print"),
    ("allow via-port \"usb1\"", 1, "no port"),
    ("allow via-port \"1-\"", 1, "no port"),
    ("allow label one-of { \"a\" \"b\" }", 1, "one label"),
    ("allow id 1d6b:0002 with-interface 09:00:00", 1, "hubs"),
    ("allow with-interface 08", 1, "no interface"),
    ("allow with-interface { 08:*:* 03:*:* }", 1, "match-all { 08:*:* 03:*:* }"),
    ("allow with-interface one-of { 08:*:* 03:*:* }", 1, "match-all"),
    ("allow with-interface all-of { 08:*:* }", 1, "match-all"),
    ("allow with-interface none-of { 08:*:* }", 1, "match-all"),
    ("block with-interface 08:06:50", 1, "one-of { 08:06:50 }"),
    ("block with-interface all-of { 08:*:* 03:*:* }", 1, "one-of"),
    ("block with-interface match-all { 08:*:* }", 1, "one-of"),
    ("allow id 0930:6545\n\nblock id 0930:*", 3, "line 1 allows first"),
    ("allow\nblock\nallow id 0930:6545", 2, "line 1 allows first"),
    ("allow with-interface 08:06:50\nblock with-interface one-of { 08:*:* }", 2, "line 1"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "line", "words"), REFUSED)
def test_what_cannot_be_said_here_is_refused_by_its_line(text: str, line: int, words: str) -> None:
    with pytest.raises(Refused) as refused:
        rules_in(text)

    assert refused.value.code == "usbguard_line"
    assert refused.value.words.startswith(f"Line {line}: ")
    assert words in refused.value.words


def test_conditions_that_cannot_be_said_are_ignored_when_that_is_wished() -> None:
    text = (
        'allow id 0930:6545 serial "A" name "Stick" hash "abc=" parent-hash "d" with-connect-type "hotplug"'
    )

    found = rules_in(text, ignoring={"name", "hash", "parent-hash", "with-connect-type", "serial"})

    note = "[usbguard: no name, hash, parent-hash, with-connect-type]"
    assert found == [rule(PASS, 1, bus=Bus.USB, device_id="0930:6545", serial="A", note=note)]
    assert rules_in('allow 0930:* hash "a" label "B"', ignoring={"hash"})[0].note == "B [usbguard: no hash]"


@pytest.mark.parametrize("target", ["allow", "block"])
def test_a_rule_of_which_nothing_would_be_left_is_not_made_one_for_every_device(target: str) -> None:
    with pytest.raises(Refused, match=r"^Line 1: without 'name'"):
        rules_in(f'{target} id *:* name "Stick" hash "a" label "B"', ignoring={"name", "hash"})


def test_a_text_that_means_too_many_rules_is_refused() -> None:
    many = " ".join(f"0930:{number:04x}" for number in range(60))
    ports = " ".join(f'"1-{number}"' for number in range(1, 60))

    with pytest.raises(Refused, match="2000 rules"):
        rules_in(f"allow id one-of {{ {many} }} via-port one-of {{ {ports} }}")
    with pytest.raises(Refused, match=r"Line 2001: .*2000 rules"):
        rules_in("allow\n" * 2001)


@given(text=st.text(max_size=40) | st.text(alphabet='alow{}"\\#id 0930:x*\n', max_size=40))
def test_no_text_breaks_the_reading(text: str) -> None:
    try:
        rules_in(text)
    except Refused as refused:
        assert refused.code == "usbguard_line"


@given(text=st.text(max_size=30))
def test_any_text_comes_back_from_its_quotes(text: str) -> None:
    if text.isprintable():
        [line] = read_lines(f"allow serial {quoted(text)}")
        assert line.attributes[0].values == (text,)


def test_sticks_that_are_allowed_by_both_are_those_that_are_nothing_else() -> None:
    rules = rules_in("allow with-interface match-all { 08:*:* }")

    assert [decide_usb(device, rules, now=FRIDAY).verdict for device in (STICK, KEYS, TRICK)] == [
        PASS, HIDE, HIDE,
    ]  # fmt: skip

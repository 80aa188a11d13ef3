"""Whether a rule can mean anything at all: asked when it is saved, imported or received. Pure.

Words name what to write instead. Not here: how rules of a list get into each other's way (`linting`), and
whether a PC has such a device (`deviceplan.findings`).
"""

import re
import unicodedata
from collections.abc import Sequence

from vrasnode.devicepolicy.matching import PORTS, fits, in_utc, optical_match, pci_match, usb_match
from vrasnode.errors import Refused
from vrasnode.wire.devices import Bus, Rule, Verdict

MAX_TEXT_CHARS = 200  # a serial, a note; USB strings end at 126 (USB 2.0 §9.6.7)
MAX_INTERFACES = 32  # patterns in one rule

# What the board itself needs: bridges, memory and interrupt controllers, processors, SMBus. No rule can grant
# one. 0805, the SD card reader, is no such part. Codes: PCI Code and ID Assignment Specification, §1.
BOARD = ("05", "06", "0800", "0801", "0802", "0803", "0804", "0806", "0880", "0b", "0c05", "0c80", "13")

_PCI_CLASSES = {*(f"{number:02x}" for number in range(0x14)), "40", "ff"}
_USB_CLASSES = {
    *("01", "02", "03", "05", "06", "07", "08", "09", "0a", "0b", "0d", "0e", "0f", "10", "11", "12", "13"),
    *("14", "3c", "dc", "e0", "ef", "fe", "ff"),
}
_DEVICE_ID = re.compile(r"[0-9a-f]{4}:([0-9a-f]{4}|\*)")
_INTERFACE = re.compile(r"[0-9a-f]{2}:([0-9a-f]{2}:([0-9a-f]{2}|\*)|\*:\*)")
_PCI_CLASS = re.compile(r"([0-9a-f]{2}){1,3}")

_LINE_ENDS = "\u2028\u2029"
_PORT_WORDS = {
    Bus.USB: "a USB port looks like 1-2 or 1-2.3",
    Bus.PCI: "a PCI address looks like 0000:03:00.0",
    Bus.OPTICAL: "an optical drive looks like sr0",
}


def check_rules(rules: Sequence[Rule]) -> None:
    """Raises what `check_rule` does for the first rule that cannot be, with its id in the words."""
    for rule in rules:
        try:
            check_rule(rule)
        except Refused as error:
            raise Refused(error.code, f"Rule {rule.id}: {error.words}") from error


def check_rule(rule: Rule) -> None:
    """Raises Refused with `text_too_long`, `bad_port`, `unknown_class`, `class_needs_bus`, `bad_device_id`,
    `bad_interface`, `bus_contradicted`, `read_only_not_storage`, `never_granted` or `bad_validity`."""
    _check_texts(rule)
    _check_port(rule)
    _check_class(rule)
    _check_identity(rule)
    _check_bus(rule)
    _check_verdict(rule)
    _check_validity(rule)


def buses(rule: Rule) -> set[Bus]:
    """The buses on which the rule could match something."""
    sides = {Bus.PCI: pci_match(rule), Bus.USB: usb_match(rule), Bus.OPTICAL: optical_match(rule)}
    return {bus for bus, match in sides.items() if match is not None}


def is_board(device_class: str) -> bool:
    """Whether a PCI class, or what begins with it, belongs to the board."""
    return device_class.lower().startswith(BOARD)


def _check_texts(rule: Rule) -> None:
    for text in (rule.serial or "", rule.note, rule.port, *rule.interfaces):
        if len(text) > MAX_TEXT_CHARS:
            raise Refused("text_too_long", f"A text of a rule has at most {MAX_TEXT_CHARS} characters.")
        if any(unicodedata.category(char)[0] == "C" or char in _LINE_ENDS for char in text):
            raise Refused("bad_text", "A text of a rule holds a character that does not print; remove it.")
    if len(rule.interfaces) > MAX_INTERFACES:
        raise Refused("text_too_long", f"A rule has at most {MAX_INTERFACES} interfaces; make two rules.")


def _check_port(rule: Rule) -> None:
    if not rule.port:
        return
    shapes = [rule.bus] if rule.bus else list(Bus)
    if not any(PORTS[bus].fullmatch(rule.port.lower()) for bus in shapes):
        known = "; ".join(_PORT_WORDS[bus] for bus in shapes)
        raise Refused("bad_port", f"{rule.port!r} is no port: {known}.")


def _check_class(rule: Rule) -> None:
    given = rule.device_class.lower()
    if not given:
        return
    if rule.bus not in (Bus.PCI, Bus.USB):
        raise Refused(
            "class_needs_bus",
            "A class means one thing on PCI and another on USB (03: display, keyboard): choose which.",
        )
    if rule.bus is Bus.USB:
        if given not in _USB_CLASSES:
            raise Refused(
                "unknown_class", f"{given!r} is no class of USB interfaces, such as 08 for storage."
            )
    elif not _PCI_CLASS.fullmatch(given) or given[:2] not in _PCI_CLASSES:
        raise Refused(
            "unknown_class", f"{given!r} is no PCI class, such as 03 for display or 0403 for audio."
        )


def _check_identity(rule: Rule) -> None:
    if rule.device_id and not _DEVICE_ID.fullmatch(rule.device_id.lower()):
        raise Refused(
            "bad_device_id", f"{rule.device_id!r} is no id: write 0930:6545, or 0930:* for a maker."
        )
    for pattern in rule.interfaces:
        if not _INTERFACE.fullmatch(pattern.lower()) or pattern[:2].lower() not in _USB_CLASSES:
            raise Refused(
                "bad_interface", f"{pattern!r} is no interface: write 08:06:50, or 08:*:* for all storage."
            )


def _check_bus(rule: Rule) -> None:
    if not buses(rule):
        where = rule.bus or "any bus"
        raise Refused(
            "bus_contradicted",
            f"On {where} no device has all that this rule names: serials and interfaces are USB's, ids and"
            " classes PCI's and USB's.",
        )
    if rule.bus is Bus.USB and rule.device_class and rule.interfaces:
        whole = f"{rule.device_class.lower()}:*:*"
        if not any(fits(pattern.lower(), whole) for pattern in rule.interfaces):
            raise Refused("bus_contradicted", "None of the rule's interfaces is of its class: leave out one.")


def _check_verdict(rule: Rule) -> None:
    if rule.verdict is Verdict.READ_ONLY:
        patterns = [*rule.interfaces, *([f"{rule.device_class}:*:*"] if rule.device_class else [])]
        if buses(rule) == {Bus.PCI} or not all(fits(pattern, "08:*:*") for pattern in patterns):
            raise Refused(
                "read_only_not_storage", "Only USB storage (08) and optical drives can be made read-only."
            )
    if rule.verdict is Verdict.PASS and rule.bus is Bus.PCI and is_board(rule.device_class):
        raise Refused("never_granted", "Bridges and other parts of the board stay with the control base.")
    if rule.verdict is Verdict.PASS and rule.bus is Bus.USB and rule.device_class == "09":
        raise Refused(
            "never_granted", "USB hubs stay with the control base; what hangs on one can be granted."
        )


def _check_validity(rule: Rule) -> None:
    if rule.valid_from and rule.valid_until and in_utc(rule.valid_until) <= in_utc(rule.valid_from):
        raise Refused("bad_validity", "The rule ends before it begins: change one of the two times.")

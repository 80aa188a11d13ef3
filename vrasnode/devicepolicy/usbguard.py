"""Rules in usbguard's rule language (usbguard-rules.conf(5)), out and in. Pure.

The two languages differ, and nothing is lost in between without a word: what one of them cannot say is
refused with the rule or the line that holds it. There the first rule that matches decides, here `hide` wins:
hides are written first, and read only where they win anyway. There a device is judged as a whole, here
interface by interface: `match-all { … }` grants devices that have nothing else, `one-of { … }` blocks devices
that have any. Text that is written never grants there what is not granted here.

What there is about hubs and host controllers is not read: they stay with the control base.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import product

from msgspec.structs import replace

from vrasnode.devicepolicy.checking import check_rule, check_rules
from vrasnode.devicepolicy.matching import NARROWNESS, UsbMatch, fits, usb_match
from vrasnode.devicepolicy.usbguardlines import Attribute, Line, quoted, read_lines
from vrasnode.errors import Refused
from vrasnode.wire.devices import Bus, Rule, Scope, Verdict

MAX_RULES = 2000  # in one text
IGNORABLE = frozenset({"name", "hash", "parent-hash", "with-connect-type"})

_VERDICTS = {"allow": Verdict.PASS, "block": Verdict.HIDE, "reject": Verdict.HIDE}
_TARGETS = {Verdict.PASS: "allow", Verdict.HIDE: "block"}
_HUB = "09:*:*"
_ANYTHING = UsbMatch("", "", None, "", None)


def rules_out(rules: Sequence[Rule]) -> str:
    """The rules about USB as lines of usbguard. What else there is, is named in comments.

    Raises Refused(usbguard_cannot_say) for read-only rules and for such with a period, and what `check_rule`
    raises.
    """
    check_rules(rules)
    lines = [
        "# Made by OpenVRAS: the rules about USB of a device policy. What no rule allows has to be blocked:",
        "# ImplicitPolicyTarget=block in usbguard-daemon.conf. A device whose functions are allowed by",
        "# several rules together is allowed by OpenVRAS and not by usbguard. Hubs are not in the policy.",
    ]
    for scope in sorted({rule.scope for rule in rules}, key=lambda scope: NARROWNESS[scope]):
        lines += ["", f"# {scope}"]
        of_scope = [rule for rule in rules if rule.scope is scope]
        for rule in sorted(of_scope, key=lambda rule: rule.verdict is not Verdict.HIDE):
            lines += _written(rule)
    return "\n".join(lines) + "\n"


def rules_in(text: str, *, scope: Scope = Scope.GROUP, ignoring: Collection[str] = frozenset()) -> list[Rule]:
    """The rules of a text, numbered from 1. `reject` is hiding: the client VM sees no difference.

    `ignoring` names conditions of IGNORABLE that may be left out; the rule then matches more devices, and its
    note says so. How many interfaces of one kind a device has is not looked at. A last line that blocks
    everything is dropped for a group: what no rule grants is hidden. For a narrower scope it cannot be said.
    Raises Refused(usbguard_line) with the number of the first line that cannot be meant here.
    """
    read: list[_Read] = []
    for line in read_lines(text):
        rules = [_checked(rule, line) for rule in _rules_of(line, scope, ignoring)]
        read += [_Read(line.number, rule, match) for rule in rules if (match := usb_match(rule))]
        if len(read) > MAX_RULES:
            raise line.refused(f"there are more than {MAX_RULES} rules; write some of them as one")
    if read and read[-1].rule.verdict is Verdict.HIDE and read[-1].match == _ANYTHING:
        _check_scope(read.pop().line, scope)
    _check_order(read)
    return [_numbered(one.rule, number) for number, one in enumerate(read, 1)]


@dataclass(frozen=True)
class _Read:
    line: int
    rule: Rule
    match: UsbMatch


def _written(rule: Rule) -> list[str]:
    match = usb_match(rule)
    if match is None:
        return [f"# rule {rule.id} is about {rule.bus or 'other devices'}, not USB: not written"]
    if rule.verdict is Verdict.READ_ONLY:
        raise _cannot_say(rule, "is read-only, and usbguard allows or blocks")
    if rule.valid_from or rule.valid_until:
        raise _cannot_say(rule, "has a period, and usbguard's rules have none")
    partly = [] if rule.bus is Bus.USB or match.serial is not None else [_partly(rule)]
    return [*partly, " ".join([_TARGETS[rule.verdict], *_conditions(match, rule)])]


def _conditions(match: UsbMatch, rule: Rule) -> Iterator[str]:
    if match.vendor:
        yield f"id {match.vendor}:{match.product or '*'}"
    if match.serial is not None:
        yield f"serial {quoted(match.serial)}"
    if match.port:
        yield f"via-port {quoted(match.port)}"
    if match.interfaces is not None:
        operator = "match-all" if rule.verdict is Verdict.PASS else "one-of"
        yield f"with-interface {operator} {{ {' '.join(match.interfaces)} }}"
    if rule.note:
        yield f"label {quoted(rule.note)}"


def _partly(rule: Rule) -> str:
    return f"# rule {rule.id} is for other buses too; this is what it says about USB"


def _cannot_say(rule: Rule, why: str) -> Refused:
    return Refused("usbguard_cannot_say", f"Rule {rule.id} {why}: leave it out, or take it off first.")


def _rules_of(line: Line, scope: Scope, ignoring: Collection[str]) -> Iterator[Rule]:
    """The rules that a line means: one, or one for each combination of what it lists."""
    if line.target not in _VERDICTS:
        raise line.refused(f"a rule begins with allow, block or reject, not {line.target!r}")
    verdict = _VERDICTS[line.target]
    said, note = _sayable(line, ignoring)
    ids, serials = _either(line, said.get("id")), _either(line, said.get("serial"))
    ports = _either(line, said.get("via-port"))
    if len(ids) * len(serials) * len(ports) > MAX_RULES:
        raise line.refused(f"it means more than {MAX_RULES} rules")
    for device_id, serial, port in product(ids, serials, ports):
        yield Rule(
            id=0,
            scope=scope,
            verdict=verdict,
            bus=Bus.USB,
            device_id="" if device_id in (None, "*:*") else device_id.lower(),
            serial=serial,
            port=port or "",
            interfaces=_interfaces(line, said.get("with-interface"), verdict, named=_is_model(device_id)),
            note=note,
        )


def _sayable(line: Line, ignoring: Collection[str]) -> tuple[dict[str, Attribute], str]:
    """The conditions of a line by name, and the note: its label, and what it was read without, so that nobody
    takes the rule for as narrow as it was."""
    said = {
        attribute.name: attribute
        for attribute in line.attributes
        if attribute.name != "label" and (attribute.name, attribute.values) != ("id", ("*:*",))
    }
    ignored = [name for name in said if name in IGNORABLE and name in ignoring]
    if ignored and len(ignored) == len(said):
        raise line.refused(f"without {ignored[0]!r} it would be for every device: say which by id or serial")
    for name in said:
        if name not in {"id", "serial", "via-port", "with-interface", *ignored}:
            choice = ", or choose to ignore it" if name in IGNORABLE else ""
            raise line.refused(f"{name!r} cannot be said in a rule here: take it out{choice}")
    labels = [text for attribute in line.attributes if attribute.name == "label" for text in attribute.values]
    if len(labels) > 1:
        raise line.refused("a rule has one label")
    without = [f"[usbguard: no {', '.join(ignored)}]"] if ignored else []
    return said, " ".join([*filter(None, labels), *without])


def _either(line: Line, attribute: Attribute | None) -> Sequence[str | None]:
    """What a device may be, of an attribute of which it has one."""
    if attribute is None:
        return [None]
    single = len(attribute.values) == 1
    if attribute.operator == "none-of" or not (single or attribute.operator in ("one-of", "match-all")):
        raise line.refused(f"{attribute.name!r} with {attribute.operator!r} cannot be said here: use one-of")
    return list(dict.fromkeys(attribute.values))


def _interfaces(line: Line, attribute: Attribute | None, verdict: Verdict, *, named: bool) -> list[str]:
    """The patterns of a rule. `named`: it is for one model alone, whose interfaces are what they are."""
    if attribute is None:
        return []
    values = [value.lower() for value in dict.fromkeys(attribute.values)]
    operator, single = attribute.operator, len(values) == 1
    if all(fits(value, _HUB) for value in values):
        raise line.refused("hubs stay with the control base and need no rule: remove the line")
    exactly = operator in ("equals", "equals-ordered")
    if verdict is Verdict.PASS:
        fine, instead = operator == "match-all" or (exactly and (single or named)), "match-all"
    else:
        fine, instead = (
            operator == "one-of" or (operator == "all-of" and single) or (exactly and named),
            "one-of",
        )
    if not fine:
        raise line.refused(
            f"'with-interface' with {operator!r} cannot be said here, where each interface is judged by"
            f" itself: write {instead} {{ {' '.join(values)} }} if that is what you mean"
        )
    return values


def _is_model(device_id: str | None) -> bool:
    return device_id is not None and "*" not in device_id


def _checked(rule: Rule, line: Line) -> Rule:
    try:
        check_rule(rule)
    except Refused as error:
        raise line.refused(error.words.rstrip(".")) from error
    return rule


def _check_order(read: Sequence[_Read]) -> None:
    """Raises Refused where an earlier line allows there what would be hidden here."""
    allowed: list[_Read] = []
    for one in read:
        if one.rule.verdict is Verdict.PASS:
            allowed.append(one)
            continue
        for before in allowed:
            if _may_meet(before.match, one.match):
                raise Refused(
                    "usbguard_line",
                    f"Line {one.line}: it blocks devices that line {before.line} allows first, and here"
                    " hiding wins in any order. What no line allows is hidden anyway: remove the line, or put"
                    " it first if it is to win.",
                )


def _check_scope(line: int, scope: Scope) -> None:
    """Raises Refused where a last line that blocks everything would mean more than what no rule grants."""
    if scope is not Scope.GROUP:
        raise Refused(
            "usbguard_line",
            f"Line {line}: it blocks the rest, and here the rest is for the wider scope to decide. Remove the"
            " line, or hide what this scope may not have by a rule that names it.",
        )


def _may_meet(one: UsbMatch, other: UsbMatch) -> bool:
    """Whether there can be a device that both match."""
    pairs = ((one.vendor, other.vendor), (one.product, other.product), (one.port, other.port))
    if any(left and right and left != right for left, right in pairs):
        return False
    if None not in (one.serial, other.serial) and one.serial != other.serial:
        return False
    if one.interfaces is None or other.interfaces is None:
        return True
    return any(
        fits(left, right) or fits(right, left) for left in one.interfaces for right in other.interfaces
    )


def _numbered(rule: Rule, number: int) -> Rule:
    return replace(rule, id=number)

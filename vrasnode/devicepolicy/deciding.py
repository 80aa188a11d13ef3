"""What the rules of a device policy say of one device. Pure: rules, a device and a moment in, a decision out.

The narrowest scope (user, then client, then group) that has a rule for the device decides. Inside it deny
wins: the first `hide` that matches, else the first `pass` or `read_only`. No rule at all: hidden. A USB
device is judged interface by interface and passes only if each of them does.

Not here: whether the PC *can* do what the rules grant (`devicepolicy.planning`).
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from vrasnode.devicepolicy.matching import (
    NARROWNESS,
    UsbMatch,
    fits,
    in_utc,
    is_valid,
    optical_match,
    pci_match,
    usb_match,
)
from vrasnode.wire.devices import OpticalDrive, PciDevice, Rule, UsbDevice, Verdict

MASS_STORAGE = "08"  # USB interface class

_STRICTNESS = {Verdict.PASS: 0, Verdict.READ_ONLY: 1, Verdict.HIDE: 2}

S = TypeVar("S")


@dataclass(frozen=True)
class Decision:
    """What the policy says, and why.

    `code`: `rule` (it decided), `no_rule`, `interface_not_allowed` (no rule for one of several interfaces),
    `no_interfaces` (a USB device that shows none cannot be judged), `not_storage`, `composite_read_only`
    (`rule` said read-only of what cannot be made so: hidden).
    """

    verdict: Verdict
    rule: Rule | None
    code: str


class Rulebook:
    """The rules that are valid at one moment, made ready for many devices."""

    def __init__(self, rules: Sequence[Rule], *, now: datetime) -> None:
        valid = sorted(
            (rule for rule in rules if is_valid(rule, now=now)), key=lambda rule: NARROWNESS[rule.scope]
        )  # the order inside one scope stays
        self._pci = _sided(valid, pci_match)
        self._usb = _sided(valid, usb_match)
        self._optical = _sided(valid, optical_match)

    def pci(self, device: PciDevice) -> Decision:
        """What the rules say of a PCI function. A whole function cannot be made read-only."""
        decision = _decide(side.rule for side in self._pci if side.match.covers(device))
        if decision.verdict is Verdict.READ_ONLY:
            return Decision(Verdict.HIDE, decision.rule, "not_storage")
        return decision

    def usb(self, device: UsbDevice) -> Decision:
        """What the rules say of a USB device, all its interfaces together."""
        if not device.interfaces:
            return Decision(Verdict.HIDE, None, "no_interfaces")
        about = [side for side in self._usb if side.match.covers(device)]
        each = [
            (interface, _decide(side.rule for side in about if side.match.covers_interface(interface)))
            for interface in dict.fromkeys(device.interfaces)
        ]
        return _together(each)

    def optical(self, drive: OpticalDrive) -> Decision:
        """What the rules say of an optical drive."""
        return _decide(side.rule for side in self._optical if side.match.covers(drive))


def decide_pci(device: PciDevice, rules: Sequence[Rule], *, now: datetime) -> Decision:
    """What the rules say of a PCI function now."""
    return Rulebook(rules, now=now).pci(device)


def decide_usb(device: UsbDevice, rules: Sequence[Rule], *, now: datetime) -> Decision:
    """What the rules say of a USB device now."""
    return Rulebook(rules, now=now).usb(device)


def decide_optical(drive: OpticalDrive, rules: Sequence[Rule], *, now: datetime) -> Decision:
    """What the rules say of an optical drive now."""
    return Rulebook(rules, now=now).optical(drive)


def next_change(rules: Sequence[Rule], *, now: datetime) -> datetime | None:
    """When the next validity period begins or ends, after `now`; None when none does."""
    moments = (in_utc(moment) for rule in rules for moment in (rule.valid_from, rule.valid_until) if moment)
    return min((moment for moment in moments if moment > now), default=None)


def stricter(one: Verdict, other: Verdict) -> Verdict:
    """The one that grants less."""
    return max(one, other, key=lambda verdict: _STRICTNESS[verdict])


def grants_all_usb(rules: Sequence[Rule], *, now: datetime) -> Rule | None:
    """The rule by which every USB device passes, now and for good; None when any could ever be denied.

    Behind a controller that is passed through nothing can be hidden, and nothing taken back later.
    """
    lasting = [rule for rule in rules if rule.valid_until is None or in_utc(rule.valid_until) > now]
    for scope in NARROWNESS:
        reaching = [rule for rule in lasting if rule.scope is scope and usb_match(rule)]
        if any(rule.verdict is not Verdict.PASS for rule in reaching):
            return None
        for rule in reaching:
            if usb_match(rule) == _EVERYTHING and is_valid(rule, now=now) and rule.valid_until is None:
                return rule
    return None


_EVERYTHING = UsbMatch("", "", None, "", None)


@dataclass(frozen=True)
class _Side(Generic[S]):
    """One rule, as it looks from one bus."""

    rule: Rule
    match: S


def _sided(rules: Iterable[Rule], side: Callable[[Rule], S | None]) -> list[_Side[S]]:
    return [_Side(rule, match) for rule in rules if (match := side(rule)) is not None]


def _decide(matching: Iterable[Rule]) -> Decision:
    """Of the rules that match, narrowest scope first: who decides."""
    first: Rule | None = None
    for rule in matching:
        if first is not None and rule.scope is not first.scope:
            break
        if rule.verdict is Verdict.HIDE:
            return Decision(Verdict.HIDE, rule, "rule")
        first = first or rule
    return Decision(first.verdict, first, "rule") if first else Decision(Verdict.HIDE, None, "no_rule")


def _together(each: Sequence[tuple[str, Decision]]) -> Decision:
    """One decision of those about all interfaces: the strictest, and read-only only for storage."""
    decisions = [decision for _, decision in each]
    denied = [decision for decision in decisions if decision.verdict is Verdict.HIDE]
    for decision in denied:
        if decision.rule:
            return decision
    if denied:
        alone = len(denied) == len(decisions)
        return Decision(Verdict.HIDE, None, "no_rule" if alone else "interface_not_allowed")
    strictest = max(decisions, key=lambda decision: _STRICTNESS[decision.verdict])
    if strictest.verdict is Verdict.READ_ONLY and not all(fits(name, "08:*:*") for name, _ in each):
        mixed = any(fits(name, f"{MASS_STORAGE}:*:*") for name, _ in each)
        return Decision(Verdict.HIDE, strictest.rule, "composite_read_only" if mixed else "not_storage")
    return strictest

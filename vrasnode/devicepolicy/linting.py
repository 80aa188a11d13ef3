"""What is odd about a list of rules: rules that never decide anything. Pure.

A rule never decides when everything that it matches is decided by another one. Only one other rule is held
against it at a time: three rules that together hide a fourth are not seen. What could cover a rule is looked
up by its generalisations instead of trying all pairs, so a thousand rules take a fraction of a second.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import product

from vrasnode.devicepolicy.matching import (
    NARROWNESS,
    OpticalMatch,
    PciMatch,
    UsbMatch,
    fits,
    in_utc,
    optical_match,
    pci_match,
    usb_match,
)
from vrasnode.wire.devices import Rule, Verdict

Match = PciMatch | UsbMatch | OpticalMatch
Key = tuple[str | None, ...]


@dataclass(frozen=True)
class Remark:
    """One thing worth a look. `code` of a list: `unreachable` (`other_id` decides first), `denied` (a `hide`
    of the same scope takes all that it grants), `contradicting` (the two say pass and hide of the same),
    `overridden` (by a narrower scope), `expired`, `never_valid`. Of a PC: see `deviceplan.findings`."""

    code: str
    rule_id: int
    other_id: int | None = None
    details: Mapping[str, str] = field(default_factory=dict)


def lint(rules: Sequence[Rule], *, now: datetime | None = None) -> list[Remark]:
    """At most one remark a rule, in the order of the rules. Without `now` nothing is called expired."""
    entries = [_Entry(place, rule) for place, rule in enumerate(rules)]
    index: dict[Key, list[_Entry]] = defaultdict(list)
    for entry in entries:
        for side in entry.sides:
            index[side.key].append(entry)
    return [remark for entry in entries if (remark := _remark(entry, index, now))]


class _Side:
    """One rule seen from one bus: what it names, and all that would be as wide or wider."""

    def __init__(self, match: Match) -> None:
        self.key = _key(match)
        self.wider = _generalisations(match)
        self.interfaces = match.interfaces if isinstance(match, UsbMatch) else None

    def covers(self, other: "_Side") -> bool:
        """Whether this matches all that the other does."""
        if self.key not in other.wider:
            return False
        if self.interfaces is None or other.interfaces is None:
            return self.interfaces is None
        return all(any(fits(one, pattern) for pattern in self.interfaces) for one in other.interfaces)


class _Entry:
    """One rule in its place."""

    def __init__(self, place: int, rule: Rule) -> None:
        matches = (pci_match(rule), usb_match(rule), optical_match(rule))
        self.place = place
        self.rule = rule
        self.sides = [_Side(match) for match in matches if match is not None]
        self.begins = in_utc(rule.valid_from) if rule.valid_from else None
        self.ends = in_utc(rule.valid_until) if rule.valid_until else None

    def covers(self, other: "_Entry") -> bool:
        """Whether this matches all that the other does, whenever it does."""
        begins = self.begins is None or (other.begins is not None and self.begins <= other.begins)
        ends = self.ends is None or (other.ends is not None and other.ends <= self.ends)
        return begins and ends and all(any(one.covers(side) for one in self.sides) for side in other.sides)


def _remark(entry: _Entry, index: Mapping[Key, list[_Entry]], now: datetime | None) -> Remark | None:
    if entry.begins and entry.ends and entry.ends <= entry.begins:
        return Remark("never_valid", entry.rule.id)
    if now and entry.ends and entry.ends <= now:
        return Remark("expired", entry.rule.id)
    found = [
        (code, other)
        for other in _candidates(entry, index)
        if (code := _beaten(entry, other)) and other.covers(entry)
    ]
    if not found:
        return None
    code, other = min(found, key=lambda pair: (_CODES.index(pair[0]), pair[1].place))
    return Remark(code, entry.rule.id, other.rule.id)


_CODES = ("contradicting", "denied", "unreachable", "overridden")  # what is said when several are true


def _beaten(entry: _Entry, other: _Entry) -> str | None:
    """Why `other`, if it covers `entry`, always decides in its place; None when it does not."""
    rule, by = entry.rule, other.rule
    if NARROWNESS[by.scope] != NARROWNESS[rule.scope]:
        return "overridden" if NARROWNESS[by.scope] < NARROWNESS[rule.scope] else None
    denies, denied = by.verdict is Verdict.HIDE, rule.verdict is Verdict.HIDE
    if denies and not denied:
        return "contradicting" if entry.covers(other) else "denied"
    if denies == denied and other.place < entry.place:
        return "unreachable"
    return None


def _candidates(entry: _Entry, index: Mapping[Key, list[_Entry]]) -> Iterator[_Entry]:
    """Every other rule that names nothing that `entry` does not name."""
    for key in entry.sides[0].wider if entry.sides else ():
        yield from (other for other in index.get(key, ()) if other is not entry)


def _key(match: Match) -> Key:
    """What a match names, but for interfaces."""
    if isinstance(match, PciMatch):
        return ("pci", match.device_class, match.vendor, match.product, match.address)
    if isinstance(match, UsbMatch):
        return ("usb", match.vendor, match.product, match.serial, match.port)
    return ("optical", match.node)


def _generalisations(match: Match) -> set[Key]:
    """The keys of all matches that are as wide or wider: some of what is named left out."""
    if isinstance(match, PciMatch):
        prefixes = {match.device_class[:length] for length in (0, 2, 4, 6)}
        named = product(("pci",), prefixes, {"", match.vendor}, {"", match.product}, {"", match.address})
        return set(named)
    if isinstance(match, UsbMatch):
        serials = {None, match.serial}
        return set(product(("usb",), {"", match.vendor}, {"", match.product}, serials, {"", match.port}))
    return {("optical", ""), ("optical", match.node)}

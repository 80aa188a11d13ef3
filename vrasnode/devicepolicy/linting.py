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
        for match in entry.matches:
            index[_key(match)].append(entry)
    return [remark for entry in entries if (remark := _remark(entry, index, now))]


class _Entry:
    """One rule in its place."""

    def __init__(self, place: int, rule: Rule) -> None:
        sides = (pci_match(rule), usb_match(rule), optical_match(rule))
        self.place = place
        self.rule = rule
        self.matches: tuple[Match, ...] = tuple(side for side in sides if side is not None)
        self.begins = in_utc(rule.valid_from) if rule.valid_from else None
        self.ends = in_utc(rule.valid_until) if rule.valid_until else None


def _remark(entry: _Entry, index: Mapping[Key, list[_Entry]], now: datetime | None) -> Remark | None:
    if entry.begins and entry.ends and entry.ends <= entry.begins:
        return Remark("never_valid", entry.rule.id)
    if now and entry.ends and entry.ends <= now:
        return Remark("expired", entry.rule.id)
    found = [
        (code, other)
        for other in _candidates(entry, index)
        if (code := _beaten(entry, other)) and _covers(other, entry)
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
        return "contradicting" if _covers(entry, other) else "denied"
    if denies == denied and other.place < entry.place:
        return "unreachable"
    return None


def _candidates(entry: _Entry, index: Mapping[Key, list[_Entry]]) -> Iterator[_Entry]:
    """Every other rule that names nothing that `entry` does not name."""
    for key in _generalisations(entry.matches[0]) if entry.matches else ():
        yield from (other for other in index.get(key, ()) if other is not entry)


def _covers(wide: _Entry, narrow: _Entry) -> bool:
    begins = wide.begins is None or (narrow.begins is not None and wide.begins <= narrow.begins)
    ends = wide.ends is None or (narrow.ends is not None and narrow.ends <= wide.ends)
    return (
        begins and ends and all(any(_wider(one, match) for one in wide.matches) for match in narrow.matches)
    )


def _wider(wide: Match, narrow: Match) -> bool:
    """Whether one matches all that the other does, on the same bus."""
    if isinstance(wide, UsbMatch) and isinstance(narrow, UsbMatch):
        return _key(wide) in _generalisations(narrow) and _wider_interfaces(
            wide.interfaces, narrow.interfaces
        )
    return type(wide) is type(narrow) and _key(wide) in _generalisations(narrow)


def _wider_interfaces(wide: tuple[str, ...] | None, narrow: tuple[str, ...] | None) -> bool:
    if wide is None or narrow is None:
        return wide is None
    return all(any(fits(one, pattern) for pattern in wide) for one in narrow)


def _key(match: Match) -> Key:
    """What a match names, but for interfaces."""
    if isinstance(match, PciMatch):
        return ("pci", match.device_class, match.vendor, match.product, match.address)
    if isinstance(match, UsbMatch):
        return ("usb", match.vendor, match.product, match.serial, match.port)
    return ("optical", match.node)


def _generalisations(match: Match) -> list[Key]:
    """The keys of all matches that are as wide or wider: some of what is named left out."""
    if isinstance(match, PciMatch):
        prefixes = {match.device_class[:length] for length in (0, 2, 4, 6)}
        fields = [("pci",), prefixes, {"", match.vendor}, {"", match.product}, {"", match.address}]
        return list(product(*fields))
    if isinstance(match, UsbMatch):
        serials = {None, match.serial}
        return list(product(("usb",), {"", match.vendor}, {"", match.product}, serials, {"", match.port}))
    return [("optical", node) for node in {"", match.node}]

"""Which devices a rule is for, seen from each bus. Pure.

A rule that gives what a bus does not have (a serial of a PCI function) matches nothing there.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

from vrasnode.wire.devices import Bus, OpticalDrive, PciDevice, Rule, Scope, UsbDevice

NARROWNESS = {Scope.USER: 0, Scope.CLIENT: 1, Scope.GROUP: 2}  # the narrowest decides
PORTS = {
    Bus.PCI: re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]"),
    Bus.USB: re.compile(r"[1-9]\d{0,2}-[1-9]\d{0,2}(\.[1-9]\d{0,2}){0,6}", re.ASCII),
    Bus.OPTICAL: re.compile(r"sr\d{1,3}", re.ASCII),
}


@dataclass(frozen=True)
class PciMatch:
    """Which PCI functions a rule is for. An empty text matches all."""

    device_class: str
    vendor: str
    product: str
    address: str

    def covers(self, device: PciDevice) -> bool:
        return (
            device.device_class.lower().startswith(self.device_class)
            and self.vendor in ("", device.vendor.lower())
            and self.product in ("", device.product.lower())
            and self.address in ("", device.address.lower())
        )


@dataclass(frozen=True)
class UsbMatch:
    """Which interfaces of which USB devices a rule is for. `interfaces` None: all of them."""

    vendor: str
    product: str
    serial: str | None
    port: str
    interfaces: tuple[str, ...] | None

    def covers(self, device: UsbDevice) -> bool:
        """Whether the rule is for this device at all, as far as one of its interfaces is."""
        return (
            self.vendor in ("", device.vendor.lower())
            and self.product in ("", device.product.lower())
            and self.port in ("", device.port)
            and (self.serial is None or self.serial == (device.serial or ""))
        )

    def covers_interface(self, interface: str) -> bool:
        return self.interfaces is None or any(fits(interface, pattern) for pattern in self.interfaces)


@dataclass(frozen=True)
class OpticalMatch:
    """Which optical drives a rule is for. An empty text matches all."""

    node: str

    def covers(self, drive: OpticalDrive) -> bool:
        return self.node in ("", drive.node)


def pci_match(rule: Rule) -> PciMatch | None:
    """The PCI side of a rule; None when it can match no PCI function."""
    if not names_bus(rule, Bus.PCI) or rule.serial is not None or rule.interfaces:
        return None
    return PciMatch(rule.device_class.lower(), *_identity(rule), rule.port.lower())


def usb_match(rule: Rule) -> UsbMatch | None:
    """The USB side of a rule; None when it can match no USB device. A class is the pattern `08:*:*`."""
    if not names_bus(rule, Bus.USB):
        return None
    interfaces: tuple[str, ...] | None = (
        tuple(sorted({pattern.lower() for pattern in rule.interfaces})) or None
    )
    if rule.device_class:
        whole = f"{rule.device_class.lower()}:*:*"
        narrowed = tuple(pattern for pattern in interfaces or (whole,) if fits(pattern, whole))
        interfaces = narrowed if interfaces else (whole,)
    return UsbMatch(*_identity(rule), rule.serial, rule.port, interfaces)


def optical_match(rule: Rule) -> OpticalMatch | None:
    """The optical side of a rule; None when it can match no drive."""
    given = rule.device_class or rule.device_id or rule.serial is not None or rule.interfaces
    return None if given or not names_bus(rule, Bus.OPTICAL) else OpticalMatch(rule.port)


def names_bus(rule: Rule, bus: Bus) -> bool:
    """Whether the rule is for this bus, as far as its bus and the shape of its port say."""
    return rule.bus in (None, bus) and (not rule.port or bool(PORTS[bus].fullmatch(rule.port.lower())))


@lru_cache(maxsize=1 << 14)
def fits(interface: str, pattern: str) -> bool:
    """Whether "08:06:50" is one of "08:*:*". A pattern fits a wider one."""
    parts, wanted = interface.lower().split(":"), pattern.split(":")
    return len(parts) == len(wanted) and all(
        want in ("*", part) for part, want in zip(parts, wanted, strict=True)
    )


def is_valid(rule: Rule, *, now: datetime) -> bool:
    """Whether the rule counts at this moment: from the beginning of its period, to before its end."""
    begun = rule.valid_from is None or in_utc(rule.valid_from) <= now
    return begun and (rule.valid_until is None or now < in_utc(rule.valid_until))


def in_utc(moment: datetime) -> datetime:
    """A time of the wire: one that names no zone is in UTC."""
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _identity(rule: Rule) -> tuple[str, str]:
    vendor, _, product = rule.device_id.lower().partition(":")
    return vendor.replace("*", ""), product.replace("*", "")

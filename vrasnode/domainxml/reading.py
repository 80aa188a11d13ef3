"""What libvirt's XML of a machine says: what it runs, and what of the PC hangs on it."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from vrasnode.domainxml.devices import Handle, Kind, handle_of
from vrasnode.domainxml.parts import Mark
from vrasnode.domainxml.tree import NAMESPACE

FOREIGN = {"hostdev", "redirdev", "filesystem", "shmem", "smartcard"}  # ways from a machine to its host


@dataclass(frozen=True)
class Attached:
    """One device of the PC that a machine has. `alias` names it to libvirt, and to `detach`.

    What we did not attach has kind OTHER, and a `key` that says to a person what it is.
    """

    alias: str
    kind: Kind
    key: str
    part: str = ""

    @property
    def handle(self) -> Handle:
        return Handle(self.kind, self.key, self.part)


def mark_of(domain: str) -> Mark | None:
    """The mark in a domain's XML as libvirt gives it back.

    None when there is none that we can read: the machine is then not one of ours, or of a later agent.
    """
    root = _read(domain)
    found = None if root is None else next(root.iter(f"{{{NAMESPACE}}}machine"), None)
    if found is None or "manifest" not in found.attrib or not found.get("serial", "").isdecimal():
        return None
    return Mark(manifest=found.attrib["manifest"], serial=int(found.attrib["serial"]))


def is_favoured(domain: str) -> bool:
    """Whether the machine is to have more of the CPU than others."""
    root = _read(domain)
    found = None if root is None else next(root.iter(f"{{{NAMESPACE}}}machine"), None)
    return found is not None and found.get("favoured") == "yes"


def seal_of(definition: str) -> str:
    """A digest (SHA-256, hex) of a definition as libvirt writes it: another one after someone edited it.

    Metadata are left out, and so is the order of devices, which libvirt changes when a machine starts.
    """
    root = _read(definition)
    if root is None:
        return ""
    parts = [part for part in root if part.tag not in {"metadata", "devices"}]
    devices = sorted(map(_plain, root.iterfind("devices/*")))
    return hashlib.sha256("\n".join([*map(_plain, parts), *devices]).encode()).hexdigest()


def attached_of(domain: str) -> list[Attached]:
    """What of the PC a running machine has, in the order of its XML: all but its own disk and its cards."""
    root = _read(domain)
    return [] if root is None else list(_attached(root))


def card_with_link(domain: str, mac: str, *, up: bool) -> str | None:
    """The XML of the network card with this address, its cable plugged in or not; None: there is none."""
    root = _read(domain)
    for card in [] if root is None else root.iterfind("devices/interface"):
        address = card.find("mac")
        if address is None or address.get("address", "").lower() != mac.lower():
            continue
        for link in card.findall("link"):
            card.remove(link)
        card.append(Element("link", {"state": "up" if up else "down"}))
        return ElementTree.tostring(card, encoding="unicode")
    return None


def _attached(root: Element) -> Iterator[Attached]:
    for device in root.iterfind("devices/*"):
        if not _is_of_the_pc(device):
            continue
        found = device.find("alias")
        alias = "" if found is None else found.get("name", "")
        handle = handle_of(alias)
        if handle is None:
            yield Attached(alias, Kind.OTHER, _words(device))
        else:
            yield Attached(alias, handle.kind, handle.key, handle.part)


def _is_of_the_pc(device: Element) -> bool:
    if device.tag == "disk":
        return device.find("boot") is None
    return device.tag in FOREIGN or (device.tag, device.get("type")) == ("interface", "hostdev")


def _words(device: Element) -> str:
    """ "hostdev usb 0x0930 0x6545", "disk /dev/sdb": enough for a person to find it."""
    source = device.find("source")
    values = [] if source is None else [value for part in source.iter() for value in part.attrib.values()]
    kind = device.get("type", "")
    return " ".join([device.tag, *([kind] if device.tag != "disk" else []), *values])


def _plain(part: Element) -> str:
    return ElementTree.canonicalize(ElementTree.tostring(part, encoding="unicode"), strip_text=True)


def _read(xml: str) -> Element | None:
    try:
        return ElementTree.fromstring(xml)  # noqa: S314 - it comes from libvirt, which parsed it
    except ElementTree.ParseError:
        return None

"""Names of devices by their ids, from the lists that distributions keep (hwdata: pci.ids, usb.ids).

A convenience for people: where a list is missing a device has no name and everything else goes on.
"""

import functools
from pathlib import Path

from vrasnode.host import kerneltree

PCI_IDS, USB_IDS = Path("/usr/share/misc/pci.ids"), Path("/usr/share/misc/usb.ids")


@functools.lru_cache(maxsize=1024)
def name_of(ids: Path, vendor: str, product: str) -> str:
    """The maker's and the product's name, as far as the list at `ids` knows them; empty where it does not.

    `vendor` and `product` are four hex digits in lower case.
    """
    text = _list(ids)
    start = text.find(f"\n{vendor}  ")
    if start < 0:
        return ""
    maker, _, products = text[start + 1 : start + 400_000].partition("\n")
    name = maker[len(vendor) :]
    for line in products.splitlines():
        if not line.startswith(("\t", "#")):  # the next maker
            break
        if line.startswith(f"\t{product}  "):
            name += " " + line[len(product) + 1 :]
            break
    return kerneltree.clean(name)


@functools.cache
def _list(ids: Path) -> str:
    try:
        return "\n" + ids.read_text("utf-8", "replace")
    except OSError:
        return ""

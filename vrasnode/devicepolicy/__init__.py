"""A device policy: what its rules say of a device, whether a rule makes sense, and what is odd about a list.

Pure: rules, devices and moments in, decisions and remarks out. What becomes of a device on a PC, which may
be unable to do what the rules grant, is `planning`'s.
"""

from vrasnode.devicepolicy.checking import check_rule, check_rules
from vrasnode.devicepolicy.deciding import (
    Decision,
    Rulebook,
    decide_optical,
    decide_pci,
    decide_usb,
    grants_all_usb,
    next_change,
    stricter,
)
from vrasnode.devicepolicy.linting import Remark, lint
from vrasnode.devicepolicy.matching import in_utc, is_valid, optical_match, pci_match, usb_match

__all__ = [
    "Decision",
    "Remark",
    "Rulebook",
    "check_rule",
    "check_rules",
    "decide_optical",
    "decide_pci",
    "decide_usb",
    "grants_all_usb",
    "in_utc",
    "is_valid",
    "lint",
    "next_change",
    "optical_match",
    "pci_match",
    "stricter",
    "usb_match",
]

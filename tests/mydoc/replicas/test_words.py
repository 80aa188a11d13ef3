"""Whatever a copy can end with has a sentence in the portal, and something to do where it stays so."""

import re
from pathlib import Path

import pytest

import vrasnode
from mydoc.replicas import words
from vrasnode.copies import running
from vrasnode.servicevm.guest import copying

SOURCE = Path(vrasnode.__file__).parent
ENDS = {code for _said, code in copying.SAYINGS} | {"restic_failed", "volume_full", "guest_failed"}
ENDS |= set(re.findall(r'Failed\("([a-z_]+)"', (SOURCE / "servicevm/guest/copying.py").read_text()))
ENDS |= set(re.findall(r'Refused\("([a-z_]+)"', (SOURCE / "copies/running.py").read_text()))
ENDS |= running.GONE - {"no_such_run"}  # of a virtual server that was started anew: it goes on by itself


@pytest.mark.parametrize("code", sorted(ENDS))
def test_what_a_copy_can_end_with_is_said_in_words(code: str) -> None:
    assert words.words_of(code) != code

"""Many digests in little memory: 32 bytes each and a hash table of 8, no Python object per digest.

An image of a million chunks costs 40 MB here and 150 MB in a `set`; the publisher's and the agent's memory
bounds rest on this.
"""

from array import array

from vrasnode.chunks.hashing import DIGEST_BYTES, Buffer

_FIRST_SLOTS = 1024


class DigestList:
    """Digests in the order they were appended (repeats too), with a fast look-up of where each came first."""

    def __init__(self, digests: Buffer = b"") -> None:
        """Starts with the digests that lie back to back in `digests` (copied)."""
        self.digests = bytearray(digests)
        self._distinct = 0
        slots = _FIRST_SLOTS
        while slots < 2 * len(self):
            slots *= 2
        self._slots = _empty(slots)
        for index in range(len(self)):
            self._enter(bytes(self[index]), index)

    def __len__(self) -> int:
        return len(self.digests) // DIGEST_BYTES

    def __getitem__(self, index: int) -> bytearray:
        return self.digests[index * DIGEST_BYTES : (index + 1) * DIGEST_BYTES]

    def __contains__(self, digest: object) -> bool:
        return isinstance(digest, bytes) and self.find(digest) is not None

    def find(self, digest: bytes) -> int | None:
        """Where `digest` was appended first, or None."""
        entry = self._slots[self._slot(digest)]
        return entry - 1 if entry else None

    def append(self, digest: bytes) -> bool:
        """Appends `digest`; True when it was not there before."""
        index = len(self)
        self.digests += digest
        if 2 * (self._distinct + 1) > len(self._slots):
            self._grow()
        return self._enter(digest, index)

    def _slot(self, digest: bytes) -> int:
        """The slot that holds `digest`, or the free one where it belongs."""
        slots, digests, mask = self._slots, self.digests, len(self._slots) - 1
        slot = hash(digest) & mask  # keyed by Python: nobody can choose digests that collide here
        while entry := slots[slot]:
            start = (entry - 1) * DIGEST_BYTES
            if digests[start : start + DIGEST_BYTES] == digest:
                break
            slot = (slot + 1) & mask
        return slot

    def _enter(self, digest: bytes, index: int) -> bool:
        slot = self._slot(digest)
        if self._slots[slot]:
            return False
        self._slots[slot] = index + 1
        self._distinct += 1
        return True

    def _grow(self) -> None:
        entries = self._slots
        self._slots = _empty(2 * len(entries))
        self._distinct = 0
        for entry in entries:
            if entry:
                self._enter(bytes(self[entry - 1]), entry - 1)


def _empty(slots: int) -> "array[int]":
    return array("I", bytes(4 * slots))

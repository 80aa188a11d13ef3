import hashlib

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from vrasnode.chunks.hashing import digest_of, merkle_root
from vrasnode.errors import Refused


def tree_hash(leaves: list[bytes]) -> bytes:
    """RFC 6962 §2.1, word by word."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return hashlib.sha256(b"\x01" + tree_hash(leaves[:split]) + tree_hash(leaves[split:])).digest()


@given(st.lists(st.binary(max_size=8), max_size=40))
def test_the_root_is_the_tree_hash_of_rfc_6962(leaves: list[bytes]) -> None:
    assert merkle_root(iter(leaves), hash=digest_of("sha256")) == tree_hash(leaves)


def test_a_node_cannot_be_passed_off_as_a_leaf() -> None:
    digest = digest_of("blake3")
    node = digest(b"\x00a") + digest(b"\x00b")
    assert merkle_root([node], hash=digest) != merkle_root([b"a", b"b"], hash=digest)


def test_both_hashes_that_manifests_may_name_are_the_standard_ones() -> None:
    assert digest_of("blake3")(b"chunk") == blake3(b"chunk").digest()
    assert digest_of("sha256")(memoryview(b"chunk")) == hashlib.sha256(b"chunk").digest()


def test_an_unknown_hash_is_refused_by_name() -> None:
    with pytest.raises(Refused, match=r"md5.*blake3, sha256") as refused:
        digest_of("md5")
    assert refused.value.code == "unknown_hash"

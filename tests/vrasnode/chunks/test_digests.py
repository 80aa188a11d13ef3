from hypothesis import given
from hypothesis import strategies as st

from vrasnode.chunks.digests import DigestList
from vrasnode.chunks.hashing import digest_of


def digests(numbers: list[int]) -> list[bytes]:
    return [digest_of("blake3")(number.to_bytes(4, "little")) for number in numbers]


@given(st.lists(st.integers(0, 50), max_size=120))
def test_a_list_remembers_where_each_digest_came_first(numbers: list[int]) -> None:
    given_ones = digests(numbers)

    found = DigestList()
    new = [found.append(digest) for digest in given_ones]

    assert new == [digest not in given_ones[:index] for index, digest in enumerate(given_ones)]
    assert [found.find(digest) for digest in given_ones] == [
        given_ones.index(digest) for digest in given_ones
    ]
    assert bytes(found.digests) == b"".join(given_ones)


def test_a_list_of_many_thousands_finds_them_all_and_nothing_else() -> None:
    many = digests(list(range(5000)))

    grown = DigestList()
    for digest in many:
        grown.append(digest)
    loaded = DigestList(b"".join(many))

    for found in (grown, loaded):
        assert all(found.find(digest) == index for index, digest in enumerate(many))
        assert not any(digest in found for digest in digests(list(range(5000, 6000))))

"""Names as bytes: what people read of them deceives nobody, and every one of them has an address."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mydoc import bytepaths

NAMES = {
    "見積 2026.xlsx": "見積 2026.xlsx",
    "🗾 map.png": "🗾 map.png",
    "👩\u200d💻.txt": "👩\u200d💻.txt",
    "全角\u3000空白": "全角\u3000空白",
    "invoice\u202efdp.exe": "invoice\\u202efdp.exe",
    "two\nlines": "two\\x0alines",
    "zero\u200bwidth": "zero\\u200bwidth",
    "joined\u200dletters": "joined\\u200dletters",
    "back\\slash": "back\\\\slash",
    "<script>": "<script>",
    "private\uf022": "private\\uf022",
    "a\u00a0b": "a\\xa0b",
}


@pytest.mark.parametrize(("name", "text"), NAMES.items(), ids=map(ascii, NAMES))
def test_a_name_is_shown_as_it_is_and_what_cannot_be_seen_as_its_code(name: str, text: str) -> None:
    assert bytepaths.shown(name.encode()) == text


def test_bytes_that_are_no_text_are_shown_one_by_one() -> None:
    assert bytepaths.shown(b"caf\xe9 \xff.txt") == "caf\\xe9 \\xff.txt"


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_two_names_are_never_shown_alike(one: bytes, other: bytes) -> None:
    assert (bytepaths.shown(one) == bytepaths.shown(other)) == (one == other)


@given(st.lists(st.binary(min_size=1, max_size=255), min_size=1, max_size=12))
def test_every_path_has_one_address_and_comes_back_from_it(names: list[bytes]) -> None:
    path = b"/".join(name.replace(b"/", b"-").replace(b"\0", b"0").replace(b".", b"x") for name in names)

    assert bytepaths.path_of(bytepaths.word(path)) == path
    assert bytepaths.word(path).replace("-", "").replace("_", "").isalnum() or not path


def test_the_root_has_an_address_too() -> None:
    assert bytepaths.word(b"") == "-"
    assert bytepaths.path_of("-") == bytepaths.path_of("") == b""


@pytest.mark.parametrize(
    "path", [b"..", b"a/../b", b"./a", b"/etc", b"a/", b"a//b", b"a\0b", b"x" * 256, b"a/" * 2100 + b"a"]
)
def test_what_would_lead_elsewhere_is_no_path(path: bytes) -> None:
    with pytest.raises(ValueError, match=r"path|name"):
        bytepaths.path_of(bytepaths.word(path))


@pytest.mark.parametrize("text", ["1", "a b", "YQ==", "YR", "見積", "YQ\n", "+/+/", "a" * 9000])
def test_what_no_path_is_written_as_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"path|name"):
        bytepaths.path_of(text)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("営業/見積 2026.xlsx".encode(), "見積 2026.xlsx"),
        (b"a/b\r\nSet-Cookie: x", "b__Set-Cookie_ x"),
        (b'q"uo\\te', "q_uo_te"),
        (b"caf\xe9", "caf_"),
        ("x\u202egnp.exe".encode(), "x_gnp.exe"),
        (b"...", "file"),
        (b" .hidden", "hidden"),
    ],
)
def test_a_file_is_saved_under_a_name_that_no_system_minds(path: bytes, name: str) -> None:
    assert bytepaths.saved_as(path) == name


def test_a_path_lies_within_a_folder_by_whole_names() -> None:
    assert bytepaths.within(b"a/b", b"a")
    assert bytepaths.within(b"a", b"a")
    assert bytepaths.within(b"a", b"")
    assert not bytepaths.within(b"ab", b"a")

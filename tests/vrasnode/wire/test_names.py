import unicodedata

import pytest

from vrasnode.errors import Refused
from vrasnode.wire.names import check_name, skeleton


@pytest.mark.parametrize(
    "name", ["office-desktop", "Windows 11 v2.1", "営業部 標準PC", "админ", "Γραφείο", "x", "x" * 64]
)
def test_names_of_all_languages_are_allowed(name: str) -> None:
    assert check_name(name) == unicodedata.normalize("NFC", name)


def test_a_name_is_kept_in_one_spelling_of_its_letters() -> None:
    assert check_name("Bu\u0308ro") == "B\u00fcro"


@pytest.mark.parametrize(
    "name",
    [
        "",
        "x" * 65,
        "../etc/passwd",
        "a/b",
        "a\\b",
        "a:b",
        "a\nb",
        "a\x00b",
        "a\u202eb",  # turns the direction of text
        "a\u200bb",  # a space of no width
        "a\u3164b",  # a letter that shows nothing
        "a\ufe0fb",  # a variation selector
        "\u0301a",  # a mark with nothing under it
        "a\u00a0b",  # a space that is not one
        "\ud800",  # half a character
        " a",
        "a ",
        ".hidden",
        "a.",
        "\u0430dmin",  # Cyrillic and Latin in one word
        "\u03bfffice",  # Greek and Latin
        "\uff41\u0430",  # full-width Latin and Cyrillic
    ],
)
def test_a_name_that_hides_something_is_refused(name: str) -> None:
    with pytest.raises(Refused) as refused:
        check_name(name)
    assert refused.value.code == "bad_name"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Office", "office"),
        ("Ｏｆｆｉｃｅ", "office"),
        ("ﬁnance", "finance"),
        ("сору", "copy"),  # all Cyrillic
        ("ΡΟΡΤ", "POPT"),  # all Greek
        ("a  b", "a b"),
        ("サーバ", "サ一バ"),  # kanji "one" for the long-vowel mark
        ("ニ番館", "二番館"),
        ("ｻｰﾊﾞ", "サーバ"),
    ],
)
def test_names_that_look_alike_count_as_the_same(one: str, other: str) -> None:
    assert skeleton(check_name(one)) == skeleton(check_name(other))


def test_names_that_look_different_are_different() -> None:
    names = ["office", "office-2", "office 2", "營業", "営業", "админ", "дмин", "master.1", "master_1"]
    assert len({skeleton(name) for name in names}) == len(names)

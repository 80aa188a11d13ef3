"""Names that people give to images, PCs and groups: what may be in one, and which two would look alike.

A name is shown in lists, typed on command lines and put into file names by people, so it holds nothing that
hides, turns the direction of text, or means something to a shell or a path. People's own names are not for
here.
"""

import unicodedata

from vrasnode.errors import Refused

MAX_NAME_CHARS = 64

_EXTRA = frozenset(" ._-")
# Letters and marks that show nothing: joiner, Hangul fillers, Khmer vowels, variation selectors.
_INVISIBLE = {0x34F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFFA0, *range(0x180B, 0x1810)}
_INVISIBLE |= {*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)}
_WORDS = (
    "A name has 1 to 64 letters, digits, spaces, dots, hyphens or underscores, and neither begins nor ends"
    " with a space or a dot"
)

# What looks like Latin in common fonts, after NFKC and case folding (a small part of the confusables of
# Unicode UTS #39: the two scripts in which whole words can be imitated).
_CYRILLIC = dict(zip("авгеѕіјкмнорстухѡьһԁԛԝӏ", "abresijkmhopctyxwbhdqwl", strict=True))
_GREEK = dict(zip("αβγεζηικνορτυχω", "abyezniknoptuxw", strict=True))
# Katakana beside the kanji that it imitates, and the two kana that are the same in both syllabaries.
_KANA = dict(zip("カロニエタトハーミヘベペへべぺ", "力口二工夕卜八一三へべぺへべぺ", strict=True))
_LOOK_ALIKES = str.maketrans({**_CYRILLIC, **_GREEK, **_KANA, "ı": "i", "ł": "l", "ø": "o", "đ": "d"})


def check_name(name: str) -> str:
    """The name as it is kept (NFC). Raises Refused(bad_name), saying what to change."""
    name = unicodedata.normalize("NFC", name)
    if not 0 < len(name) <= MAX_NAME_CHARS:
        raise _bad(f"{_WORDS}; this one has {len(name)} characters.")
    for char in name:
        if not _is_allowed(char):
            raise _bad(
                f"{_WORDS}; this one holds U+{ord(char):04X} {unicodedata.name(char, '')}".rstrip() + "."
            )
    if name[0] in " ." or name[-1] in " ." or unicodedata.combining(name[0]):
        raise _bad(f"{_WORDS}.")
    scripts = {_script(char) for char in unicodedata.normalize("NFKC", name)} - {""}
    if len(scripts) > 1:
        raise _bad(
            f"A name mixes no {' and '.join(sorted(scripts))} letters: they look alike. Use one of them."
        )
    return name


def skeleton(name: str) -> str:
    """What names are compared by: two names with the same skeleton look the same and cannot both exist."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    return " ".join(folded.translate(_LOOK_ALIKES).split())


def _is_allowed(char: str) -> bool:
    return char in _EXTRA or (unicodedata.category(char)[0] in "LMN" and ord(char) not in _INVISIBLE)


def _script(char: str) -> str:
    """Of the scripts that imitate each other, the one of `char`; "" for all others."""
    words = unicodedata.name(char, "").split(" ")
    return next((script for script in ("LATIN", "CYRILLIC", "GREEK") if script in words[:3]), "").capitalize()


def _bad(words: str) -> Refused:
    return Refused("bad_name", words)

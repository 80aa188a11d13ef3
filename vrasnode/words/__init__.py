"""Codes of plan, policy, preflight and events as sentences in Japanese and English: the same words on the PC
and in the portal. Pure.

A sentence may name details: `{rule}`. A detail called `reason_code` is itself a code, and is said as
`{reason}`. Texts of the portal's pages are gettext's, not ours.
"""

from collections.abc import Mapping

from vrasnode.words.documents import TABLE as _DOCUMENTS
from vrasnode.words.leases import TABLE as _LEASES
from vrasnode.words.page import TABLE as _PAGE
from vrasnode.words.policy import TABLE as _POLICY
from vrasnode.words.preflight import TABLE as _PREFLIGHT

LANGUAGES = ("en", "ja")
FALLBACK = "en"
NOTHING: Mapping[str, str] = {}

Table = Mapping[str, Mapping[str, str]]  # code -> language -> sentence

_TABLES: tuple[Table, ...] = (_POLICY, _PAGE, _PREFLIGHT, _DOCUMENTS, _LEASES)


def say(code: str, language: str, details: Mapping[str, str] = NOTHING) -> str:
    """The sentence for a code, with its details. A code that is not known comes back as it is, so that a page
    never fails because a PC is newer; a language that is not known ("ja-jp" is) gets English."""
    sentences = next((table[code] for table in _TABLES if code in table), None)
    if sentences is None:
        return code
    known = language.partition("-")[0].lower()
    return sentences.get(known, sentences[FALLBACK]).format_map(_Said(details, known))


def known_codes() -> set[str]:
    """Every code that has words."""
    return {code for table in _TABLES for code in table}


class _Said(dict[str, str]):
    """Details as a sentence needs them; one that is missing is a dash."""

    def __init__(self, details: Mapping[str, str], language: str) -> None:
        # Codes inside are said with the plain details, so one that names itself ends there.
        plain = {key: value for key, value in details.items() if not key.endswith("_code")}
        inner = {
            key.removesuffix("_code"): say(value, language, plain)
            for key, value in details.items()
            if key.endswith("_code")
        }
        super().__init__({**plain, **inner})

    def __missing__(self, key: str) -> str:
        return "–"

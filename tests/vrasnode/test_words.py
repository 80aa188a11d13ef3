"""Every code has a sentence in both languages, and both name the same details."""

import re
import string
from pathlib import Path

import pytest

import vrasnode
from tests.vrasnode.policycast import GROUP, PASS
from vrasnode import devicepolicy, words
from vrasnode.devicepolicy import linting
from vrasnode.machines import passing
from vrasnode.wire.devices import DeviceHappening, Fate, Need, Scope, Verdict

CODES = sorted(words.known_codes())
PACKAGE = Path(vrasnode.__file__).parent


def _fields(sentence: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(sentence) if name is not None}


def _table() -> dict[str, dict[str, str]]:
    return {code: dict(table[code]) for table in words._TABLES for code in table}


@pytest.mark.parametrize("code", CODES)
def test_a_code_is_said_in_both_languages_with_the_same_details(code: str) -> None:
    sentences = _table()[code]

    assert set(sentences) == set(words.LANGUAGES)
    assert all(sentence.strip() for sentence in sentences.values())
    assert _fields(sentences["en"]) == _fields(sentences["ja"])
    assert re.search("[ぁ-んァ-ヶ一-龠]", sentences["ja"])


def test_a_code_is_in_one_table_alone() -> None:
    assert sum(len(table) for table in words._TABLES) == len(CODES)


def _named_in(*paths: Path) -> set[str]:
    """Codes in the source: what is refused, planned and remarked."""
    code = r"\"([a-z]+(?:_[a-z]+)*)\""
    marks = (
        rf"Refused\(\s*{code}",
        rf"Remark\({code}",
        rf"Decision\([^\n]*{code}",
        rf"(?:fixed|_pci|_whole)\([^\n]*?{code}",
        rf"return {code}$",
        rf"code={code}",
        rf"{code} if (?:alone|mixed) else {code}",
    )
    text = "\n".join(path.read_text() for path in paths)
    found = [match for mark in marks for match in re.findall(mark, text, re.MULTILINE)]
    return {one for match in found for one in ([match] if isinstance(match, str) else match)}


def test_every_code_of_policy_and_plan_has_words() -> None:
    modules = Path(devicepolicy.__file__).parent.glob("*.py")
    named = _named_in(*(one for one in modules if not one.name.startswith("usbguard")))  # says its own words

    assert {"no_rule", "group_shared", "with_controller", "no_iommu", "bad_port", "never_valid"} <= named
    assert named - words.known_codes() == set()


def test_every_remark_about_a_list_has_words() -> None:
    assert {*linting._CODES} <= words.known_codes()


def test_every_code_of_what_happened_to_a_device_has_words() -> None:
    named = {
        *(found for found in _named_in(PACKAGE / "devices" / "part.py") if found != "code"),
        passing.UNHEALTHY,
        *("pass_through_failed", "attach_failed", "detach_failed", "device_held", "foreign"),
    }

    assert {"definition_changed"} <= named <= words.known_codes()


def test_every_fate_verdict_scope_need_and_happening_has_words() -> None:
    named = [
        *(f"fate.{fate}" for fate in Fate),
        *(f"verdict.{verdict}" for verdict in Verdict),
        *(f"scope.{scope}" for scope in Scope),
        *(f"needed_{need}" for need in Need),
        *(f"happening.{happening}" for happening in DeviceHappening),
    ]

    assert set(named) <= words.known_codes()


def test_details_that_are_codes_are_said_too() -> None:
    details = {"rule": "7", "scope_code": f"scope.{GROUP}", "verdict_code": f"verdict.{PASS}"}

    assert words.say("rule", "en", details) == "Rule 7 (group) says: pass."
    assert words.say("rule", "ja", details) == "ルール7（グループ）により「許可」です。"


def test_a_reason_inside_a_reason_is_said_in_the_same_language() -> None:
    details = {"others": "SATA (0000:00:17.0)", "reason_code": "needed_disk"}

    said = words.say("group_shared", "ja", details)

    assert "SATA (0000:00:17.0)" in said
    assert words.say("needed_disk", "ja") in said


@pytest.mark.parametrize(
    ("language", "said"), [("ja-jp", "遮蔽"), ("JA", "遮蔽"), ("fr", "hidden"), ("", "hidden")]
)
def test_a_language_that_is_not_known_is_english(language: str, said: str) -> None:
    assert words.say("fate.hidden", language) == said


def test_an_unknown_code_is_said_as_it_is() -> None:
    assert words.say("of_a_newer_pc", "ja", {"rule": "1"}) == "of_a_newer_pc"


def test_a_detail_that_is_missing_is_a_dash_and_braces_in_one_are_text() -> None:
    assert words.say("rule_matches_nothing", "en", {"port": "{rule}"}).startswith("Rule – names {rule},")


def test_a_reason_that_names_itself_ends() -> None:
    assert words.say("group_shared", "en", {"reason_code": "group_shared"})

"""Every sentence that the product says can be said in Japanese."""

import shutil
from pathlib import Path

import polib
import pytest
from django.core.management import call_command

ROOT = Path(__file__).parents[1]
CATALOGUE = ROOT / "locale/ja/LC_MESSAGES/django.po"
SOURCES = ["checkout", "clients", "config", "imaging", "mydoc", "templates"]


def said_by_the_source(copy: Path) -> set[str]:
    """Every msgid that gettext finds in Python and templates."""
    for name in SOURCES:
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "locale").mkdir()
    call_command("makemessages", locale=["ja"], verbosity=0)
    return {entry.msgid for entry in polib.pofile(str(copy / "locale/ja/LC_MESSAGES/django.po"))}


def test_no_string_is_untranslated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: object) -> None:
    monkeypatch.chdir(tmp_path)
    settings.LOCALE_PATHS = [tmp_path / "locale"]  # type: ignore[attr-defined]

    said = said_by_the_source(tmp_path)

    translated = {entry.msgid for entry in polib.pofile(str(CATALOGUE)) if entry.translated()}
    assert sorted(said - translated) == []


def test_no_translation_is_a_guess_or_out_of_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: object
) -> None:
    monkeypatch.chdir(tmp_path)
    settings.LOCALE_PATHS = [tmp_path / "locale"]  # type: ignore[attr-defined]

    said = said_by_the_source(tmp_path)

    kept = polib.pofile(str(CATALOGUE))
    assert [entry.msgid for entry in kept if entry.fuzzy or entry.obsolete] == []
    assert sorted({entry.msgid for entry in kept} - said) == []

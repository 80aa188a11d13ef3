"""People are called in the order in which the reader's language has their names."""

import pytest
from django.contrib.auth.models import User
from django.utils import translation

from clients.people import calling


@pytest.mark.parametrize(("language", "name"), [("ja", "佐藤 葵"), ("en", "葵 佐藤")])
def test_the_family_name_comes_first_for_who_reads_japanese(language: str, name: str) -> None:
    sato = User(username="sato", first_name="葵", last_name="佐藤")

    with translation.override(language):
        assert calling.name_of(sato) == name
        assert calling.name_of(User(username="kato")) == "kato"

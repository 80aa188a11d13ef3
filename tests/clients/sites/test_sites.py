"""Sites and hours: which site an address is at, and how fast its PCs may fetch at what hour (row T8)."""

from datetime import UTC, datetime

import pytest
from django.core.exceptions import ValidationError
from hypothesis import given
from hypothesis import strategies as st

from clients import hours
from clients.errors import Refusal
from clients.models import Client, Site
from clients.sites.finding import Sites, site_of
from tests.pcs import FakePc

MONDAY_10_H = datetime(2026, 11, 30, 1, tzinfo=UTC)  # in Tokyo
SATURDAY_NOON = datetime(2026, 12, 5, 3, tzinfo=UTC)


def test_a_site_is_found_by_the_address_and_the_narrower_range_wins(db: None) -> None:
    company = Site.objects.create(name="company", ranges="10.0.0.0/8, fc00::/7")
    osaka = Site.objects.create(name="Osaka", ranges="10.2.0.0/16")

    assert [site_of(one) for one in ("10.1.2.3", "10.2.3.4", "fc00::7", "::ffff:10.2.3.4")] == [
        company,
        osaka,
        company,
        osaka,
    ]
    assert [Sites().of(one) for one in ("192.0.2.1", "", None, "unix:")] == [None] * 4


def test_the_address_of_a_pc_is_that_of_its_last_call(pc: FakePc) -> None:
    pc.get("/node/v1/desired")

    assert Client.objects.get().address == "127.0.0.1"


def test_the_rate_of_a_site_follows_weekday_and_hour_of_its_clock() -> None:
    site = Site(name="Osaka", rates="mon-fri 9-18 10Mbit/s\n土,日 0-24 off")

    assert site.rate_bytes_s(MONDAY_10_H) == 1_250_000
    assert site.rate_bytes_s(SATURDAY_NOON) == 0
    assert site.rate_bytes_s(MONDAY_10_H.replace(hour=11)) is None  # 20 h


def test_a_later_line_wins_and_a_night_reaches_into_the_next_day() -> None:
    week = hours.rates("daily 0-24 off; sun 22-6 500kB/s")

    assert (week[6 * 24 + 21], week[6 * 24 + 22], week[0], week[5], week[6]) == (
        0,
        500_000,
        500_000,
        500_000,
        0,
    )


def test_a_window_is_the_hours_that_are_named_and_none_is_always() -> None:
    assert hours.windows(" ") is None
    assert hours.windows("月－水　22-24") == {22, 23, 46, 47, 70, 71}


@pytest.mark.parametrize(
    "text",
    [
        "mon",
        "mon 9",
        "mon 9-9",
        "mon 24-3",
        "mon 9-25",
        "moon 9-18",
        "mon-xy 1-2",
        "mon 9-18 fast",
        "x" * 3000,
    ],
)
def test_what_is_not_understood_is_said_with_an_example(text: str) -> None:
    with pytest.raises(Refusal) as refusal:
        hours.rates(text)

    assert refusal.value.code == "bad_hours"


@given(st.text(max_size=80))
def test_no_text_whatever_breaks_the_reading_of_hours(text: str) -> None:
    try:
        week = hours.rates(text)
    except Refusal as refusal:
        assert refusal.code == "bad_hours"
    else:
        assert len(week) == hours.HOURS


@pytest.mark.parametrize("ranges", ["", "10.0.0.0/40", "office", "10.0.0.1/8"])
def test_a_site_without_a_proper_range_is_refused(ranges: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Site(name="Osaka", ranges=ranges).clean_fields()

    assert "ranges" in refused.value.error_dict

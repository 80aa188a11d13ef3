"""Who is this PC? Signed requests: whole, fresh, once, by the right key."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.test import Client as Browser

from clients.enrolment import identity
from clients.enrolment.identity import NodeRequest
from tests.pcs import FakePc

DESIRED = "/node/v1/desired"


def ask(headers: dict[str, str], path: str = DESIRED) -> Any:
    return Browser().get(path, headers=headers)


def test_a_signed_request_is_known(pc: FakePc) -> None:
    assert ask(pc.sign("GET", DESIRED, b"")).status_code == 200


def test_an_unsigned_request_is_not(pc: FakePc) -> None:
    answer = ask({})

    assert (answer.status_code, answer.json()["code"]) == (401, "not_signed")


def test_a_request_is_good_once(pc: FakePc) -> None:
    headers = pc.sign("GET", DESIRED, b"")
    ask(headers)

    answer = ask(headers)

    assert (answer.status_code, answer.json()["code"]) == (401, "replayed")


def test_a_signature_for_another_address_does_not_count(pc: FakePc) -> None:
    answer = ask(pc.sign("GET", "/node/v1/certificate", b""))

    assert answer.json()["code"] == "bad_signature"


def test_a_changed_body_is_refused(pc: FakePc) -> None:
    path = "/node/v1/reports/imaging"
    headers = pc.sign("POST", path, b'{"serial":1,"stage":"booted"}')

    answer = Browser().post(
        path, b'{"serial":2,"stage":"booted"}', content_type="application/json", headers=headers
    )

    assert answer.json()["code"] == "bad_digest"


def test_another_pcs_key_does_not_open(pc: FakePc, enrol: Callable[..., FakePc]) -> None:
    other = enrol("pc-2")
    other.client = pc.client

    assert ask(other.sign("GET", DESIRED, b"")).json()["code"] == "bad_signature"


def test_a_clock_more_than_five_minutes_off_is_told(pc: FakePc, now: datetime) -> None:
    answer = ask(pc.sign("GET", DESIRED, b"", created=int(now.timestamp()) - 301))

    assert answer.json()["code"] == "clock_skew"


def test_a_waiting_pc_gets_its_certificate_door_and_no_other(enrol: Callable[..., FakePc]) -> None:
    pc = enrol("pc-2", approved=False)

    assert pc.get("/node/v1/certificate").json()["state"] == "pending"
    assert pc.get(DESIRED).json()["code"] == "pending"


def test_behind_the_front_a_certificate_counts_only_with_its_secret(
    pc: FakePc, now: datetime, settings: Any
) -> None:
    from urllib.parse import quote

    settings.IDENTITY = "mtls"
    settings.FRONT_SECRET = "known to nginx alone"
    headers = {"x-client-verify": "SUCCESS", "x-client-cert": quote(pc.client.certificate)}

    def who(**more: str) -> object:
        return identity.who(NodeRequest("GET", DESIRED, {**headers, **more}, b""), now=now)

    assert who(**{"x-front-secret": "known to nginx alone"}) == pc.client.pk
    for wrong in ({}, {"x-front-secret": "guess"}):
        try:
            who(**wrong)
        except identity.NotKnown as refusal:
            assert refusal.code == "not_the_front"
        else:
            raise AssertionError("a certificate without the front's secret was believed")

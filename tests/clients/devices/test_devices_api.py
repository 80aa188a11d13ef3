"""Device policies over REST."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client as Browser

from clients.models import Client, DeviceRule, Group
from tests.pcs import FakePc, facts_with_devices
from vrasnode.wire import clients as registry

pytestmark = pytest.mark.django_db

STICK = {"verdict": "pass", "bus": "usb", "device_id": "0930:6545", "serial": "AAAA0001", "note": "Sato's"}
POLICY = "/api/v1/groups/sales/device-policy/"


@pytest.fixture
def rest(client: Browser, admin: User, sales: Group) -> Browser:
    """An administrator's program."""
    client.force_login(admin)
    return client


@pytest.fixture
def described(pc: FakePc) -> Client:
    """A PC of the sales group that told of its devices."""
    pc.post("/node/v1/reports/clients", registry.FactsReport(facts=facts_with_devices()))
    return Client.objects.get(pk=pc.client.pk)


def put(rest: Browser, path: str, body: Any, *, match: str | None = "*", language: str = "en") -> Any:
    headers = {"Accept-Language": language} | ({"If-Match": match} if match is not None else {})
    return rest.put(path, body, content_type="application/json", headers=headers)


def test_a_policy_is_read_and_replaced_as_a_whole(rest: Browser) -> None:
    empty = rest.get(POLICY)
    assert empty.json() == {
        "revision": 0,
        "usb_mode": "device",
        "suspend": "blocked",
        "suspend_by_model": [],
        "rules": [],
        "remarks": [],
    }

    answer = put(rest, POLICY, {"rules": [STICK], "suspend": "allowed"}, match=empty["ETag"])

    assert answer.status_code == 200
    assert answer["ETag"] == '"1"'
    [rule] = answer.json()["rules"]
    assert (rule["device_id"], rule["created_by"], rule["note"]) == ("0930:6545", "admin", "Sato's")
    assert rest.get(POLICY).json() == answer.json()


def test_who_did_not_look_at_the_newest_revision_is_told(rest: Browser) -> None:
    seen = rest.get(POLICY)["ETag"]
    put(rest, POLICY, {"rules": [STICK]}, match=seen)

    late = put(rest, POLICY, {"rules": []}, match=seen)
    blind = put(rest, POLICY, {"rules": []}, match=None)
    odd = put(rest, POLICY, {"rules": []}, match="nonsense")

    assert (late.status_code, late.json()["code"], late.json()["revision"]) == (412, "policy_changed", 1)
    assert (blind.status_code, blind.json()["code"]) == (428, "if_match_required")
    assert (odd.status_code, odd.json()["code"]) == (400, "bad_if_match")
    assert DeviceRule.objects.count() == 1


@pytest.mark.parametrize(
    "rule",
    [
        {"verdict": "pass", "bus": "usb", "port": "1-"},
        {"verdict": "pass", "bus": "usb", "port": "../../etc"},
        {"verdict": "pass", "bus": "pci", "port": "0000:zz:00.0"},
        {"verdict": "pass", "device_class": "xy"},
        {"verdict": "pass", "device_class": "08080"},
        {"verdict": "pass", "device_id": "6545"},
        {"verdict": "pass", "bus": "usb", "interfaces": ["keyboard"]},
        {"verdict": "read_only", "bus": "pci", "device_class": "03"},
        {"verdict": "pass", "bus": "pci", "device_class": "0601"},
        {"verdict": "pass", "bus": "usb", "device_class": "09"},
    ],
)
def test_a_rule_that_cannot_be_is_refused_with_its_place_in_words(
    rest: Browser, rule: dict[str, Any]
) -> None:
    for language, begin in (("en", "Rule 2: "), ("ja", "ルール2：")):
        answer = put(rest, POLICY, {"rules": [STICK, rule]}, language=language)

        assert answer.status_code == 400
        assert answer.json()["rule"] == 2
        assert answer.json()["detail"].startswith(begin)
        assert answer.json()["code"] not in answer.json()["detail"]
    assert not DeviceRule.objects.exists()


def test_a_body_that_is_no_policy_is_refused(rest: Browser) -> None:
    for body in (
        {"rules": [{"verdict": "maybe"}]},
        {"rules": [{**STICK, "valid_until": "soon"}]},
        {"rules": [{**STICK, "serial": "x" * 256}]},
        {"rules": "all"},
        {"usb_mode": "both"},
    ):
        answer = put(rest, POLICY, body)
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid"), body


def test_what_is_worth_a_second_look_is_said_by_places(rest: Browser) -> None:
    hide = {"verdict": "hide", "bus": "usb"}
    answer = put(rest, POLICY, {"rules": [hide, STICK]})

    [remark] = answer.json()["remarks"]
    assert (remark["rule"], remark["other"]) == (2, 1)
    assert remark["words"] != remark["code"]


def test_a_preview_says_in_words_what_would_change_and_saves_nothing(
    rest: Browser, described: Client
) -> None:
    answer = rest.post(f"{POLICY}preview/", {"rules": [STICK]}, content_type="application/json").json()

    [changing] = answer["pcs"]
    assert changing["name"] == "pc-sales-01"
    [change] = changing["changes"]
    assert (change["key"], change["before"]["fate"], change["after"]["fate"]) == ("1-1", "hidden", "passed")
    assert change["before"]["words"] != change["before"]["code"] == "no_rule"
    assert not DeviceRule.objects.exists()


def test_the_devices_of_a_pc_and_why_in_the_asked_language(rest: Browser, described: Client) -> None:
    put(rest, POLICY, {"rules": [STICK]})
    address = f"/api/v1/clients/{described.pk}/devices/"

    found = {one["key"]: one for one in rest.get(address).json()["devices"]}
    looked_at = ("1-1", "1-2", "0000:01:00.0", "0000:02:00.0")
    assert [found[key]["fate"] for key in looked_at] == ["passed", "hidden", "shared", "shared"]

    english = rest.get(f"{address}usb/1-1/why/").json()
    japanese = rest.get(f"{address}usb/1-1/why/", headers={"Accept-Language": "ja"}).json()
    assert (english["scope"], english["owner"], english["made_by"], english["note"]) == (
        "group",
        "sales",
        "admin",
        "Sato's",
    )
    assert english["words"] != japanese["words"]
    assert rest.get(f"{address}usb/7-7/why/").json()["code"] == "no_such_device"


def test_an_exception_is_made_for_a_pc_and_for_a_user_who_has_it(rest: Browser, described: Client) -> None:
    User.objects.create_user("sato")
    pc = f"/api/v1/clients/{described.pk}/"

    assigned = rest.post(f"{pc}assign/", {"user": "sato"}, content_type="application/json")
    assert assigned.json()["user"] == "sato"
    put(rest, "/api/v1/users/sato/device-policy/", {"rules": [STICK]})
    put(rest, f"{pc}device-policy/", {"rules": [{"verdict": "hide", "bus": "usb"}]})

    found = {one["key"]: one["fate"] for one in rest.get(f"{pc}devices/").json()["devices"]}
    assert (found["1-1"], found["1-2"]) == ("passed", "hidden")
    assert rest.get("/api/v1/users/sato/").json()["pcs"] == ["pc-sales-01"]


def test_an_unknown_user_gets_no_policy_and_no_pc(rest: Browser, described: Client) -> None:
    assert put(rest, "/api/v1/users/nobody/device-policy/", {"rules": []}).status_code == 404
    answer = rest.post(
        f"/api/v1/clients/{described.pk}/assign/", {"user": "nobody"}, content_type="application/json"
    )
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid")


def test_rules_come_from_usbguards_language_and_go_back_into_it(rest: Browser) -> None:
    text = 'block with-interface one-of { 03:00:01 03:01:01 }\nallow id 0930:6545 serial "AAAA0001"\n'
    address = f"{POLICY}usbguard/"

    read = rest.post(address, text, content_type="text/plain").json()
    assert [rule["verdict"] for rule in read["rules"]] == ["hide", "pass"]
    assert not DeviceRule.objects.exists()

    put(rest, POLICY, {"rules": read["rules"]})
    answer = rest.get(address, headers={"Accept": "text/plain"})
    assert answer["Content-Type"].startswith("text/plain")
    assert 'serial "AAAA0001"' in answer.content.decode()
    again = rest.post(address, answer.content.decode(), content_type="text/plain").json()
    assert again["rules"] == read["rules"]


def test_text_that_is_no_rules_is_refused_with_its_line(rest: Browser) -> None:
    for text in ("allow id 0930:6545\nallow everything please", "\x00\x01", "allow id 09", "x" * (2 << 20)):
        answer = rest.post(f"{POLICY}usbguard/", text, content_type="text/plain")
        assert answer.status_code == 400, text[:40]


def test_a_token_that_may_only_read_changes_no_policy(client: Browser, admin: User, sales: Group) -> None:
    from django.utils import timezone

    from clients.tokens import issuing

    _row, text = issuing.make(admin, name="watch", scope="read", now=timezone.now())
    headers = {"Authorization": f"Bearer {text}", "If-Match": "*"}

    assert client.get(POLICY, headers=headers).status_code == 200
    answer = client.put(POLICY, {"rules": []}, content_type="application/json", headers=headers)
    assert answer.status_code == 403

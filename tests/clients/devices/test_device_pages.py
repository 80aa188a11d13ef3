"""The pages of device policies as an administrator meets them."""

from datetime import datetime
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client as Browser
from django.urls import reverse
from django.utils.html import escape
from msgspec.structs import replace

from clients.devices import policing
from clients.devices.policing import Draft
from clients.enrolment import signing
from clients.models import Client, Event, Group
from tests.pcs import FakePc, facts_with_devices
from vrasnode import words
from vrasnode.wire import clients as registry
from vrasnode.wire.devices import Bus, DevicesReport, DeviceState, Fate, Rule, Scope, UsbMode, Verdict

pytestmark = pytest.mark.django_db


@pytest.fixture
def browser(client: Browser, admin: User, installation: signing.KeyStore) -> Browser:
    """A browser in which the administrator is logged in."""
    client.force_login(admin)
    return client


@pytest.fixture
def described(pc: FakePc) -> Client:
    """A PC of the sales group that told of its devices."""
    pc.post("/node/v1/reports/clients", registry.FactsReport(facts=facts_with_devices()))
    return Client.objects.get(pk=pc.client.pk)


def address(name: str, owner: Any, *more: int) -> str:
    scope = policing.scope_of(owner).value
    return reverse(f"clients:{name}", args=[scope, str(owner.pk), *more])


def change(browser: Browser, owner: Any, act: str, **says: Any) -> str:
    return browser.post(address("policy-change", owner), {"act": act, **says}, follow=True).content.decode()


def notes(owner: Any) -> list[str]:
    return [rule.note for rule in policing.draft_of(owner)[0].rules]


def keep(owner: Any, *names: str, now: datetime) -> None:
    rules = [
        Rule(id=0, scope=Scope.GROUP, verdict=Verdict.PASS, bus=Bus.USB, port=f"{place}-1", note=note)
        for place, note in enumerate(names, 1)
    ]
    policing.save(owner, Draft(rules=rules), revision=None, reason="", now=now)


def test_a_rule_is_written_looked_at_and_then_saved(
    browser: Browser, sales: Group, described: Client
) -> None:
    wish = {"verdict": "pass", "bus": "usb", "device_id": "0930:6545", "serial": "AAAA0001", "note": "Sato"}
    page = browser.post(address("policy-rule", sales, 0), wish, follow=True).content.decode()
    assert "These changes are not saved yet" in page
    assert notes(sales) == []

    preview = browser.get(address("policy-preview", sales)).content.decode()
    assert "pc-sales-01" in preview
    assert "Rule 1 (new) (group) says: pass." in preview

    page = browser.post(
        address("policy-preview", sales), {"revision": 0, "reason": "asked for"}, follow=True
    ).content.decode()
    assert "Saved. The PCs are told." in page
    assert "These changes are not saved yet" not in page
    assert notes(sales) == ["Sato"]
    assert Event.objects.get(verb="group.policy_changed").reason == "asked for"


def test_rules_move_up_and_down_and_away(browser: Browser, sales: Group, now: datetime) -> None:
    keep(sales, "a", "b", "c", now=now)

    change(browser, sales, "up 3")
    change(browser, sales, "down 1")
    change(browser, sales, "delete 3")
    browser.post(address("policy-preview", sales), {"revision": 1})

    assert notes(sales) == ["c", "a"]


def test_many_rules_are_shown_by_pages_and_one_stays_on_the_page(
    browser: Browser, sales: Group, now: datetime
) -> None:
    keep(sales, *(str(number) for number in range(1, 121)), now=now)

    second = browser.get(f"{address('policy', sales)}?page=2").content.decode()
    assert 'id="rule-51"' in second
    assert 'id="rule-50"' not in second

    answer = browser.post(address("policy-change", sales), {"act": "delete 60", "page": "2"})
    assert answer["Location"] == f"{address('policy', sales)}?page=2"


def test_a_draft_is_thrown_away(browser: Browser, sales: Group, now: datetime) -> None:
    keep(sales, "a", now=now)
    change(browser, sales, "delete 1")

    page = change(browser, sales, "discard")

    assert "not saved yet" not in page
    assert 'id="rule-1"' in page


def test_an_administrator_who_was_slower_is_told_on_the_page_and_saves_nothing(
    browser: Browser, sales: Group, now: datetime
) -> None:
    keep(sales, "a", now=now)
    change(browser, sales, "delete 1")
    keep(sales, "theirs", now=now)

    page = browser.get(address("policy", sales)).content.decode()
    assert "Somebody saved this policy since you began" in page
    answer = browser.post(address("policy-preview", sales), {"revision": 1}, follow=True)

    assert "[policy_changed]" in answer.content.decode()
    assert notes(sales) == ["theirs"]


def test_a_rule_that_cannot_be_is_refused_in_the_form_in_words(browser: Browser, sales: Group) -> None:
    wish = {"verdict": "read_only", "bus": "pci", "device_class": "03"}
    for language, said in (("en", "Only USB storage"), ("ja", "読取り専用にできるのは")):
        browser.cookies["django_language"] = language
        page = browser.post(address("policy-rule", sales, 0), wish).content.decode()
        assert said in page


def test_rules_that_never_decide_are_pointed_out_where_they_stand(
    browser: Browser, sales: Group, now: datetime
) -> None:
    hide = Rule(id=0, scope=Scope.GROUP, verdict=Verdict.HIDE, bus=Bus.USB)
    stick = Rule(id=0, scope=Scope.GROUP, verdict=Verdict.PASS, bus=Bus.USB, device_id="0930:6545")
    policing.save(sales, Draft(rules=[hide, stick]), revision=0, reason="", now=now)
    first, second = (rule.id for rule in policing.draft_of(sales)[0].rules)

    page = browser.get(address("policy", sales)).content.decode()

    assert f"Rule {second} grants nothing: rule {first} hides the same devices" in page


def test_settings_and_usbguards_text_become_part_of_the_draft(browser: Browser, sales: Group) -> None:
    change(browser, sales, "settings", usb_mode="controller", suspend="allowed")
    change(browser, sales, "import", text='allow id 0930:6545 serial "A1" label "x"')
    browser.post(address("policy-preview", sales), {"revision": 0})

    draft, _revision = policing.draft_of(sales)
    assert (draft.usb_mode, [rule.serial for rule in draft.rules]) == (UsbMode.CONTROLLER, ["A1"])
    text = browser.get(address("policy-usbguard", sales))
    assert 'allow id 0930:6545 serial "A1"' in text.content.decode()


def test_text_that_is_no_rules_changes_nothing_and_is_told_by_its_line(
    browser: Browser, sales: Group
) -> None:
    answer = browser.post(
        address("policy-change", sales),
        {"act": "import", "text": "allow id 0930:6545\nlet everything in"},
        headers={"Referer": f"http://testserver{address('policy', sales)}"},
        follow=True,
    )

    page = answer.content.decode()
    assert "[usbguard_line]" in page
    assert "2" in page
    assert "not saved yet" not in page


def test_a_device_of_a_pc_leads_to_a_rule_for_exactly_it(browser: Browser, described: Client) -> None:
    page = browser.get(reverse("clients:pc", args=[described.pk])).content.decode()
    link = "bus=usb&amp;device_id=0930%3A6545&amp;serial=AAAA0001"
    assert link in page

    form = browser.get(
        f"{address('policy-rule', described, 0)}?{link.replace('&amp;', '&')}"
    ).content.decode()

    assert 'value="0930:6545"' in form
    assert 'value="AAAA0001"' in form


def test_a_failed_pass_through_is_an_alert_on_the_pcs_page(
    browser: Browser, pc: FakePc, described: Client, sales: Group, now: datetime
) -> None:
    card = Rule(id=0, scope=Scope.GROUP, verdict=Verdict.PASS, bus=Bus.PCI, device_class="03")
    policing.save(sales, Draft(rules=[card]), revision=0, reason="", now=now)
    state = DeviceState(
        bus=Bus.PCI, key="0000:03:00.0", name="Graphics card", fate=Fate.PASSED, code="pass_through_failed"
    )
    pc.post("/node/v1/reports/devices", DevicesReport(policy="r", devices=[state]))

    page = browser.get(reverse("clients:pc", args=[described.pk])).content.decode()

    assert "Graphics card could not be passed through" in page


def test_what_a_pcs_hardware_lacks_is_said_with_what_to_do(
    browser: Browser, pc: FakePc, described: Client
) -> None:
    facts = facts_with_devices()
    assert facts.platform is not None
    bare = replace(facts, platform=replace(facts.platform, iommu=None, encrypted_state=False))
    pc.post("/node/v1/reports/clients", registry.FactsReport(facts=bare))

    for language in ("en", "ja"):
        browser.cookies["django_language"] = language
        page = browser.get(reverse("clients:pc", args=[described.pk])).content.decode()
        for code in ("state_not_encrypted", "state_not_encrypted.remedy"):
            assert escape(words.say(code, language)) in page
    found = browser.get(f"/api/v1/clients/{described.pk}/devices/").json()["findings"]
    assert "state_not_encrypted" in {one["code"] for one in found if one["severity"] == "blocker"}


def test_who_has_a_pc_is_said_on_its_page(browser: Browser, described: Client) -> None:
    sato = User.objects.create_user("sato")

    browser.post(reverse("clients:assign", args=[described.pk]), {"user": sato.pk})
    assert Client.objects.get().assigned_user == sato

    browser.post(reverse("clients:assign", args=[described.pk]), {"user": ""})
    assert Client.objects.get().assigned_user is None


def test_every_list_says_that_a_pc_is_simulated(browser: Browser, described: Client, sales: Group) -> None:
    pages = [reverse("clients:pcs"), reverse("clients:group", args=[sales.pk])]
    pages.append(reverse("clients:pc", args=[described.pk]))
    for page in pages:
        assert "badge-simulated" not in browser.get(page).content.decode()

    Client.objects.update(simulated=True)

    for page in pages:
        assert "badge-simulated" in browser.get(page).content.decode()


@pytest.mark.parametrize("path", ["team/1", "group/999", "client/1", "user/x", "group/1x"])
def test_a_policy_of_nobody_is_not_there(browser: Browser, path: str) -> None:
    assert browser.get(f"/policies/{path}/").status_code == 404


def test_a_rule_of_a_place_that_is_not_there_is_not_there(browser: Browser, sales: Group) -> None:
    assert browser.get(address("policy-rule", sales, 1)).status_code == 404


def test_nobody_changes_rules_in_the_operators_door(browser: Browser, sales: Group, now: datetime) -> None:
    keep(sales, "a", now=now)

    assert browser.get(reverse("admin:clients_devicerule_changelist")).status_code == 200
    assert browser.get(reverse("admin:clients_devicepolicy_changelist")).status_code == 200
    assert browser.get(reverse("admin:clients_devicerule_add")).status_code == 403
    policy = policing.stored(sales)
    assert policy is not None
    page = reverse("admin:clients_devicepolicy_change", args=[policy.pk])
    assert browser.get(page).status_code == 200
    assert browser.post(page, {"usb_mode": "controller"}).status_code == 403


def test_an_empty_policy_can_begin_with_what_a_desktop_needs_and_is_saved_when_seen(
    browser: Browser, sales: Group, described: Client
) -> None:
    page = change(browser, sales, "begin")
    assert "not saved" in page.lower() or "preview" in page.lower()
    assert policing.draft_of(sales)[0].rules == []

    again = change(browser, sales, "begin")  # pressed twice
    assert again.count('name="act" value="delete ') == 4

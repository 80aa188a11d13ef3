"""What is true of every page of the portal: who may see it, in which language, and that nothing is inline."""

import re
from collections.abc import Callable, Iterator
from datetime import datetime
from html.parser import HTMLParser
from pathlib import Path

import polib
import pytest
from django.contrib.auth.models import Group as Roles
from django.contrib.auth.models import User
from django.test import Client as Browser
from django.urls import reverse

from checkout import chaining, deputizing, requesting
from checkout import urls as checkouts
from checkout.chaining import Link, Terms
from clients import urls as registry
from clients.devices import policing
from clients.devices.policing import Draft
from clients.enrolment import enrolling, signing
from clients.models import Group, PublisherKey, Site
from clients.people.rolenames import Role
from imaging import distributing, publishing
from imaging import urls as desktops
from imaging.models import Delivery, MasterImage
from mydoc import urls as documents
from mydoc.losses import losing
from mydoc.models import FolderGrant, Replica, ReplicaAlarm, ReplicationRun, Restoration, Volume
from tests import images
from tests.checkout.asking import wish
from tests.mydoc.answering import make_volume
from tests.pcs import FakePc, facts_with_devices
from vrasnode.wire.clients import FactsReport
from vrasnode.wire.devices import Bus, Rule, Scope, Verdict
from vrasnode.wire.mydoc import KillReport

pytestmark = pytest.mark.django_db
CATALOGUE = Path(__file__).parents[1] / "locale/ja/LC_MESSAGES/django.po"
VOID = {"meta", "link", "input", "br", "img", "hr"}


class Page(HTMLParser):
    """A page's elements and the texts that people read."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("script", "style", "pre", "code") and data.strip():
            self.texts.append(" ".join(data.split()))


def being_of(name: str) -> User:
    """An employee."""
    user = User.objects.create_user(name)
    user.groups.add(Roles.objects.get_or_create(name=Role.EMPLOYEE.value)[0])
    return user


@pytest.fixture
def addresses(  # noqa: PLR0917  (pytest gives them by name)
    enrol: Callable[..., FakePc],
    pc: FakePc,
    sales: Group,
    desktop: MasterImage,
    admin: User,
    now: datetime,
) -> list[str]:
    """Every address of the portal, on a small living installation."""
    pc.post("/node/v1/reports/clients", FactsReport(facts=facts_with_devices()))
    rule = Rule(id=0, scope=Scope.GROUP, verdict=Verdict.PASS, bus=Bus.USB, device_id="0930:6545")
    policing.save(sales, Draft(rules=[rule]), revision=0, reason="", now=now)
    enrol("pc-waiting", approved=False)
    first = images.publish(desktop, "system", "office", now=now)
    second = images.publish(desktop, "system", "office 2", now=now)
    publishing.fail(publishing.open_version(desktop, note="broken"), "not_an_image", "words of the PC")
    distributing.start(first, sales, now=now)
    distribution = distributing.start(second, sales, now=now)
    distribution.deliveries.get().move(Delivery.State.FAILED, code="disk_full", words="words of the PC")
    token, _text = enrolling.make_token(group=sales, approved=True, now=now)
    key = PublisherKey.objects.create(fingerprint="ab" * 16, name="mori", public_key=bytes(range(32)))
    volume = make_volume(pc, User.objects.create_user("suzuki"), now=now)
    grant = FolderGrant.objects.create(volume=volume, path=b"plans", person=admin, access="read", reason="x")
    lost = enrol("pc-lost")
    make_volume(lost, User.objects.create_user("ito"), now=now)
    loss = losing.declare(lost.client, by=admin, reason="x", confirm="pc-lost", now=now)
    losing.acknowledge(lost.client, KillReport(serial=loss.pk, volumes=[]), now=now)
    chaining.save(sales, Terms(software=True, max_days=31, chain=(Link("role"),)), reason="x")
    asked = requesting.submit(
        Volume.objects.select_related("client__group").get(pk=volume.pk), wish(now), by=volume.owner, now=now
    )
    deputy = deputizing.appoint(admin, deputy=being_of("kato"), starts=now.date(), ends=now.date(), by=admin)
    replica, _made = Replica.objects.get_or_create(volume=volume)
    alarm = ReplicaAlarm.objects.create(replica=replica, kind=ReplicaAlarm.Kind.DIFFERS, raised_at=now)
    restoration = Restoration.objects.create(
        source=volume,
        target=make_volume(lost, volume.owner, now=now),
        run=ReplicationRun.objects.create(replica=replica, state="done", asked_at=now, begun_at=now),
        asked_at=now,
    )
    keys = {
        "checkout": asked.pk,
        "release": alarm.pk,
        "mine": make_volume(enrol("pc-own"), admin, now=now).pk,
        "deputy": deputy.pk,
        "dossier": loss.pk,
        "volume": volume.pk,
        "client": pc.client.pk,
        "grant": grant.pk,
        "shared": grant.pk,
        "path": b"plans",
        "pc": pc.client.pk,
        "group": sales.pk,
        "enrolment": token.pk,
        "key": key.pk,
        "api-token": "0" * 16,
        "image": desktop.pk,
        "retire": first.pk,
        "distribution": distribution.pk,
        "delivery": distribution.deliveries.get().pk,
        "act": "pause",
        "restoration": restoration.pk,
        "site": Site.objects.create(name="Osaka", ranges="10.2.0.0/16", rates="mon-fri 9-18 10Mbit/s").pk,
        "policy": sales.pk,
        "device": pc.client.pk,
        "scope": "group",
        "place": 0,
        "bus": "usb",
        "port": "1-1",
    }
    of = dict.fromkeys(
        ("approve", "move", "revoke", "assign", "lost", "found", "let-in", "my-lost", "rollback-pc"), "pc"
    )
    of |= dict.fromkeys(
        ("reason", "folder", "file", "find", "share", "withdraw", "replicate", "my-replicate"), "volume"
    )
    of |= dict.fromkeys(
        ("my-request", "my-withdraw", "my-return", "decide", "waive", "call-back"), "checkout"
    )
    of |= {"restore": "volume", "stop-restoring": "restoration", "deputy-delete": "deputy", "terms": "group"}
    of |= dict.fromkeys(("earlier", "versions", "recalled-file", "recalled-folder", "put-back"), "mine")
    of |= {"upload": "image", "retire": "retire", "retry": "distribution", "cancel": "distribution"}
    of |= {"steer": "distribution", "steer-pc": "delivery", "erasure": "dossier"}
    own = {"act": "act", "group": "group", "scope": "scope", "place": "place", "bus": "bus", "key": "port"}
    own |= {"path": "path", "grant": "grant"}
    found = [reverse("home")]
    for patterns, space in (registry.pages, desktops.pages, documents.pages, checkouts.pages):
        for pattern in patterns:
            name = str(pattern.name)
            kind = of.get(name) or name.rsplit("-", 1)[0]
            arguments = {name: keys[own.get(name, kind)] for name in pattern.pattern.converters}
            found.append(reverse(f"{space}:{name}", kwargs=arguments))
    return found


@pytest.fixture
def browser(client: Browser, admin: User, installation: signing.KeyStore) -> Browser:
    client.force_login(admin)
    return client


def readable(browser: Browser, addresses: list[str]) -> Iterator[tuple[str, str]]:
    """Every page that answers GET, with its HTML."""
    [change] = [address for address in addresses if address.endswith("/change/")]
    browser.post(change, {"act": "delete 1"})  # so that there is a draft to show
    [why] = [address for address in addresses if address.endswith("/reason/")]
    browser.post(why, {"reason": "a look"})
    for address in addresses:
        answer = browser.get(address)
        if "/file/" in address or "/zip/" in address:  # no page: it is saved, or one comes back
            continue
        if answer.status_code != 405:
            assert answer.status_code == 200, address
        if answer["Content-Type"].startswith("text/html") and answer.status_code == 200:
            yield address, answer.content.decode()


def test_a_stranger_is_sent_to_the_login_from_every_page(client: Browser, addresses: list[str]) -> None:
    for address in addresses:
        for answer in (client.get(address), client.post(address)):
            assert answer.status_code == 302, address
            assert answer["Location"].startswith("/login/"), address


def test_a_user_who_is_no_administrator_is_told_whom_to_ask(client: Browser, addresses: list[str]) -> None:
    client.force_login(User.objects.create_user("sato"))
    for address in addresses:
        answer = client.get(address)
        if answer.status_code == 405:
            answer = client.post(address)
        assert answer.status_code == 403, address
        assert "Ask your IT department" in answer.content.decode()


def test_every_page_is_well_formed_and_nothing_in_it_is_inline(
    browser: Browser, addresses: list[str]
) -> None:
    for address, html in readable(browser, addresses):
        page = Page(html)
        ids = [attrs["id"] for _tag, attrs in page.elements if "id" in attrs]
        assert len(ids) == len(set(ids)), address
        for tag, attrs in page.elements:
            assert tag != "style", address
            assert tag != "script" or "src" in attrs, address
            assert "style" not in attrs, address
            assert not [name for name in attrs if name.startswith("on")], address
            assert not any(name.startswith("hx-on") for name in attrs), address


def test_every_control_has_a_name_that_a_screen_reader_can_say(
    browser: Browser, addresses: list[str]
) -> None:
    for address, html in readable(browser, addresses):
        page = Page(html)
        labelled = {attrs.get("for") for tag, attrs in page.elements if tag == "label"}
        for tag, attrs in page.elements:
            if tag in ("select", "textarea") or (tag == "input" and attrs.get("type") != "hidden"):
                assert attrs.get("id") in labelled or attrs.get("aria-label"), (address, attrs)
            if tag == "svg":
                assert attrs.get("aria-hidden") == "true", address
            if tag == "img":
                assert "alt" in attrs, address


def test_the_strict_policy_comes_with_every_page(browser: Browser, addresses: list[str]) -> None:
    for address in addresses:
        policy = browser.get(address)["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy


def test_every_page_speaks_japanese_and_nothing_else(browser: Browser, addresses: list[str]) -> None:
    browser.cookies["django_language"] = "ja"
    catalogue = polib.pofile(str(CATALOGUE))
    english = {entry.msgid for entry in catalogue if re.search("[a-z]", entry.msgid)}
    english -= {entry.msgid for entry in catalogue if entry.msgid == entry.msgstr}
    sentences = [text for text in english if len(text) > 12 and "%" not in text]
    names = {"admin", "sales", "office-desktop", "suzuki", "plans", "kato"}
    for address, html in readable(browser, addresses):
        assert '<html lang="ja"' in html, address
        for text in Page(html).texts:
            assert text in names or text not in english, (address, text)
            assert not [sentence for sentence in sentences if sentence in text], (address, text)


def test_the_language_is_remembered(browser: Browser) -> None:
    browser.post(reverse("set_language"), {"language": "ja", "next": "/"})
    assert "今日の状況" in browser.get("/").content.decode()

    browser.post(reverse("set_language"), {"language": "en", "next": "/"})
    assert "Today" in browser.get("/").content.decode()


def test_a_moving_part_is_the_same_page_without_its_frame(browser: Browser, addresses: list[str]) -> None:
    for address, html in readable(browser, addresses):
        page = Page(html)
        moving = [attrs for _tag, attrs in page.elements if "data-topic" in attrs]
        for attrs in moving:
            part = browser.get(attrs["hx-get"], headers={"HX-Request": "true"}).content.decode()
            assert f'id="{attrs["id"]}"' in part, address
            assert "<html" not in part, address


def test_a_new_administrator_is_told_the_first_steps(browser: Browser) -> None:
    home = browser.get("/").content.decode()
    assert "vrasctl image publish" in home
    assert "vrasnode enroll --server http://testserver" in home


def test_login_leads_to_where_one_wanted_to_go_and_logout_ends_it(client: Browser, admin: User) -> None:
    wanted = client.get("/groups/", follow=True)
    assert wanted.redirect_chain == [("/login/?next=/groups/", 302)]

    entry = {"username": "admin", "password": "correct horse battery", "next": "/groups/"}
    assert client.post("/login/", entry)["Location"] == "/groups/"
    assert client.post("/logout/")["Location"] == "/login/"
    assert client.get("/groups/").status_code == 302


def test_too_many_wrong_passwords_are_answered_by_a_page_that_says_to_wait(
    client: Browser, admin: User
) -> None:
    for _try in range(10):
        answer = client.post("/login/", {"username": "admin", "password": "wrong"})

    assert answer.status_code in (403, 429)
    assert "Wait five minutes" in answer.content.decode()


def test_an_address_that_does_not_exist_says_so_on_a_page_of_ours(browser: Browser) -> None:
    answer = browser.get("/nothing/here/")
    assert answer.status_code == 404
    assert "There is nothing at this address." in answer.content.decode()


def test_an_error_of_ours_is_a_page_of_ours(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    browser.raise_request_exception = False
    monkeypatch.setattr(Group.objects, "annotate", None)  # a bug, as any other

    answer = browser.get("/groups/")

    assert answer.status_code == 500
    assert "This is our fault" in answer.content.decode()

"""Workgroup Desktop's pages as an administrator meets them."""

from collections.abc import Callable
from datetime import datetime

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client as Browser
from django.urls import reverse

from clients.enrolment import signing
from clients.models import Event, Group
from imaging import distributing, publishing, steering
from imaging.models import Delivery, Distribution, ImageVersion, MasterImage, Subscription
from tests import images
from tests.pcs import FakePc

pytestmark = pytest.mark.django_db


@pytest.fixture
def browser(client: Browser, admin: User, installation: signing.KeyStore) -> Browser:
    """A browser in which the administrator is logged in."""
    client.force_login(admin)
    return client


@pytest.fixture
def version(desktop: MasterImage, installation: signing.KeyStore, now: datetime) -> ImageVersion:
    return images.publish(desktop, "system", "office", now=now)


@pytest.fixture
def sent(version: ImageVersion, sales: Group, pc: FakePc, now: datetime) -> Distribution:
    """The version is on its way to the sales group."""
    return distributing.start(version, sales, now=now)


def fail(distribution: Distribution) -> None:
    delivery = distribution.deliveries.get()
    delivery.move(Delivery.State.FAILED, code="disk_full", words="The disk is full. Free space.")


def test_a_version_is_distributed_on_the_terms_that_were_filled_in(
    browser: Browser, version: ImageVersion, sales: Group, pc: FakePc
) -> None:
    wish = {"group": sales.pk, "version": version.pk, "apply": "now", "wave_size": 5, "rate_mib_s": "1.5"}

    answer = browser.post(reverse("imaging:distribute"), wish)

    made = Distribution.objects.get()
    assert answer["Location"] == reverse("imaging:distribution", args=[made.pk])
    assert (made.apply, made.wave_size, made.rate_bytes_s) == ("now", 5, 1572864)
    assert made.created_by == "admin"


def test_the_form_is_filled_in_by_the_page_one_comes_from(
    browser: Browser, version: ImageVersion, sales: Group
) -> None:
    form = browser.get(reverse("imaging:distribute"), {"group": sales.pk, "version": version.pk})

    assert f'<option value="{version.pk}" selected>' in form.content.decode()
    assert f'<option value="{sales.pk}" selected>' in form.content.decode()


def test_a_group_without_pcs_is_refused_with_what_to_do(
    browser: Browser, version: ImageVersion, sales: Group
) -> None:
    wish = {"group": sales.pk, "version": version.pk, "apply": "now", "wave_size": 5}

    answer = browser.post(reverse("imaging:distribute"), wish, follow=True)

    assert "Approve or move PCs first. [group_is_empty]" in answer.content.decode()


def test_a_failure_is_told_in_words_and_retried_alone(browser: Browser, sent: Distribution) -> None:
    fail(sent)
    page = reverse("imaging:distribution", args=[sent.pk])

    shown = browser.get(page).content.decode()
    assert "Make room on it, then send the version again." in shown
    assert "disk_full" in shown
    assert "Retry the 1 failed PC" in shown

    browser.post(reverse("imaging:retry", args=[sent.pk]))
    assert sent.deliveries.get().state == Delivery.State.WAITING


def test_home_counts_a_failure_until_something_later_is_sent(
    browser: Browser, sent: Distribution, now: datetime
) -> None:
    fail(sent)
    assert browser.get(reverse("home")).context["failed"] == 1
    listed = browser.get(reverse("imaging:distributions"), {"state": "failed"}).context["page"]
    assert list(listed) == [sent]

    distributing.start(sent.version, sent.group, now=now)
    assert browser.get(reverse("home")).context["failed"] == 0
    assert not browser.get(reverse("imaging:distributions"), {"state": "failed"}).context["page"]


def test_a_distribution_is_cancelled_with_a_reason(browser: Browser, sent: Distribution) -> None:
    address = reverse("imaging:cancel", args=[sent.pk])

    browser.post(address, {"reason": ""})
    assert Distribution.objects.get().state == Distribution.State.RUNNING

    browser.post(address, {"reason": "wrong group"})
    assert Distribution.objects.get().state == Distribution.State.CANCELLED
    assert Event.objects.get(verb="distribution.cancelled").reason == "wrong group"


def test_a_rollback_says_what_it_brings_to_how_many_before_it_does(
    browser: Browser, sent: Distribution, desktop: MasterImage, sales: Group, now: datetime
) -> None:
    second = images.publish(desktop, "system", "office 2", now=now)
    distributing.start(second, sales, now=now)
    address = reverse("imaging:rollback", args=[sales.pk])

    preview = browser.get(address).content.decode()
    assert "office-desktop@1 comes back to 1 PC." in preview
    assert Distribution.objects.count() == 2

    browser.post(address, {"version": sent.version.pk, "apply": "next_start", "wave_size": 50})
    newest = Distribution.objects.first()
    assert newest is not None
    assert (newest.version, newest.kind) == (sent.version, Distribution.Kind.ROLLBACK)


def test_one_pc_is_rolled_back_from_its_page_and_by_rest(  # noqa: PLR0917
    browser: Browser, sent: Distribution, desktop: MasterImage, sales: Group, pc: FakePc, now: datetime
) -> None:
    second = images.publish(desktop, "system", "office 2", now=now)
    distributing.start(second, sales, now=now)
    address = reverse("imaging:rollback-pc", args=[pc.client.pk])
    assert address in browser.get(reverse("clients:pc", args=[pc.client.pk])).content.decode()
    assert "office-desktop@1 comes back to 1 PC." in browser.get(address).content.decode()

    browser.post(address, {"version": sent.version.pk, "apply": "now"})
    said = {"client": "pc-sales-01", "number": 1}
    made = browser.post("/api/v1/distributions/rollback/", said, content_type="application/json")
    wrong = browser.post(
        "/api/v1/distributions/rollback/", {**said, "group": "sales"}, content_type="application/json"
    )

    assert (made.status_code, wrong.status_code) == (202, 400)
    newest = Distribution.objects.all()[:2]
    assert [(row.version, row.kind) for row in newest] == [(sent.version, Distribution.Kind.ONE_PC)] * 2


def test_a_rollback_of_a_group_that_got_nothing_is_refused(browser: Browser, sales: Group) -> None:
    answer = browser.get(reverse("imaging:rollback", args=[sales.pk]), follow=True)
    assert "[nothing_before]" in answer.content.decode()


def test_a_file_from_the_browser_becomes_a_version_that_waits_to_be_checked(
    browser: Browser, desktop: MasterImage
) -> None:
    file = SimpleUploadedFile("disk.img", b"\1" * 4096)

    browser.post(reverse("imaging:upload", args=[desktop.pk]), {"file": file, "note": "first"})

    made = ImageVersion.objects.get()
    assert (made.number, made.state, made.note) == (1, ImageVersion.State.SEALED, "first")


def test_a_version_is_retired_only_when_nothing_uses_it(
    browser: Browser, sent: Distribution, version: ImageVersion, now: datetime
) -> None:
    address = reverse("imaging:retire", args=[version.pk])

    refused = browser.post(address, {"confirm": "office-desktop@1"}, follow=True)
    assert "[version_in_use]" in refused.content.decode()

    steering.cancel(sent, reason="test", now=now)
    browser.post(address, {"confirm": "office-desktop@2"})
    assert ImageVersion.objects.get().state == ImageVersion.State.READY
    browser.post(address, {"confirm": "office-desktop@1"})
    assert ImageVersion.objects.get().state == ImageVersion.State.RETIRED


def test_automatic_distribution_is_chosen_changed_and_ended(
    browser: Browser, sales: Group, desktop: MasterImage
) -> None:
    address = reverse("imaging:automatic", args=[sales.pk])

    browser.post(address, {"image": desktop.pk, "on_publish": "on"})
    kept = Subscription.objects.get()
    assert (kept.image, kept.on_publish, kept.on_join) == (desktop, True, False)

    browser.post(address, {"image": desktop.pk, "on_publish": "on", "on_join": "on"})
    assert Subscription.objects.get().on_join

    browser.post(address, {"image": ""})
    assert not Subscription.objects.exists()
    verbs = Event.objects.filter(object_type="subscription").order_by("pk").values_list("verb", flat=True)
    assert list(verbs) == ["subscription.created", "subscription.changed", "subscription.deleted"]


def test_a_health_command_is_written_as_on_a_command_line(browser: Browser) -> None:
    wish = {
        **{"name": "lab", "keep_versions": 3, "health_within_s": 60, "health_agent": "on"},
        "health_command": "test -f '/etc/a b'",
    }

    browser.post(reverse("imaging:images"), wish)
    image = MasterImage.objects.get()
    assert image.health_command == ["test", "-f", "/etc/a b"]

    unclosed = {**wish, "name": "lab2", "health_command": "echo '"}
    answer = browser.post(reverse("imaging:images"), unclosed)
    assert "A quotation mark is not closed." in answer.content.decode()

    edited = browser.get(reverse("imaging:image-edit", args=[image.pk])).content.decode()
    assert "test -f &#x27;/etc/a b&#x27;" in edited
    browser.post(
        reverse("imaging:image-edit", args=[image.pk]), {**wish, "name": "other", "keep_versions": 7}
    )
    image.refresh_from_db()
    assert (image.name, image.keep_versions) == ("lab", 7)


def test_a_guest_without_an_agent_has_no_health_command(browser: Browser) -> None:
    wish = {"name": "lab", "keep_versions": 3, "health_within_s": 60}

    answer = browser.post(reverse("imaging:images"), {**wish, "health_command": "true"})
    assert "A guest without an agent runs no command." in answer.content.decode()
    browser.post(reverse("imaging:images"), wish)

    assert MasterImage.objects.get().health_agent is False


def test_a_versions_failure_is_shown_beside_it(browser: Browser, desktop: MasterImage) -> None:
    broken = publishing.open_version(desktop, note="broken")
    publishing.fail(broken, "not_an_image", "This file is no disk image.")

    page = browser.get(reverse("imaging:image", args=[desktop.pk])).content.decode()

    assert "This file is no disk image." in page
    assert "not_an_image" in page


def test_the_pages_of_pcs_and_groups_show_what_they_run_and_were_sent(
    browser: Browser, enrol: Callable[..., FakePc], sent: Distribution, pc: FakePc, sales: Group
) -> None:
    pc.client.running = sent.version.manifest
    pc.client.save(update_fields=["running"])

    for address in (
        reverse("clients:pcs"),
        reverse("clients:pc", args=[pc.client.pk]),
        reverse("clients:group", args=[sales.pk]),
    ):
        assert "office-desktop@1" in browser.get(address).content.decode()

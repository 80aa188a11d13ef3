"""When a PC was last heard: by the raw door, at no cost to the database; shown on the pages."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.conf import settings
from django.db import connection
from django.test import Client as Browser
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from clients import presence, quickstore
from clients.enrolment import node
from clients.models import Client
from clients.templatetags.portal import moment
from tests.pcs import FakePc
from tests.test_doors import scope_of
from vrasnode.wire import codec
from vrasnode.wire.clients import Heartbeat

pytestmark = pytest.mark.django_db
DIGEST = "ab" * 32
BEAT = Heartbeat(agent_version="0.1.0", boot_id="1", uptime_s=60, desktop="running", version=DIGEST)
SILENCE = timedelta(minutes=10)


def beat(pc: FakePc) -> int:
    """The PC's heartbeat, as the raw door hears it in a thread of its own; the status of the answer."""
    body = codec.encode(BEAT)
    signed = pc.sign("POST", "/node/v1/heartbeat", body)
    headers = [(name.encode(), value.encode()) for name, value in signed.items()]
    scope = {**scope_of("POST", "/node/v1/heartbeat"), "headers": headers}
    return node._hear(node.seen(scope, body), "10.0.0.9")[0]


def test_a_heartbeat_asks_the_database_for_the_pcs_key_once_and_never_writes(pc: FakePc) -> None:
    with CaptureQueriesContext(connection) as first:
        assert beat(pc) == 200
    with CaptureQueriesContext(connection) as later:
        assert [beat(pc) for _ in range(3)] == [200, 200, 200]

    assert [query["sql"].split()[0] for query in first] == ["SELECT"]
    assert len(later) == 0
    assert presence.of([pc.client], now=timezone.now())[pc.client.pk].version == DIGEST
    assert Client.objects.get().last_seen is None


def test_rows_hear_of_all_pcs_at_once_so_that_a_loss_of_redis_forgets_a_minute(
    enrol: Callable[..., FakePc],
) -> None:
    now, pcs = timezone.now(), [enrol(f"pc-{number}") for number in range(3)]
    for pc in pcs:
        presence.hear(pc.client.pk, BEAT, now=now)

    with CaptureQueriesContext(connection) as asked:
        assert presence.keep(now=now) == 3
    quickstore.client().delete(presence.HEARD)

    assert len([query for query in asked if query["sql"].startswith("UPDATE")]) == 1
    for heard in presence.of(Client.objects.all(), now=now).values():
        assert (heard.seen, heard.present, heard.version) == (now, False, DIGEST)


@pytest.mark.parametrize(("language", "words"), [("en", "no contact since {}"), ("ja", "{} から通信なし")])
def test_a_silent_pc_shows_since_when_there_was_no_contact(
    browser: Browser, pc: FakePc, language: str, words: str
) -> None:
    now = timezone.now()
    last = now - SILENCE
    presence.hear(pc.client.pk, BEAT, now=last)

    pages = [reverse("clients:pcs"), reverse("clients:pc", args=[pc.client.pk])]
    shown = [browser.get(page, headers={"Accept-Language": language}).content.decode() for page in pages]

    assert all(words.format(moment(last)) in page for page in shown)
    missed = timedelta(seconds=3 * settings.HEARTBEAT_S + 1)
    assert presence.of([pc.client], now=last + missed / 2)[pc.client.pk].present
    assert not presence.of([pc.client], now=last + missed)[pc.client.pk].present

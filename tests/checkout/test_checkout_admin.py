"""The operator's door: all may be looked at but keys, nothing is decided, what is done is written down."""

import html
from datetime import datetime
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from checkout import deputizing
from checkout.models import CheckoutRequest, Deputy, Lease
from clients.models import Event
from tests.checkout.test_checkout_pages import browser_of
from vrasnode.wire import codec
from vrasnode.wire.signatures import Signed

pytestmark = pytest.mark.django_db
KINDS = ("checkoutrequest", "lease", "checkoutterms", "deputy", "letter")


def test_an_administrator_looks_at_requests_and_leases_and_sees_no_key(
    lent: CheckoutRequest, admin: User
) -> None:
    theirs, lease = browser_of(admin), Lease.objects.get()
    pages = [f"/admin/checkout/{kind}/" for kind in KINDS]
    pages += [
        f"/admin/checkout/lease/{lease.pk}/change/",
        f"/admin/checkout/checkoutrequest/{lent.pk}/change/",
    ]

    answers = [theirs.get(page) for page in pages]

    assert [answer.status_code for answer in answers] == [200] * len(pages)
    shown = html.unescape("".join(answer.content.decode() for answer in answers))
    assert "mori" in shown
    signed = codec.decode(bytes(lease.key), Signed)
    for secret in (bytes(lease.key), bytes(signed.payload)):
        assert secret.hex() not in shown
        assert repr(secret)[2:40] not in shown


@pytest.mark.parametrize("kind", ["checkoutrequest", "lease", "checkoutterms"])
def test_nothing_is_added_changed_or_deleted_there(
    kind: str, lent: CheckoutRequest, admin: User, sales: Any
) -> None:
    theirs = browser_of(admin)
    pk = {"checkoutrequest": lent.pk, "lease": Lease.objects.get().pk}.get(kind, sales.pk)

    tries = [f"/admin/checkout/{kind}/add/", f"/admin/checkout/{kind}/{pk}/delete/"]
    answers = [theirs.post(page, {"state": "lent", "post": "yes"}).status_code for page in tries]
    theirs.post(f"/admin/checkout/{kind}/{pk}/change/", {"state": "withdrawn", "ends": "2099-01-01"})

    assert answers[0] == 403
    assert answers[1] in (302, 403)  # 302: there is no such row
    lent.refresh_from_db()
    assert (lent.state, Lease.objects.count()) == (CheckoutRequest.State.LENT, 1)


def test_a_deputy_is_dismissed_there_and_the_log_says_by_whom(
    mori: User, kato: User, admin: User, now: datetime
) -> None:
    today = timezone.localtime(now).date()
    row = deputizing.appoint(mori, deputy=kato, starts=today, ends=today, by=mori)

    browser_of(admin).post("/admin/checkout/deputy/", {"action": "dismiss", "_selected_action": [row.pk]})

    assert not Deputy.objects.exists()
    assert Event.objects.get(verb="deputy.dismissed").actor == "admin"

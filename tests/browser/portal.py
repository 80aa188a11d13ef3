"""A running portal and a browser that looks at it; for the browser tests and the pictures of the pages."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.browser.documents import Answering
from tests.lab.server import Server

CHROMIUM = "/usr/bin/chromium"
PAGES = {
    "home": "/",
    "pcs": "/pcs/",
    "pc": "/pcs/{pc}/",
    "device": "/pcs/{pc}/devices/usb/1-1/",
    "revoke": "/pcs/{pc}/revoke/",
    "rollback-pc": "/pcs/{pc}/rollback/",
    "policy": "/policies/group/{group}/",
    "policy-rule": "/policies/group/{group}/rules/4/",
    "policy-preview": "/policies/group/{group}/preview/",
    "policy-pc": "/policies/client/{pc}/",
    "groups": "/groups/",
    "group": "/groups/{group}/",
    "automatic": "/groups/{group}/automatic/",
    "rollback": "/groups/{group}/rollback/",
    "images": "/images/",
    "image": "/images/{image}/",
    "upload": "/images/{image}/upload/",
    "distributions": "/distributions/",
    "distribute": "/distributions/new/",
    "distribution": "/distributions/{distribution}/",
    "volumes": "/volumes/",
    "volume": "/volumes/{volume}/",
    "reason": "/volumes/{volume}/reason/",
    "folder": "/volumes/{volume}/folder/-/",
    "folder-find": "/volumes/{volume}/find/?name=%E8%A6%8B%E7%A9%8D",
    "find-in-each": "/volumes/find/?name=%E8%A6%8B%E7%A9%8D",
    "restore": "/volumes/{broken}/restore/",
    "restored": "/volumes/{broken}/",
    "share": "/volumes/{volume}/sharing/5Za25qWt/",
    "my": "/my/",
    "my-shared": "/my/shared/{grant}/57WM55CG/",
    "my-checkouts": "/my/checkouts/",
    "my-checkouts-new": "/my/checkouts/new/",
    "approvals": "/approvals/",
    "approval": "/approvals/{checkout}/",
    "deputies": "/approvals/deputies/",
    "checkouts": "/checkouts/",
    "group-checkout": "/groups/{group}/checkout/",
    "replicas": "/replicas/",
    "replica-rules": "/replicas/rules/",
    "nas": "/replicas/nas/",
    "sites": "/sites/",
    "site": "/sites/{site}/",
    "enrolment": "/enrolment/",
    "keys": "/keys/",
    "audit": "/audit/",
    "api-tokens": "/my/tokens/",
}
_IDS = """
from django.contrib.auth.models import User
from checkout.models import CheckoutRequest
from clients.models import Client, Group, Site
from imaging.models import Distribution, MasterImage
from mydoc.models import FolderGrant, Volume, person_id
print(Client.objects.get(name="pc-sales-04").pk, Group.objects.get(name="sales").pk,
      MasterImage.objects.get(name="office-desktop").pk,
      Distribution.objects.filter(group__name="sales")[0].pk,
      Volume.objects.get(owner__username="sato").pk,
      FolderGrant.objects.get(person__username="admin", volume__owner__username="sato").pk,
      Client.objects.get(name="pc-sales-01").pk,
      Volume.objects.get(owner__username="ito", client__name="pc-sales-03").pk,
      CheckoutRequest.objects.latest("pk").pk, Site.objects.get().pk,
      *(person_id(User.objects.get(username=name)) for name in ("kato", "admin")))
"""


_NAMES = ("pc", "group", "image", "distribution", "volume", "grant", "answering", "broken")
_NAMES += ("checkout", "site", "kato", "admin")


class Portal(Server):
    """An installation with a small company in it. Without worker and clock: nothing moves unless told.

    One PC is there and answers what it is asked of the data on it.
    """

    answering: Answering | None = None
    ids: Mapping[str, str] = {}

    def __enter__(self) -> "Portal":
        (self.directory / "data").mkdir(parents=True, exist_ok=True)
        try:
            self.start_redis()
            self._set_up()
            self.act("company")
            self.start_web()
            self.ids = dict(zip(_NAMES, self.shell(_IDS).split(), strict=True))
            self.answering = Answering(self.url, self.ids["answering"], guests=self.ids)
            self.answering.start()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        if self.answering is not None:
            self.answering.end()
        super().stop()

    def act(self, verb: str, *words: str | int) -> None:
        """Lets the cast do something: `act("fetch", "pc-sales-03", 80)`."""
        self.shell(
            "from django.utils import timezone\nfrom tests.browser import cast\n"
            f"cast.{verb}(*{words!r}, now=timezone.now())"
        )

    def addresses(self) -> dict[str, str]:
        """Every page by name."""
        return {name: self.url + path.format(**self.ids) for name, path in PAGES.items()}


def begin_draft(page: Page, portal: Portal) -> None:
    """Takes a rule out of the policy of the group sales, without saving it."""
    page.goto(portal.addresses()["policy"])
    page.locator("#rule-3 button[value^=delete]").click()


def give_reason(page: Page, portal: Portal, words: str = "見積書の紛失に関する調査") -> None:
    """Says why the administrator looks into the data of sato."""
    page.goto(portal.addresses()["reason"])
    page.locator("#id_reason").fill(words)
    page.locator("main form[method=post] button").click()


@contextmanager
def chromium(*more: str) -> Iterator[Browser]:
    """Debian's browser, without a screen; `more` are switches of its command line."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", *more])
        try:
            yield browser
        finally:
            browser.close()


def log_in(context: BrowserContext, portal: Server) -> Page:
    """A page on which the administrator is logged in."""
    page = context.new_page()
    page.goto(f"{portal.url}/login/")
    page.fill("#id_username", portal.username)
    page.fill("#id_password", portal.password)
    page.click("main form button")
    page.wait_for_url(f"{portal.url}/")
    return page

"""Mail about checkout: to approvers at once and as a digest, to requesters, about what is not back.

Each mail is a row that is written once, by what the requests' rows say, and sent by the sweep; one that
cannot be sent waits. A mail holds no key and no password, and its link asks who comes by it to prove who they
are. Japanese first, then English: whose language is which is not known here.
"""

import logging
import smtplib
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime, time, timedelta

from django.conf import settings
from django.contrib.auth.models import User
from django.core.mail import EmailMessage
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.translation import gettext as _

from checkout import approvers
from checkout.models import CheckoutRequest, Letter
from clients import workdays
from clients.errors import Refusal
from clients.people.directory import DirectoryFailed

log = logging.getLogger("openvras.checkout")

State = CheckoutRequest.State
LANGUAGES = ("ja", "en")
DIGEST_AT = time(8, 30)  # on working days
NEWS = timedelta(days=1)  # what is older is no news any more
AT_ONCE = 100
TRIED_FOR = timedelta(days=7)  # whoever's mail server refuses it for so long gets it no more


def write(*, now: datetime) -> int:
    """Everything that is due and was not written yet; how many mails. Without a mail server: none."""
    if not settings.EMAIL_HOST:
        return 0
    before = Letter.objects.count()
    for part in (_ask, _tell, _warn, _digest):
        try:
            part(now)
        except Refusal as refusal:  # the directory is away: what it is needed for comes later
            log.warning("mail about checkout waits: %s", refusal)
    return Letter.objects.count() - before


def send(*, now: datetime) -> int:
    """What was not sent yet; how many went."""
    if not settings.EMAIL_HOST:
        return 0
    sent = 0
    waiting = Letter.objects.filter(sent_at=None, made_at__gt=now - TRIED_FOR).exclude(to="")
    for letter in waiting.order_by("pk")[:AT_ONCE]:
        mail = EmailMessage(letter.subject, letter.body, settings.DEFAULT_FROM_EMAIL, [letter.to])
        try:
            mail.send()
        except smtplib.SMTPRecipientsRefused as error:
            # The server answers, and does not want this one: the others are not held up by it.
            log.warning("mail %s is refused: %s", letter.pk, [code for code, _ in error.recipients.values()])
            continue
        except OSError as error:  # smtplib's are, too
            log.warning("mail cannot be sent, it is tried again: %s", type(error).__name__)
            break
        Letter.objects.filter(pk=letter.pk).update(sent_at=now)
        sent += 1
    return sent


def _ask(now: datetime) -> None:
    """To whoever may decide where a request waits."""
    for request in approvers.full(CheckoutRequest.objects.filter(state=State.WAITING)):
        step = request.current_step
        if step is None or Letter.objects.filter(key__startswith=f"step {step.pk} ").exists():
            continue
        link = _link("checkout:decide", request.pk) + "?from=mail"
        lines = [_line(request), link]
        to = approvers.addresses(step) or [""]
        _letters(f"step {step.pk}", to, "asks", lines, now=now)


def _tell(now: datetime) -> None:
    """To the requester: how it was decided, that the key is there."""
    rows = CheckoutRequest.objects.filter(
        state__in=(State.SENT_BACK, State.REJECTED, State.LENT, State.REVOKED), waits_since__gte=now - NEWS
    )
    for request in approvers.full(rows):
        lines = [_line(request), *([request.words] if request.words else [])]
        lines.append(_link("checkout:my-request", request.pk))
        about = f"request {request.pk} {request.round} {request.state}"
        _letters(about, [request.requester.email], request.state, lines, now=now)


def _warn(now: datetime) -> None:
    """Not back: the requester at once, the manager after a working day, administrators after three."""
    today = timezone.localtime(now).date()
    for request in approvers.full(CheckoutRequest.objects.filter(state=State.OVERDUE)):
        over = workdays.count(timezone.localtime(request.ends).date(), today) - 1
        lines = [_line(request), _link("checkout:my-request", request.pk)]
        about = f"overdue {request.pk}"
        _letters(f"{about} user", [request.requester.email], "overdue", lines, now=now)
        if over >= 1 and not _written(f"{about} manager"):
            with suppress(DirectoryFailed):  # it is away: asked again by the next sweep
                _letters(f"{about} manager", [_manager(request)], "overdue", lines, now=now)
        if over >= 3:
            _letters(f"{about} administrator", _administrators(), "overdue", lines, now=now)


def _digest(now: datetime) -> None:
    """Once on a working day at most: what has waited for somebody since the day before, or longer."""
    local = timezone.localtime(now)
    day = local.date()
    if local.time() < DIGEST_AT or not workdays.is_workday(day) or _written(f"digest {day}"):
        return
    midnight = timezone.make_aware(datetime.combine(day, time()))
    rows = CheckoutRequest.objects.filter(state=State.WAITING, waits_since__lt=midnight)
    waiting: dict[str, list[str]] = {}
    for request in approvers.full(rows):
        step = request.current_step
        for address in approvers.addresses(step) if step else []:
            waiting.setdefault(address, []).append(_line(request))
    for address, lines in waiting.items():
        _letters(f"digest {day}", [address], "digest", [*lines, _link("checkout:inbox")], now=now)


def _letters(about: str, to: Iterable[str], kind: str, lines: list[str], *, now: datetime) -> None:
    for address in to:
        subject, body = _text(kind, lines)
        Letter.objects.get_or_create(
            key=f"{about} {address}"[:200],
            defaults={"to": address, "subject": subject, "body": body, "made_at": now},
        )


def _text(kind: str, lines: list[str]) -> tuple[str, str]:
    subjects, parts = [], []
    for language in LANGUAGES:
        with translation.override(language):
            words = {
                "asks": _("A checkout waits for your approval"),
                "digest": _("Checkouts that wait for your approval"),
                "sent_back": _("Your checkout request was sent back"),
                "rejected": _("Your checkout request was rejected"),
                "lent": _("Your checkout was approved; the key is on its way to the PC"),
                "revoked": _("Your checkout was called back"),
                "overdue": _("A PC that was lent is not back after its deadline"),
            }[kind]
        subjects.append(words)
        parts.append("\n".join([words, "", *lines]))
    return " / ".join(subjects)[:200], "\n\n-- \n".join(parts) + "\n"


def _line(request: CheckoutRequest) -> str:
    starts, ends = (
        timezone.localtime(at).strftime("%Y-%m-%d %H:%M") for at in (request.starts, request.ends)
    )
    who = request.requester.get_full_name() or request.requester.get_username()
    return " ".join(f"#{request.pk} {who} {request.client}: {starts} – {ends} {request.destination}".split())


def _link(name: str, *args: object) -> str:
    host = settings.ALLOWED_HOSTS[0]
    return ("" if host == "*" else f"https://{host}") + reverse(name, args=args)


def _written(about: str) -> bool:
    return Letter.objects.filter(key__startswith=f"{about} ").exists()


def _manager(request: CheckoutRequest) -> str:
    """Their address; "" where the directory names none. Raises DirectoryFailed."""
    try:
        return approvers.manager_of(request.requester).email
    except DirectoryFailed:
        raise
    except Refusal:
        return ""


def _administrators() -> list[str]:
    rows = User.objects.filter(is_active=True, is_staff=True).exclude(email="")
    return list(rows.values_list("email", flat=True)) or [""]

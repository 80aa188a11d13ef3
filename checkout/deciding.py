"""How a request is decided, step by step: approved, approved for less, sent back, rejected; several at once.

Each decision is one UPDATE of a step that has none yet, in the transaction that saw the request waiting at
it: of two who decide at once, one does. Who may is asked right before, and never remembered.
"""

from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from typing import Any

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.utils.translation import gettext_lazy as _

from checkout import approvers, lending
from checkout.approvers import Asked
from checkout.models import CheckoutRequest, RequestStep
from clients import auditing, nudge
from clients.errors import Refusal, WrongState

State = CheckoutRequest.State
Decision = RequestStep.Decision


def approve(
    request: CheckoutRequest,
    *,
    by: User,
    now: datetime,
    ends: datetime | None = None,
    words: str = "",
    seen: int | None = None,
    asked: Asked | None = None,
) -> None:
    """This step's yes; with the last one the key is made as soon as it may be. `ends` shortens the period,
    `seen` is the step that the approver looked at.

    Raises Refusal: own_request, not_the_approver, group_changed, bad_period, decided, approved_before;
    WrongState.
    """
    step, principal = _step(request, by=by, now=now, seen=seen, asked=asked)
    if request.client.group_id != request.group_id:
        raise Refusal("group_changed", lending.OBSTACLES["group_changed"])
    until = ends or request.ends
    if not max(request.starts, now) < until <= request.ends:
        raise Refusal(
            "bad_period",
            _("The period can be shortened, to a time after its start and after now."),
            status=400,
        )
    with transaction.atomic():
        row = _decide(request, step, Decision.APPROVED, by=by, principal=principal, words=words, now=now)
        done = row.steps_done + 1
        if done < row.steps_total:
            CheckoutRequest.objects.filter(pk=row.pk).update(steps_done=done, waits_since=now, ends=until)
        else:
            row.move(
                State.PERMITTED, steps_done=done, ends=until, waits_since=now, words=words[:500], reason=words
            )
    request.refresh_from_db()
    _show(request)
    if request.state == State.PERMITTED:
        with suppress(Refusal):  # the sweep tries again, and the page says what is in the way
            lending.lend(request, now=now)


def send_back(
    request: CheckoutRequest, *, by: User, words: str, now: datetime, seen: int | None = None
) -> None:
    """Its requester may mend it; then it begins at the first step again. Raises the same as `approve`."""
    _say_no(request, Decision.SENT_BACK, State.SENT_BACK, by=by, words=words, now=now, seen=seen)


def reject(request: CheckoutRequest, *, by: User, words: str, now: datetime, seen: int | None = None) -> None:
    """The end of it. Raises the same as `approve`."""
    _say_no(request, Decision.REJECTED, State.REJECTED, by=by, words=words, now=now, seen=seen)


def approve_each(
    requests: Iterable[tuple[CheckoutRequest, int | None]], *, by: User, now: datetime
) -> tuple[int, list[Refusal]]:
    """Several at once, each by itself; how many went, and why the others did not."""
    asked, done, refused = Asked(), 0, []
    for request, seen in requests:
        try:
            approve(request, by=by, now=now, seen=seen, asked=asked)
            done += 1
        except Refusal as refusal:
            refused.append(refusal)
    return done, refused


def _say_no(
    request: CheckoutRequest,
    decision: Decision,
    to: str,
    *,
    by: User,
    words: str,
    now: datetime,
    seen: int | None,
) -> None:
    if not words.strip():
        raise Refusal("no_reason", _("Say why: the requester reads it."), status=400)
    step, principal = _step(request, by=by, now=now, seen=seen, asked=None)
    with transaction.atomic():
        row = _decide(request, step, decision, by=by, principal=principal, words=words, now=now)
        ended: dict[str, Any] = {"ended_at": now} if to == State.REJECTED else {}
        row.move(to, reason=words, words=words[:500], waits_since=now, **ended)
    request.refresh_from_db()
    _show(request)


def _step(
    request: CheckoutRequest, *, by: User, now: datetime, seen: int | None, asked: Asked | None
) -> tuple[RequestStep, User | None]:
    """Where it waits, and in whose place `by` decides there. The directory is asked, so outside of any
    transaction."""
    request.refresh_from_db()
    step = request.current_step
    if step is None:
        if by.pk == request.requester_id:
            raise Refusal("own_request", _("Nobody decides about their own request."), status=403)
        raise WrongState(request, request.state, State.PERMITTED)
    principal = approvers.in_whose_place(step, by, asked=asked or Asked(), now=now)
    if seen is not None and seen != step.pk:
        raise decided()
    return step, principal


def _decide(
    request: CheckoutRequest,
    step: RequestStep,
    decision: Decision,
    *,
    by: User,
    principal: User | None,
    words: str,
    now: datetime,
) -> CheckoutRequest:
    """The request's row, held; the step is decided. Call it inside a transaction."""
    row = CheckoutRequest.objects.select_for_update(of=("self",)).get(pk=request.pk)
    here = row.current_step
    if here is None:
        raise WrongState(row, row.state, State.PERMITTED)
    if here.pk != step.pk:
        raise decided()
    try:
        with transaction.atomic():
            changed = RequestStep.objects.filter(pk=step.pk, decision="").update(
                decision=decision,
                decided_by=by,
                instead_of=principal,
                decided_at=now,
                decided_words=words[:500],
            )
    except IntegrityError as error:
        raise Refusal(
            "approved_before",
            _("You approved an earlier step of this request: another approver has to decide here."),
            status=403,
        ) from error
    if not changed:
        raise decided()
    auditing.record(
        f"checkoutrequest.step_{decision}",
        row,
        after={
            "step": step.position,
            "of": row.steps_total,
            "who": step.words,
            "instead_of": principal.get_username() if principal else "",
        },
        reason=words[:500],
    )
    return row


def decided() -> Refusal:
    return Refusal("decided", _("Somebody decided this step meanwhile. Look again."))


def _show(request: CheckoutRequest) -> None:
    nudge.node(request.client)
    nudge.pages("checkouts", f"my.{request.requester_id}", f"client.{request.client_id}")

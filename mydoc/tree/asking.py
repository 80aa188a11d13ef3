"""Asks a PC something about an open volume, now, and waits for its answer: what people see of user data.

The question waits in the quick store until the PC, nudged, fetches it; the answer comes back sealed to a key
made for this one question, which lies in the memory of the asking process alone. So no row, no Redis and no
backup of either ever holds a name or a byte of anybody's data. Whoever may ask is not decided here.
"""

import secrets
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import redis
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from django.utils.translation import gettext_lazy as _

from clients import nudge, presence, quickstore
from clients.errors import Refusal
from clients.models import Client
from mydoc import bytepaths
from mydoc.models import Volume
from mydoc.volumes import standing
from vrasnode import sealing
from vrasnode.errors import Refused
from vrasnode.wire import codec
from vrasnode.wire import mydoc as wire

ANSWER_S = 10  # how long somebody waits at most
KEPT_S = 30  # how long anything of a question may lie in the quick store
MAX_AT_ONCE = 8  # questions to one PC
_TURN_S = 2  # of waiting, in one go: the quick store's own time-out is longer


@dataclass(frozen=True)
class Asked:
    """A question that is on its way to a PC."""

    client: Client
    question: wire.Question
    key: X25519PrivateKey = field(repr=False)

    def answer(self, *, until: float | None = None) -> wire.Answer:
        """What the PC says, at the latest at `until` (monotonic; by default in ten seconds from now).

        Raises Refusal: pc_slow, bad_answer, and what the PC refuses (`refusal_of`).
        """
        deadline = time.monotonic() + ANSWER_S if until is None else until
        try:
            with _quick():
                sealed = _wait(_answer_name(self.question.id), deadline)
        finally:
            self.forget()
        if sealed is None:
            raise Refusal(
                "pc_slow",
                _("%(pc)s did not answer within %(seconds)d seconds. Try again, or look at its page.")
                % {"pc": self.client, "seconds": ANSWER_S},
                status=504,
            )
        answer = self._opened(sealed)
        if answer.code:
            raise refusal_of(answer, self.client)
        return answer

    def forget(self) -> None:
        """Nobody waits for the answer any more."""
        with _quick() as store:
            store.zrem(_waiting_name(self.client.pk), self.question.id)

    def _opened(self, sealed: bytes) -> wire.Answer:
        try:
            data = sealing.open_sealed(sealed, self.key, purpose=sealing.answer_purpose(self.question.id))
            answer = codec.decode(data, wire.Answer)
        except Refused as error:
            raise _bad_answer(self.client) from error
        given = len(answer.data) if self.question.act is wire.Act.READ else len(answer.entries)
        if given > self.question.length:  # no honest agent gives more than it was asked for
            raise _bad_answer(self.client)
        return answer


def ask(volume: Volume, act: wire.Act, *, now: datetime, **about: Any) -> wire.Answer:
    """`begin`, and the answer."""
    return begin(volume, act, now=now, **about).answer()


def begin(volume: Volume, act: wire.Act, *, now: datetime, **about: Any) -> Asked:
    """Sends a question and does not wait; `about` are the other fields of the wire's `Question`.

    Raises Refusal: pc_off, volume_locked, too_many_questions, quick_store_away.
    """
    client = volume.client
    check(volume, now=now)
    key = X25519PrivateKey.generate()
    question = wire.Question(
        id=secrets.token_hex(16),
        volume=str(volume.pk),
        act=act,
        reply_key=key.public_key().public_bytes_raw(),
        **about,
    )
    with _quick() as store:
        _line_up(store, client, question, now=now)
    nudge.node(client)
    return Asked(client, question, key)


def asked(client: Client) -> int:
    """How many questions this PC was asked, ever more: it stands in the PC's slice."""
    try:
        return int(quickstore.client().get(_asked_name(client.pk)) or 0)
    except redis.RedisError:  # no questions then either; the slice must come about all the same
        return 0


def take(client: Client) -> list[wire.Question]:
    """The questions to this PC that somebody waits for; each is given out once."""
    with _quick() as store:
        with store.pipeline() as pipe:
            pipe.lrange(_questions_name(client.pk), 0, -1)
            pipe.delete(_questions_name(client.pk))
            lying = [codec.decode(raw, wire.Question) for raw in pipe.execute()[0]]
        waiting = set(store.zrange(_waiting_name(client.pk), 0, -1))
    return [question for question in lying if question.id.encode() in waiting]


def hear(client: Client, question: str, sealed: bytes) -> None:
    """Takes this PC's answer, once. Raises Refusal(not_asked): another PC was, or nobody waits any more."""
    with _quick() as store:
        if not store.zrem(_waiting_name(client.pk), question):
            raise Refusal(
                "not_asked", "Nobody waits for an answer to this question from this PC.", status=410
            )
        with store.pipeline() as pipe:
            pipe.rpush(_answer_name(question), sealed)
            pipe.expire(_answer_name(question), KEPT_S)
            pipe.execute()


def refusal_of(answer: wire.Answer, client: Client) -> Refusal:
    """What a PC says when it does not do it: in the reader's language where we know the code."""
    status, words = _NOES.get(answer.code, (409, None))
    if words is None:
        said = bytepaths.readable(answer.words or answer.code, 500)
        return Refusal(bytepaths.readable(answer.code, 60), said, status=status)
    return Refusal(answer.code, words % {"pc": client}, status=status)


_LOCKED = _("This data is locked on %(pc)s: its owner is not logged on there.")
_NOES = {
    "no_such_name": (404, _("There is no such file or folder any more. Look at the folder again.")),
    "bad_path": (404, _("There is no such file or folder any more. Look at the folder again.")),
    "not_a_folder": (409, _("This is no folder.")),
    "not_a_file": (409, _("This is no file that could be downloaded.")),
    "not_permitted": (403, _("The owner's PC does not permit it: this was not shared with you.")),
    "not_writable": (403, _("The owner's PC does not permit it: only reading was shared with you there.")),
    "name_taken": (409, _("There is something of this name already. Nothing was overwritten.")),
    "not_whole": (409, _("The file did not arrive whole, so nothing was changed. Send it again.")),
    "no_such_upload": (409, _("The PC does not know this upload any more. Send the file again.")),
    "disk_full": (507, _("The data on %(pc)s has no room left for this.")),
    "is_a_link": (409, _("This is a link. Links are shown and never followed.")),
    "volume_locked": (503, _LOCKED),
    "volume_closed": (503, _LOCKED),
    "volume_gone": (503, _LOCKED),
    "volume_damaged": (
        503,
        _("The file system of this data on %(pc)s is damaged. Look at the volume's page."),
    ),
    "service_silent": (
        503,
        _("The virtual server of %(pc)s does not answer. The PC starts it again by itself: try in a minute."),
    ),
}


def check(volume: Volume, *, now: datetime) -> None:
    """Whether its PC can be asked now. Raises Refusal: pc_off, volume_locked, quick_store_away."""
    client = volume.client
    with _quick():
        heard = presence.of([client], now=now)[client.pk]
    if client.state != Client.State.APPROVED or not heard.present:
        raise Refusal("pc_off", standing.off_words(client, heard), status=503)
    if not standing.is_open(volume):
        raise Refusal("volume_locked", _LOCKED % {"pc": client}, status=503)


def _line_up(store: Any, client: Client, question: wire.Question, *, now: datetime) -> None:
    waiting, questions = _waiting_name(client.pk), _questions_name(client.pk)
    with store.pipeline() as pipe:
        pipe.zremrangebyscore(waiting, "-inf", now.timestamp() - KEPT_S)
        pipe.zadd(waiting, {question.id: now.timestamp()})
        pipe.expire(waiting, KEPT_S)
        pipe.zcard(waiting)
        count = pipe.execute()[-1]
    if count > MAX_AT_ONCE:
        store.zrem(waiting, question.id)
        raise Refusal(
            "too_many_questions",
            _("%(pc)s is answering others. Try again in a few seconds.") % {"pc": client},
            status=429,
        )
    with store.pipeline() as pipe:
        pipe.rpush(questions, codec.encode(question))
        pipe.ltrim(questions, -MAX_AT_ONCE, -1)
        pipe.expire(questions, KEPT_S)
        # A quick store that lost its memory must not count from one again: PCs have seen more.
        pipe.set(_asked_name(client.pk), int(now.timestamp()), nx=True)
        pipe.incr(_asked_name(client.pk))
        pipe.execute()


def _wait(name: str, deadline: float) -> bytes | None:
    """What comes in time. Asked once also when there is no time left: it may lie there already."""
    store = quickstore.client()
    while (left := deadline - time.monotonic()) > 0:
        found = store.blpop([name], timeout=max(0.01, min(_TURN_S, left)))
        if found is not None:
            return bytes(found[1])
    late: bytes | None = store.lpop(name)
    return late


@contextmanager
def _quick() -> Iterator[Any]:
    try:
        yield quickstore.client()
    except redis.RedisError as error:
        raise Refusal(
            "quick_store_away", _("Redis does not answer, so no PC can be asked. Start it again."), status=503
        ) from error


def _bad_answer(client: Client) -> Refusal:
    return Refusal(
        "bad_answer",
        _("What %(pc)s answered cannot be read. Its agent may be of another version.") % {"pc": client},
    )


def _asked_name(client_id: uuid.UUID) -> str:
    return f"vras:asked:{client_id}"


def _questions_name(client_id: uuid.UUID) -> str:
    return f"vras:questions:{client_id}"


def _waiting_name(client_id: uuid.UUID) -> str:
    return f"vras:waiting:{client_id}"


def _answer_name(question: str) -> str:
    return f"vras:answer:{question}"

"""Questions to a PC about an open volume: answered by that PC alone, once, sealed to who asked."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest
from django.contrib.auth.models import User

from clients import nudge, quickstore
from clients.errors import Refusal
from clients.models import Group
from mydoc.models import Opening, Volume
from mydoc.tree import asking
from tests.mydoc.answering import AnsweringPc, beat, tell
from tests.pcs import FakePc
from vrasnode import sealing
from vrasnode.wire import codec
from vrasnode.wire.mydoc import MAX_ANSWER_BYTES, Act, Answer, Entry, EntryKind, Question, VolumeState

pytestmark = pytest.mark.django_db


@pytest.fixture
def waiting(volume: Volume, now: datetime) -> asking.Asked:
    """A question that the PC has not fetched yet."""
    return asking.begin(volume, Act.READ, path=b"notes.txt", length=100, now=now)


def lying() -> bytes:
    """Everything in the quick store, whatever it is."""
    store = quickstore.client()
    read: dict[bytes, Callable[[bytes], Any]] = {
        b"string": store.get,
        b"list": lambda name: store.lrange(name, 0, -1),
        b"zset": lambda name: store.zrange(name, 0, -1),
        b"hash": store.hgetall,
    }
    return repr([read[store.type(name)](name) for name in store.scan_iter()]).encode()


def test_a_question_is_answered_by_the_pc_that_holds_the_volume(
    answering: AnsweringPc, volume: Volume, now: datetime
) -> None:
    answer = asking.ask(volume, Act.READ, path=b"notes.txt", offset=1, length=3, now=now)

    assert (answer.data, answer.size_bytes) == (b"ell", 5)
    assert [question.volume for question in answering.asked] == [str(volume.pk)]


def test_nothing_of_the_answer_lies_readable_in_the_quick_store(waiting: asking.Asked, pc: FakePc) -> None:
    AnsweringPc(pc, files={b"notes.txt": b"a canary of the cellar"}).look()

    assert b"vras:answer" in repr(quickstore.client().keys()).encode()
    assert b"canary" not in lying()
    assert waiting.answer().data == b"a canary of the cellar"


def test_all_that_lies_there_goes_by_itself(waiting: asking.Asked, pc: FakePc) -> None:
    AnsweringPc(pc, files={b"notes.txt": b"x"}).look()
    asking.begin(Volume.objects.get(), Act.LIST, length=1, now=waiting_since())

    store = quickstore.client()
    names = [
        name
        for name in store.scan_iter()
        if b":waiting:" in name or b":questions:" in name or b":answer:" in name
    ]
    assert len(names) == 3
    assert all(0 < store.ttl(name) <= asking.KEPT_S for name in names)


def waiting_since() -> datetime:
    return Opening.objects.get().asked_at


def test_each_question_is_given_out_once_and_to_its_pc_alone(
    waiting: asking.Asked, pc: FakePc, enrol: Callable[..., FakePc], sales: Group
) -> None:
    def fetched(by: FakePc) -> list[str]:
        message = msgspec.json.decode(by.get("/node/v1/mydoc/questions").content)
        return [question["id"] for question in message["questions"]]

    assert fetched(enrol("pc-other", group=sales)) == []
    assert fetched(pc) == [waiting.question.id]
    assert fetched(pc) == []


def test_another_pc_cannot_answer(waiting: asking.Asked, enrol: Callable[..., FakePc], sales: Group) -> None:
    thief = AnsweringPc(enrol("pc-other", group=sales))

    posted = thief.post(waiting.question, Answer(data=b"lies", size_bytes=4))

    assert (posted.status_code, posted.json()["code"]) == (410, "not_asked")


def test_a_question_is_answered_once(waiting: asking.Asked, pc: FakePc) -> None:
    there = AnsweringPc(pc, files={b"notes.txt": b"first"})
    there.look()

    again = there.post(waiting.question, Answer(data=b"again", size_bytes=5))

    assert again.status_code == 410
    assert waiting.answer().data == b"first"


def test_an_answer_to_another_question_opens_nothing(waiting: asking.Asked, pc: FakePc) -> None:
    answer = codec.encode(Answer(data=b"x", size_bytes=1))
    sealed = sealing.seal(answer, waiting.question.reply_key, purpose=sealing.answer_purpose("0" * 32))

    pc.post(f"/node/v1/mydoc/answers/{waiting.question.id}", sealed)

    with pytest.raises(Refusal, match="bad_answer"):
        waiting.answer()


@pytest.mark.parametrize(
    "answer",
    [
        Answer(data=bytes(101), size_bytes=101),
        Answer(entries=[Entry(name=b"x", kind=EntryKind.FILE)] * 1001),
    ],
    ids=["more bytes", "more entries"],
)
def test_a_pc_that_gives_more_than_it_was_asked_for_is_not_believed(
    answering: AnsweringPc, volume: Volume, now: datetime, answer: Answer
) -> None:
    answering.answer = lambda _question: answer
    act = Act.READ if answer.data else Act.LIST

    with pytest.raises(Refusal, match="bad_answer"):
        asking.ask(volume, act, length=100, now=now)


def test_an_answer_that_is_too_long_is_not_taken(waiting: asking.Asked, pc: FakePc) -> None:
    posted = pc.post(f"/node/v1/mydoc/answers/{waiting.question.id}", bytes(MAX_ANSWER_BYTES + 1))

    assert posted.status_code == 413


def test_a_pc_without_contact_is_said_to_be_off_and_since_when(volume: Volume, now: datetime) -> None:
    with pytest.raises(Refusal, match="pc_off") as told:
        asking.ask(volume, Act.LIST, length=1, now=now + timedelta(hours=1))

    assert "pc-sales-01 is off, or not on the network, since" in str(told.value.words)


@pytest.mark.parametrize("how", ["told", "logged off"])
def test_a_locked_volume_is_not_asked(volume: Volume, now: datetime, how: str) -> None:
    if how == "told":
        tell(volume, state=VolumeState.LOCKED, now=now)
    else:
        Opening.objects.get().move(Opening.State.CLOSED)

    with pytest.raises(Refusal, match="volume_locked"):
        asking.ask(volume, Act.LIST, length=1, now=now)


def test_a_pc_that_is_too_slow_is_not_waited_for(waiting: asking.Asked, pc: FakePc) -> None:
    with pytest.raises(Refusal, match="pc_slow"):
        waiting.answer(until=0)

    assert pc.get("/node/v1/mydoc/questions").json() == {"questions": []}


def test_only_so_many_questions_wait_for_one_pc(volume: Volume, pc: FakePc, now: datetime) -> None:
    first, *_others = [
        asking.begin(volume, Act.LIST, length=1, now=now) for _count in range(asking.MAX_AT_ONCE)
    ]
    with pytest.raises(Refusal, match="too_many_questions"):
        asking.begin(volume, Act.LIST, length=1, now=now)

    first.forget()

    asking.begin(volume, Act.LIST, length=1, now=now)
    assert len(pc.get("/node/v1/mydoc/questions").json()["questions"]) == asking.MAX_AT_ONCE


def test_questions_that_nobody_ended_make_room_in_time(volume: Volume, pc: FakePc, now: datetime) -> None:
    for _count in range(asking.MAX_AT_ONCE):
        asking.begin(volume, Act.LIST, length=1, now=now)
    later = now + timedelta(seconds=asking.KEPT_S + 1)
    beat(pc, now=later)

    asking.begin(volume, Act.LIST, length=1, now=later)


def test_the_pc_is_told_by_a_number_that_only_grows(volume: Volume, now: datetime) -> None:
    before = asking.asked(volume.client)
    asking.begin(volume, Act.LIST, length=1, now=now)
    first = asking.asked(volume.client)
    quickstore.client().flushdb()
    beat_again(volume, now=now + timedelta(seconds=5))
    asking.begin(volume, Act.LIST, length=1, now=now + timedelta(seconds=5))

    assert before < first < asking.asked(volume.client)


def beat_again(volume: Volume, *, now: datetime) -> None:
    beat(FakePc(volume.client, None), now=now)  # type: ignore[arg-type]  # its key is not needed


def test_a_virtual_server_that_is_silent_is_said(
    answering: AnsweringPc, volume: Volume, now: datetime
) -> None:
    answering.answer = lambda _question: Answer(code="service_silent", words="…")

    with pytest.raises(Refusal, match="virtual server of pc-sales-01") as told:
        asking.ask(volume, Act.LIST, length=1, now=now)

    assert (told.value.code, told.value.status) == ("service_silent", 503)


def test_words_of_a_newer_pc_are_shown_and_do_no_harm(
    answering: AnsweringPc, volume: Volume, now: datetime
) -> None:
    answering.answer = lambda _question: Answer(code="moon_phase", words="Not\nnow\u202e" + "x" * 9999)

    with pytest.raises(Refusal, match="moon_phase") as told:
        asking.ask(volume, Act.LIST, length=1, now=now)

    assert str(told.value.words).startswith("Not\\x0anow\\u202ex")
    assert len(str(told.value.words)) < 520


def test_without_the_quick_store_it_is_said(volume: Volume, now: datetime, settings: Any) -> None:
    settings.REDIS = "redis://127.0.0.1:1/0"
    quickstore.client.cache_clear()
    try:
        with pytest.raises(Refusal, match="quick_store_away"):
            asking.ask(volume, Act.LIST, length=1, now=now)
        assert asking.asked(volume.client) == 0
    finally:
        quickstore.client.cache_clear()


def test_the_pc_is_nudged_for_a_question(
    volume: Volume, now: datetime, django_capture_on_commit_callbacks: Any
) -> None:
    look = nudge.look_name(volume.client.pk)

    with django_capture_on_commit_callbacks(execute=True):
        asking.begin(volume, Act.LIST, length=1, now=now)

    assert quickstore.client().get(look) == b"1"


def test_no_repr_tells_the_key(waiting: asking.Asked, sato: User) -> None:
    assert "Private" not in repr(waiting)
    assert isinstance(waiting.question, Question)

"""Every act that the audit log can name is told in words of both languages, and none of them twice over."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.apps import apps
from django.utils import translation

from checkout.models import RequestStep
from clients import actwords
from clients.stateful import Stateful
from mydoc.tree.browsing import VERBS
from vrasnode.wire.checkout import LeaseState
from vrasnode.wire.devices import DeviceHappening

ROOT = Path(__file__).parents[1]
PARTS = ("clients", "imaging", "mydoc", "checkout", "config")
# What the braces of a verb that is put together stand for.
PUT_TOGETHER = {
    "checkoutrequest.step_{}": RequestStep.Decision.values,
    "delivery.{}": ["paused", "resumed", "left_out"],
    "device.{}": list(DeviceHappening),
    "lease.told_{}": list(LeaseState),
    "naslook.{}": ["good", "bad"],
    "{}.policy_changed": ["group", "client", "user"],
    "site.{}": ["changed", "created"],
    "subscription.{}": ["changed", "created"],
    "volume.{}": list(VERBS.values()),
}


def recorded() -> Iterator[str]:
    """What the source hands to `auditing.record`; `{}` where it puts something in."""
    for part in PARTS:
        for file in sorted((ROOT / part).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Call) and ast.unparse(node.func) == "auditing.record":
                    yield from _texts(node.args[0])


def _texts(node: ast.expr) -> Iterator[str]:
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.IfExp():
            yield from (*_texts(node.body), *_texts(node.orelse))
        case ast.JoinedStr():
            yield "".join(piece.value if isinstance(piece, ast.Constant) else "{}" for piece in node.values)
        case _:
            raise AssertionError(f"cannot tell what {ast.unparse(node)} is: write it as a text")


def moved() -> Iterator[str]:
    """What `Stateful.move` calls each arrow."""
    for model in apps.get_models():
        if issubclass(model, Stateful):
            for targets in model.ARROWS.values():
                yield from (f"{model._meta.model_name}.{target}" for target in targets)


def verbs() -> set[str]:
    found = set(moved())
    for text in recorded():
        if text == "{}.{}":  # `move` itself
            continue
        if "{}" not in text:
            found.add(text)
            continue
        assert text in PUT_TOGETHER, f"say in PUT_TOGETHER what {text} may become"
        found |= {text.replace("{}", str(one)) for one in PUT_TOGETHER[text]}
    return found


@pytest.mark.parametrize("verb", sorted(verbs()))
def test_every_act_has_words(verb: str) -> None:
    with translation.override("ja"):
        kind, _colon, done = actwords.words(verb).partition(": ")

    assert verb in actwords.OF_ONE or verb.partition(".")[2] in actwords.ACTS
    assert not kind.isascii(), f"nothing says what {kind} is, or not in Japanese"
    assert not done.isascii(), f"nothing says what {done} is, or not in Japanese"


def test_no_words_are_kept_for_what_nobody_does() -> None:
    found = verbs()

    done = {verb.partition(".")[2] for verb in found}
    assert sorted(set(actwords.ACTS) - done) == []
    assert sorted(set(actwords.OF_ONE) - found) == []

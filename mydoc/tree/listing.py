"""How pages show what lies in a folder, and that it cannot be shown. Not a view, and no verb."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from clients.errors import Refusal
from mydoc import bytepaths
from mydoc.tree.browsing import Listed
from vrasnode.wire import mydoc as wire

MAX_CRUMBS = 8


@dataclass(frozen=True)
class Row:
    """An entry as a page shows it. `shared`: somebody else may see it, and it is known whom."""

    entry: wire.Entry
    path: bytes
    shared: bool = False

    @property
    def folder(self) -> bytes:
        """Where it lies."""
        return bytepaths.parent(self.path)

    @property
    def name(self) -> bytes:
        return bytepaths.last(self.path)


def rows(folder: bytes, listed: Listed | None, shared: Collection[bytes] = ()) -> list[Row]:
    """The entries with their paths. A name that can be none is left out: its PC made it up."""
    found = []
    for entry in listed.entries if listed else []:
        path = bytepaths.joined(folder, entry.name)
        try:
            bytepaths.checked(path)
        except ValueError:
            continue
        if not entry.name:
            continue
        found.append(Row(entry, path, path in shared))
    return found


def crumbs(path: bytes, *, within: bytes = b"") -> dict[str, Any]:
    """The way to a folder, for `mydoc/crumbs.html`; of a long one the end."""
    steps = [step for step in bytepaths.steps(path) if bytepaths.within(step, within)]
    return {"steps": steps[-MAX_CRUMBS:], "cut": len(steps) > MAX_CRUMBS, "root": b""}


def after_of(request: HttpRequest) -> bytes:
    """The name after which the page begins; the first one for nonsense."""
    try:
        return bytepaths.path_of(request.GET.get("after", ""))
    except ValueError:
        return b""


def refused(request: HttpRequest, template: str, context: dict[str, Any], refusal: Refusal) -> HttpResponse:
    """The page itself says why it is empty: a redirect to where one came from might meet the same no."""
    status = refusal.status if refusal.status in (403, 404) else 200
    return render(request, template, context | {"refusal": refusal}, status=status)

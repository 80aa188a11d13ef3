"""Who besides the owner may read or change which folder: access control lists, set and read back.

Wanted is one list of grants for the whole volume. Each walk brings every file and folder to it: below a
granted folder all that is there, and by default lists all that will be; above it the right to pass through;
elsewhere nothing. So what is no longer granted goes, a walk that was cut is made good by the next, and one
that finds everything as it should be writes nothing. What is moved out of a granted folder keeps its list
until then: ask for a walk now and again.
"""

import errno
import os
import stat
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from vrasnode.servicevm.guest import acls, paths
from vrasnode.servicevm.guest.acls import PASS, READ, WRITE
from vrasnode.servicevm.guest.answering import Ops, Refusal
from vrasnode.servicevm.guest.errnos import refusal_of
from vrasnode.servicevm.guest.workers import FIRST_PERSON, Workers

WALK_S = 3600.0
MAX_GRANTS = 1000
STAMP = "trusted.openvras.grants"  # on the volume's root, while anything is or may be granted
_People = tuple[tuple[int, int], ...]  # uids with their bits, in order

BITS = {"read": READ | PASS, "write": READ | WRITE | PASS}


@dataclass(frozen=True, order=True)
class Grant:
    """`access` is "read", or "write" (and read)."""

    path: bytes
    uid: int
    access: str


def add_to(ops: Ops, *, workers: Workers, data: Path) -> None:
    """Adds `grants_apply`."""
    one_at_a_time = threading.Lock()

    def grants_apply(serial: str, grants: list[Mapping[str, Any]]) -> Mapping[str, Any]:
        wanted = grants_of(grants)
        with one_at_a_time:
            return workers.run(serial, lambda: apply(data / serial, wanted), limit_s=WALK_S)

    ops.add("grants_apply", grants_apply)


def grants_of(grants: object) -> list[Grant]:
    """Raises Refusal(bad_args, bad_path)."""
    if not isinstance(grants, list) or len(grants) > MAX_GRANTS:
        raise Refusal("bad_args", f"grants has to be a list of at most {MAX_GRANTS}.")
    return sorted({_grant(one) for one in grants})


def apply(root: Path, grants: Iterable[Grant]) -> Mapping[str, Any]:
    """Brings the volume to these grants.

    `applied` is what the lists say now, read back; `failed` says for the path of a grant (base64) why it does
    not hold for all that lies there, and under the empty path what else went wrong.
    """
    plan = _Plan.of(grants)
    with paths.folder(root, ()) as top:
        if not plan.grants and not _is_stamped(top):
            return {"applied": [], "failed": {}}
        os.setxattr(top, STAMP, b"1")
        _Applying(plan, top).go()
        applied = [read for grant in plan.grants if (read := _read_back(root, grant, plan)) is not None]
        if not plan.grants and not plan.failed:
            os.removexattr(top, STAMP)
    return {"applied": applied, "failed": plan.failed}


@dataclass
class _Plan:
    """What each place should have."""

    grants: list[Grant]
    own: dict[bytes, dict[int, int]] = field(default_factory=dict)  # what begins at a path
    passing: dict[bytes, dict[int, int]] = field(default_factory=dict)  # who goes through a path
    failed: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, grants: Iterable[Grant]) -> "_Plan":
        plan = cls(sorted(grants))
        for grant in plan.grants:
            own = plan.own.setdefault(grant.path, {})
            own[grant.uid] = own.get(grant.uid, 0) | BITS[grant.access]
            for path in _above(grant.path):
                plan.passing.setdefault(path, {})[grant.uid] = PASS
        return plan

    def fail(self, path: bytes, words: str) -> None:
        """At this path: said of all grants that hold there."""
        for grant in [one.path for one in self.grants if _covers(one.path, path)] or [b""]:
            self.failed.setdefault(paths.text_of(grant), words)


@dataclass(frozen=True)
class _Folder:
    """Where a walk is, and who holds what on all that is there, as far as no grant of its own says more."""

    path: bytes
    people: Mapping[int, int]

    @cached_property
    def names(self) -> _People:
        return _frozen(self.people)

    def below(self, name: bytes) -> bytes:
        return self.path + b"/" + name if self.path else name


class _Applying:
    """One walk, in a process of its own: it goes from folder to folder."""

    def __init__(self, plan: _Plan, top: int) -> None:
        self._plan = plan
        self._top = top

    def go(self) -> None:
        own = self._plan.own
        trail = [_Folder(b"", own.get(b"", {}))]
        self._try(self._top, b".", b"", trail[0], is_folder=True)
        walk, inside = paths.Walk(self._top), None
        for here, name, is_folder in walk:
            del trail[len(walk.trail) + 1 :]
            around = trail[-1]
            if inside is not around:
                os.fchdir(here)
                inside = around
            path = around.below(name)
            holds = around
            if is_folder or path in own:
                holds = _Folder(path, _joined(around.people, own.get(path, {})))
            if is_folder:
                trail.append(holds)
            self._try(here, name, path, holds, is_folder=is_folder)

    def _try(self, here: int, name: bytes, path: bytes, holds: _Folder, *, is_folder: bool) -> None:
        """What vanishes meanwhile has no rights; what else fails is said, and the walk goes on."""
        try:
            self._bring(here, name, path, holds, is_folder=is_folder)
        except FileNotFoundError:
            pass
        except OSError as error:
            if error.errno == errno.EIO:
                raise
            self._plan.fail(path, refusal_of(error).words)

    def _bring(self, here: int, name: bytes, path: bytes, holds: _Folder, *, is_folder: bool) -> None:
        """One file or folder to what it should have, and looks whether it has."""
        found = os.stat(name, dir_fd=here, follow_symlinks=False)
        if not is_folder and not stat.S_ISREG(found.st_mode):
            return
        people = holds.names
        if is_folder and path in self._plan.passing:
            people = _frozen(_joined(holds.people, self._plan.passing[path]))
        access = _list(found.st_mode >> 6 & 7, people)
        default = _list(7, holds.names) if is_folder else b""
        if path and _has(name, access, default, found, is_folder):
            return
        descriptor = os.open(name, paths.FOLDER if is_folder else paths.FILE, dir_fd=here)
        try:
            if _has(descriptor, access, default, os.fstat(descriptor), is_folder):
                return
            _set(descriptor, access, default, is_folder)
            if not _has(descriptor, access, default, os.fstat(descriptor), is_folder):
                self._plan.fail(path, "What was set does not read back.")
        finally:
            os.close(descriptor)


def _set(descriptor: int, access: bytes, default: bytes, is_folder: bool) -> None:
    acls.write(descriptor, acls.ACCESS, access)
    if is_folder:
        acls.write(descriptor, acls.DEFAULT, default)
    if not access:
        os.fchmod(descriptor, os.fstat(descriptor).st_mode & 0o700)


def _has(place: bytes | int, access: bytes, default: bytes, found: os.stat_result, is_folder: bool) -> bool:
    if acls.read(place, acls.ACCESS) != access or (not access and found.st_mode & 0o007):
        return False
    return not is_folder or acls.read(place, acls.DEFAULT) == default


@lru_cache(maxsize=1000)
def _list(owner: int, people: _People) -> bytes:
    """The access control list; empty when it names nobody. A file's is the one that it would inherit: the
    right to pass stands in it too, and means nothing where no file is run."""
    return acls.encoded(owner, dict(people)) if people else b""


def _read_back(root: Path, grant: Grant, plan: _Plan) -> Mapping[str, Any] | None:
    """A grant as its folder's list says it; None, and the reason among the failed, when it does not."""
    try:
        people = acls.people_of(_access_list(root, grant.path))
    except (OSError, Refusal) as error:
        refusal = refusal_of(error) if isinstance(error, OSError) else error
        plan.failed.setdefault(paths.text_of(grant.path), refusal.words)
        return None
    bits = people.get(grant.uid, 0)
    access = "write" if bits & WRITE else "read" if bits & READ else ""
    return {"path": paths.text_of(grant.path), "uid": grant.uid, "access": access} if access else None


def _access_list(root: Path, path: bytes) -> bytes:
    parts = tuple(path.split(b"/")) if path else ()
    with paths.inside(root, parts[:-1]) as here:
        name = parts[-1] if parts else b"."
        if stat.S_ISLNK(os.stat(name, dir_fd=here, follow_symlinks=False).st_mode):
            raise Refusal("is_a_link", "That is a link; links are shown, never followed.")
        os.fchdir(here)
        return acls.read(name, acls.ACCESS)


def _grant(one: object) -> Grant:
    if not isinstance(one, Mapping) or one.get("access") not in BITS:
        raise Refusal("bad_args", f"{one!r} is no grant.")
    uid = one.get("uid")
    if not isinstance(uid, int) or not FIRST_PERSON <= uid < 1 << 31:
        raise Refusal("bad_args", f"{uid!r} is nobody's uid.")
    return Grant(b"/".join(paths.parts_of(one.get("path"))), uid, one["access"])


def _above(path: bytes) -> Iterable[bytes]:
    """The folders around a path, the volume's root too."""
    while path:
        path = path.rpartition(b"/")[0]
        yield path


def _covers(folder: bytes, path: bytes) -> bool:
    return not folder or path == folder or path.startswith(folder + b"/")


def _joined(some: Mapping[int, int], more: Mapping[int, int]) -> Mapping[int, int]:
    return {uid: some.get(uid, 0) | more.get(uid, 0) for uid in {**some, **more}}


def _frozen(people: Mapping[int, int]) -> _People:
    return tuple(sorted(people.items()))


def _is_stamped(top: int) -> bool:
    try:
        return bool(os.getxattr(top, STAMP))
    except OSError:
        return False

"""Who may read or change what: lists that the kernel enforces, set and read back. On a real ext4; root."""

import errno
import os
import signal
import subprocess
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.vrasnode.servicevm.volume import SERIAL, Guest, b64, disk, names, write
from vrasnode.servicevm.guest import acls, grants
from vrasnode.servicevm.guest.answering import Refusal
from vrasnode.servicevm.guest.grants import Grant

B, C = 100_007, 1_073_841_000
FILES = ("営業/2026/見積.txt", "営業/2026/📊/表.ods", "営業/秘密.txt", "私用/日記.txt", "top.txt")


@pytest.fixture
def guest(tmp_path: Path) -> Iterator[Guest]:
    with Guest() as guest:
        guest.plug(disk(tmp_path / "disk"))
        guest.open(fresh=True)
        write(guest.root, FILES)
        yield guest


def grant(path: str, uid: int = B, access: str = "read") -> dict[str, Any]:
    return {"path": b64(path), "uid": uid, "access": access}


def as_person(uid: int, *command: str | Path) -> bool:
    """Whether a program of theirs may do that."""
    return (
        subprocess.run(
            command, user=uid, group=uid, extra_groups=[], check=False, capture_output=True
        ).returncode
        == 0
    )


def reads(guest: Guest, path: str, uid: int) -> bool:
    try:
        answer = guest.ask("file_read", path=b64(path), length=100, uid=uid)
    except Refusal as refusal:
        assert refusal.code == "not_permitted"
        return False
    assert b64decode(answer["data"]).decode() == path
    return True


def test_a_person_reads_the_granted_folder_and_nothing_else(guest: Guest) -> None:
    answer = guest.ask("grants_apply", grants=[grant("営業/2026")])

    assert answer == {"applied": [grant("営業/2026")], "failed": {}}
    assert {path for path in FILES if reads(guest, path, B)} == set(FILES[:2])
    assert {path for path in FILES if reads(guest, path, C)} == set()
    assert names(guest.ask("folder_list", path=b64("営業/2026"), uid=B)) == ["見積.txt", "📊"]
    assert names(guest.ask("folder_search", path=b64("営業/2026"), words=".", uid=B)) == [
        "営業/2026/見積.txt",
        "営業/2026/📊/表.ods",
    ]
    for closed in ("", "営業", "私用"):  # passed through at most
        with pytest.raises(Refusal) as refusal:
            guest.ask("folder_list", path=b64(closed), uid=B)
        assert refusal.value.code == "not_permitted"
    assert not as_person(B, "touch", guest.root / "営業/2026/見積.txt")
    assert not as_person(B, "touch", guest.root / "営業/2026/new.txt")


def test_what_is_made_later_in_a_granted_folder_is_granted_too(guest: Guest) -> None:
    guest.ask("grants_apply", grants=[grant("営業/2026"), grant("営業/2026", C, "write")])

    made = guest.root / "営業/2026/later/new.txt"
    script = f"umask 007; mkdir -m 770 '{made.parent}'; echo -n 営業/2026/later/new.txt > '{made}'"
    assert as_person(1000, "sh", "-c", script)

    assert reads(guest, "営業/2026/later/new.txt", B)
    assert not as_person(B, "sh", "-c", f"echo more >> '{made}'")
    assert as_person(C, "sh", "-c", f"echo more >> '{made}'")
    assert as_person(C, "touch", made.parent / "c.txt")


def test_what_is_no_longer_granted_is_taken_away_everywhere(guest: Guest) -> None:
    guest.ask("grants_apply", grants=[grant("営業"), grant("私用", C)])

    fewer = guest.ask("grants_apply", grants=[grant("営業/2026/📊")])
    after_fewer = {path for path in FILES if reads(guest, path, B) or reads(guest, path, C)}
    none = guest.ask("grants_apply", grants=[])

    assert fewer == {"applied": [grant("営業/2026/📊")], "failed": {}}
    assert after_fewer == {"営業/2026/📊/表.ods"}
    assert none == {"applied": [], "failed": {}}
    assert not {path for path in FILES if reads(guest, path, B)}
    for place, _folders, files in os.walk(guest.root):
        for one in (place, *(f"{place}/{name}" for name in files)):
            assert acls.read(one, acls.ACCESS) == acls.read(one, acls.DEFAULT) == b""
            assert Path(one).stat().st_mode & 0o077 == 0 or one.endswith("lost+found")


def test_the_owner_keeps_all_rights(guest: Guest) -> None:
    guest.ask("grants_apply", grants=[grant("", B, "write")])

    for path in FILES:
        assert as_person(1000, "sh", "-c", f"cat '{guest.root / path}' && echo >> '{guest.root / path}'")


def test_the_whole_volume_can_be_granted(guest: Guest) -> None:
    guest.ask("grants_apply", grants=[grant("")])

    assert all(reads(guest, path, B) for path in FILES)
    assert "top.txt" in names(guest.ask("folder_list", uid=B))


def test_the_stronger_of_two_grants_holds(guest: Guest) -> None:
    answer = guest.ask("grants_apply", grants=[grant("営業"), grant("営業/2026", access="write")])

    assert answer["failed"] == {}
    assert as_person(B, "touch", guest.root / "営業/2026/見積.txt")
    assert not as_person(B, "touch", guest.root / "営業/秘密.txt")
    assert reads(guest, "営業/秘密.txt", B)


def test_what_cannot_be_granted_is_said_and_the_rest_is(guest: Guest) -> None:
    (guest.root / "out").symlink_to("/etc")
    shadow = acls.read("/etc", acls.ACCESS)

    answer = guest.ask("grants_apply", grants=[grant("営業"), grant("nowhere"), grant("out")])

    assert answer["applied"] == [grant("営業")]
    assert set(answer["failed"]) == {b64("nowhere"), b64("out")}
    assert acls.read("/etc", acls.ACCESS) == shadow


def test_a_walk_that_finds_everything_as_it_should_be_writes_nothing(
    guest: Guest, monkeypatch: pytest.MonkeyPatch
) -> None:
    guest.ask("grants_apply", grants=[grant("営業")])
    written: list[object] = []
    monkeypatch.setattr(acls, "write", lambda *what: written.append(what))

    answer = guest.workers.run(
        SERIAL,
        lambda: {**grants.apply(guest.root, [Grant("営業".encode(), B, "read")]), "written": len(written)},
    )

    assert answer == {"applied": [grant("営業")], "failed": {}, "written": 0}


def test_without_any_grant_ever_nothing_is_walked(guest: Guest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grants.paths, "Walk", None)

    assert guest.ask("grants_apply", grants=[]) == {"applied": [], "failed": {}}


def test_what_could_not_be_taken_away_is_tried_again(guest: Guest, monkeypatch: pytest.MonkeyPatch) -> None:
    guest.ask("grants_apply", grants=[grant("営業")])

    def full(*_what: Any) -> None:
        raise OSError(errno.ENOSPC, "no room")

    with monkeypatch.context() as patched:
        patched.setattr(acls, "write", full)
        failed = guest.ask("grants_apply", grants=[])["failed"]
    again = guest.ask("grants_apply", grants=[])

    assert failed == {"": "The volume is full."}
    assert again == {"applied": [], "failed": {}}
    assert not any(reads(guest, path, B) for path in FILES)


def test_a_walk_that_was_cut_is_made_good_by_the_next(guest: Guest, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[object] = []
    write_list = acls.write

    def power_cut(*what: Any) -> None:
        written.append(what)
        if len(written) > 5:
            os.kill(os.getpid(), signal.SIGKILL)
        write_list(*what)

    with monkeypatch.context() as patched, pytest.raises(Refusal):
        patched.setattr(acls, "write", power_cut)
        guest.ask("grants_apply", grants=[grant("")])
    at_first = {path for path in FILES if acls.read(guest.root / path, acls.ACCESS)}

    taken_back = guest.ask("grants_apply", grants=[])

    assert taken_back == {"applied": [], "failed": {}}
    assert at_first < set(FILES)
    assert not any(reads(guest, path, B) for path in FILES)
    assert not acls.read(guest.root, acls.DEFAULT)


def test_what_was_moved_out_of_a_granted_folder_is_put_right_by_the_next_walk(guest: Guest) -> None:
    guest.ask("grants_apply", grants=[grant("営業/2026")])
    (guest.root / "営業/2026/見積.txt").rename(guest.root / "営業/見積.txt")
    (guest.root / "営業/見積.txt").write_text("営業/見積.txt")
    at_first = reads(guest, "営業/見積.txt", B)

    guest.ask("grants_apply", grants=[grant("営業/2026")])

    assert at_first
    assert not reads(guest, "営業/見積.txt", B)


@pytest.mark.parametrize(
    "wrong",
    [
        {"grants": "all"},
        {"grants": [{}]},
        {"grants": [{"path": b64("営業"), "uid": 1000, "access": "read"}]},
        {"grants": [{"path": b64("営業"), "uid": B, "access": "own"}]},
        {"grants": [{"path": b64("../x"), "uid": B, "access": "read"}]},
        {"grants": [{"path": b64("営業"), "uid": B, "access": "read"}] * 1001},
    ],
)
def test_what_is_no_grant_is_refused(guest: Guest, wrong: dict[str, Any]) -> None:
    with pytest.raises(Refusal) as refusal:
        guest.ask("grants_apply", **wrong)

    assert refusal.value.code in {"bad_args", "bad_path"}


def test_a_list_is_what_the_kernel_and_getfacls_makers_mean(tmp_path: Path) -> None:
    """acl(5)'s text form of it, worked out by hand."""
    wanted = acls.encoded(7, {C: 5, B: 7})

    assert acls.people_of(wanted) == {B: 7, C: 5}
    assert wanted.hex() == (
        "02000000"
        "01000700ffffffff"  # user::rwx
        "02000700a7860100"  # user:100007:rwx
        "0200050068830140"  # user:1073841000:r-x
        "04000000ffffffff"  # group::---
        "10000700ffffffff"  # mask::rwx
        "20000000ffffffff"  # other::---
    )

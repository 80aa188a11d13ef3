"""A file comes into a volume whole or not at all, with the rights of who writes. On a real ext4; needs
root."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.vrasnode.servicevm.volume import Guest, b64, disk, names, write
from vrasnode.servicevm.guest.answering import Refusal
from vrasnode.servicevm.guest.filewriting import BEGUN, MAX_FILES, STALE_S
from vrasnode.servicevm.guest.volumes import OWNER

READER, WRITER, UPLOAD = 100_001, 100_002, "0f" * 16


@pytest.fixture(scope="module")
def guest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guest]:
    with Guest() as guest:
        guest.plug(disk(tmp_path_factory.mktemp("guest") / "disk"))
        guest.open(fresh=True)
        write(guest.root, ["営業/見積.txt", "営業/deep/a.txt", "private.txt"])
        grants = [
            {"path": b64("営業"), "uid": READER, "access": "read"},
            {"path": b64("営業"), "uid": WRITER, "access": "write"},
        ]
        guest.ask("grants_apply", grants=grants)
        yield guest


def begun(guest: Guest) -> list[str]:
    return [place.name for place in guest.root.rglob(f"{BEGUN.decode()}*")]


def send(guest: Guest, path: str, content: bytes, **about: Any) -> Any:
    put = {"path": b64(path), "upload": UPLOAD, "uid": about.get("uid", 0)}
    guest.ask("file_put", offset=0, folders=about.pop("folders", False), **put)
    for offset in range(0, len(content), 7):
        guest.ask("file_put", offset=offset, data64=b64(content[offset : offset + 7]), **put)
    digest = about.pop("sha256", hashlib.sha256(content).hexdigest())
    return guest.ask(
        "file_keep", path=b64(path), upload=UPLOAD, size_bytes=len(content), sha256=digest, **about
    )


def code_of(act: Any) -> str:
    with pytest.raises(Refusal) as raised:
        act()
    return raised.value.code


def test_a_guest_who_may_change_a_folder_writes_there_and_the_file_is_the_owners(guest: Guest) -> None:
    send(guest, "営業/deep/新しい.txt", b"new content here", uid=WRITER)

    place = guest.root / "営業/deep/新しい.txt"
    assert place.read_bytes() == b"new content here"
    assert (place.stat().st_uid, place.stat().st_gid) == (OWNER, OWNER)
    assert begun(guest) == []
    for uid in (READER, WRITER):
        assert (
            guest.ask("file_read", path=b64("営業/deep/新しい.txt"), length=99, uid=uid)["size_bytes"] == 16
        )


def test_who_may_only_read_or_nothing_writes_nothing(guest: Guest) -> None:
    assert code_of(lambda: send(guest, "営業/x.txt", b"x", uid=READER)) == "not_writable"
    assert code_of(lambda: send(guest, "営業/見積.txt", b"x", uid=READER, replace=True)) == "not_writable"
    assert code_of(lambda: send(guest, "x.txt", b"x", uid=WRITER)) == "not_writable"
    assert (guest.root / "営業/見積.txt").read_text() == "営業/見積.txt"
    assert begun(guest) == []


def test_what_is_there_is_left_as_it_is_unless_it_is_to_be_replaced(guest: Guest) -> None:
    send(guest, "営業/doc.txt", b"first")

    assert code_of(lambda: send(guest, "営業/doc.txt", b"second", uid=WRITER)) == "name_taken"
    assert (guest.root / "営業/doc.txt").read_bytes() == b"first"
    send(guest, "営業/doc.txt", b"third", uid=WRITER, replace=True)

    assert (guest.root / "営業/doc.txt").read_bytes() == b"third"
    assert (guest.root / "営業/doc.txt").stat().st_uid == OWNER
    assert code_of(lambda: send(guest, "営業/deep", b"x", replace=True)) == "not_a_file"


def test_what_did_not_arrive_whole_gets_no_name(guest: Guest) -> None:
    assert code_of(lambda: send(guest, "営業/half.txt", b"half", sha256="0" * 64)) == "not_whole"
    assert not (guest.root / "営業/half.txt").exists()
    assert begun(guest) == [BEGUN.decode() + UPLOAD]

    listed = names(guest.ask("folder_list", path=b64("営業")))
    guest.ask("file_drop", path=b64("営業/half.txt"), upload=UPLOAD)

    assert not any(name.encode().startswith(BEGUN) for name in listed)
    assert begun(guest) == []


def test_nobody_is_led_out_by_a_link_and_nothing_strange_is_named(guest: Guest, tmp_path: Path) -> None:
    (guest.root / "out").symlink_to(tmp_path)
    (guest.root / "target").symlink_to("/etc/hostname")

    assert code_of(lambda: send(guest, "out/x.txt", b"x")) == "is_a_link"
    assert code_of(lambda: send(guest, "../x.txt", b"x")) == "bad_path"
    assert code_of(lambda: send(guest, BEGUN.decode() + "x", b"x")) == "bad_path"
    assert code_of(lambda: send(guest, "target", b"x", replace=True)) == "not_a_file"
    assert list(tmp_path.iterdir()) == []


def test_folders_that_are_gone_are_made_again_for_the_owner(guest: Guest) -> None:
    send(guest, "旧/年度/doc.txt", b"old", folders=True, mtime_ns=1_700_000_000_000_000_000)

    place = guest.root / "旧/年度/doc.txt"
    assert place.read_bytes() == b"old"
    assert int(place.stat().st_mtime) == 1_700_000_000
    assert place.parent.stat().st_uid == OWNER


def test_what_others_began_long_ago_is_swept_up(guest: Guest) -> None:
    old, young = (guest.root / "営業" / (BEGUN.decode() + digit * 32) for digit in "12")
    for place in (old, young):
        place.write_bytes(b"x")
    os.utime(old, (0, young.stat().st_mtime - STALE_S - 60))

    send(guest, "営業/another.txt", b"x")

    assert not old.exists()
    assert young.exists()
    young.unlink()


def handful(guest: Guest, files: dict[str, bytes], **about: Any) -> list[str]:
    given = [
        {
            "path": b64(path),
            "data64": b64(content),
            "sha256": hashlib.sha256(content).hexdigest(),
            "mtime_ns": 1_700_000_000_000_000_000,
        }
        for path, content in files.items()
    ]
    return list(guest.ask("files_put", files=given, **about)["outcomes"])


def test_small_files_come_by_the_handful_and_each_has_its_outcome(guest: Guest) -> None:
    guest.ask("file_put", path=b64("there.txt"), upload=UPLOAD, offset=0, data64=b64(b"first"))
    digest = hashlib.sha256(b"first").hexdigest()
    guest.ask("file_keep", path=b64("there.txt"), upload=UPLOAD, size_bytes=5, sha256=digest)

    outcomes = handful(
        guest,
        {
            "束/年/一.txt": b"one",
            "束/空": b"",
            "there.txt": b"second",
            "there.txt/below": b"x",
            "x" * 300: b"x",
            "束/二.txt": b"two",
        },
    )

    assert outcomes == ["", "", "name_taken", "not_a_folder", "bad_path", ""]
    assert (guest.root / "there.txt").read_bytes() == b"first"
    place = guest.root / "束/年/一.txt"
    assert (place.read_bytes(), (guest.root / "束/二.txt").read_bytes()) == (b"one", b"two")
    assert (place.stat().st_uid, place.parent.stat().st_uid, place.parent.parent.stat().st_uid) == (
        OWNER,
    ) * 3
    assert int(place.stat().st_mtime) == 1_700_000_000
    assert begun(guest) == []


def test_a_handful_is_an_administrators_and_each_of_it_is_compared(guest: Guest) -> None:
    wrong = {"path": b64("wrong"), "data64": b64(b"x"), "sha256": "0" * 64, "mtime_ns": 0}

    assert guest.ask("files_put", files=[wrong])["outcomes"] == ["not_whole"]
    assert code_of(lambda: handful(guest, {"営業/w": b"x"}, uid=WRITER)) == "bad_args"
    assert code_of(lambda: handful(guest, {"../w": b"x"})) == "bad_path"
    assert code_of(lambda: guest.ask("files_put", files=[wrong] * (MAX_FILES + 1))) == "bad_args"
    assert not (guest.root / "wrong").exists()
    assert begun(guest) == []


def test_what_a_full_volume_does_not_take_leaves_nothing_behind(guest: Guest) -> None:
    full = guest.root / "full"
    with full.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(1 << 20)):
            pass
    outcomes: list[str] = []
    while "disk_full" not in outcomes:  # the file system keeps some room back, and gives it away at last
        outcomes += handful(
            guest, {f"voll/{len(outcomes) + number}": os.urandom(64 << 10) for number in range(2)}
        )

    full.unlink()
    assert set(outcomes) == {"", "disk_full"}
    assert len(list((guest.root / "voll").iterdir())) == outcomes.count("")
    assert begun(guest) == []

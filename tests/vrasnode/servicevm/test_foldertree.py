"""What an administrator, or somebody with fewer rights, sees of a volume. On a real ext4; needs root."""

import os
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.vrasnode.servicevm.volume import SERIAL, Guest, b64, disk, names, write
from vrasnode.servicevm.guest import foldertree
from vrasnode.servicevm.guest.answering import Refusal
from vrasnode.servicevm.guest.foldertree import list_folder, search

ODD = b"\xff\xfe odd \xe3\x81"
FILES = ("報告/見積 2026.txt", "報告/ﾊﾟｽﾜｰﾄﾞ.txt", "📊/グラフ.ods", "Quarterly REPORT.txt", "cafe\u0301.txt")


@pytest.fixture(scope="module")
def guest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guest]:
    with Guest() as guest:
        guest.plug(disk(tmp_path_factory.mktemp("guest") / "disk"))
        guest.open(fresh=True)
        (guest.root / "lost+found").rmdir()
        write(guest.root, FILES)
        (guest.root / "out").symlink_to("/etc")
        (guest.root / "shadow").symlink_to("/etc/shadow")
        (guest.root / "報告" / "round").symlink_to("..")
        os.mkfifo(guest.root / "pipe")
        os.close(os.open(os.fsencode(guest.root) + b"/" + ODD, os.O_CREAT | os.O_WRONLY))
        yield guest


def test_a_folder_shows_names_as_they_are_and_links_as_links(guest: Guest) -> None:
    answer = guest.ask("folder_list")

    shown = {b64decode(entry["name"]): entry for entry in answer["entries"]}
    assert set(shown) == {os.fsencode(place.name) for place in guest.root.iterdir()}
    assert list(shown) == sorted(shown)
    assert shown["📊".encode()]["kind"] == "folder"
    assert shown[b"Quarterly REPORT.txt"]["size_bytes"] == len("Quarterly REPORT.txt")
    assert shown[ODD]["kind"] == "file"
    assert (shown[b"out"]["kind"], b64decode(shown[b"out"]["target"])) == ("link", b"/etc")
    assert shown[b"pipe"]["kind"] == "other"
    assert answer["more"] is False


def test_a_folder_comes_page_by_page(guest: Guest) -> None:
    pages, after = [], ""
    while True:
        answer = guest.ask("folder_list", after=after, limit=3)
        pages.append(answer["entries"])
        if not answer["more"]:
            break
        after = answer["next"]

    assert [len(page) for page in pages] == [3, 3, 2]
    assert [entry for page in pages for entry in page] == guest.ask("folder_list")["entries"]


def test_a_page_of_long_names_and_links_fits_into_an_answer(guest: Guest, tmp_path: Path) -> None:
    for number in range(400):
        (tmp_path / f"{number:03}{'長' * 80}").symlink_to("遠" * 1300)

    answer = list_folder(tmp_path, (), after=b"", limit=1000)

    assert answer["more"] is True
    assert 100 < len(answer["entries"]) < 400
    assert answer["next"] == answer["entries"][-1]["name"]
    rest = list_folder(tmp_path, (), after=b64decode(answer["next"]), limit=1000)
    assert rest["entries"][0]["name"] > answer["next"]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("見積", ["報告/見積 2026.txt"]),
        ("report", ["Quarterly REPORT.txt"]),
        ("CAFÉ", ["cafe\u0301.txt"]),
        ("パスワード", ["報告/ﾊﾟｽﾜｰﾄﾞ.txt"]),
        ("ｇraph", []),
        ("ｸﾞﾗﾌ", ["📊/グラフ.ods"]),
        ("📊", ["📊"]),
        ("passwd", []),  # of what a link leads to nothing is seen
    ],
)
def test_a_search_finds_names_however_they_are_written(guest: Guest, words: str, found: list[str]) -> None:
    assert names(guest.ask("folder_search", words=words)) == found


def test_a_search_goes_on_where_it_stopped(guest: Guest) -> None:
    everything = list_everything(guest.root, limit=1000, most=1000)

    for limit, most in ((1, 1000), (1000, 1), (2, 3)):
        assert list_everything(guest.root, limit=limit, most=most) == everything
    assert len(everything) == len(set(everything))
    assert set(everything) == {
        os.fsencode(os.path.relpath(f"{place}/{name}", guest.root))
        for place, folders, files in os.walk(guest.root)
        for name in (*folders, *files)
        if "." in name
    }


def list_everything(root: Path, *, limit: int, most: int) -> list[bytes]:
    """All paths with a dot in their last name, page by page."""
    found: list[bytes] = []
    after: tuple[bytes, ...] = ()
    while True:
        answer = search(root, (), ".", after=after, limit=limit, most=most)
        found += [b64decode(entry["name"]) for entry in answer["entries"]]
        if not answer["more"]:
            return found
        after = tuple(b64decode(answer["next"]).split(b"/"))


def test_a_search_in_a_folder_stays_there(guest: Guest) -> None:
    assert names(guest.ask("folder_search", words=".", path=b64("📊"))) == ["📊/グラフ.ods"]


def test_a_file_is_read_piece_by_piece(guest: Guest) -> None:
    text = "報告/見積 2026.txt".encode()
    pieces = [
        guest.ask("file_read", path=b64("報告/見積 2026.txt"), offset=offset, length=5)
        for offset in range(0, len(text) + 5, 5)
    ]

    assert b"".join(b64decode(piece["data"]) for piece in pieces) == text
    assert {piece["size_bytes"] for piece in pieces} == {len(text)}


def test_a_piece_is_at_most_so_long(guest: Guest) -> None:
    with (guest.root / "報告" / "large").open("wb") as file:
        file.truncate(3 << 20)

    answer = guest.ask("file_read", path=b64("報告/large"), offset=0, length=1 << 30)

    assert len(b64decode(answer["data"])) == foldertree.MAX_PIECE_BYTES
    assert answer["size_bytes"] == 3 << 20


def test_a_path_longer_than_any_program_takes_is_gone_down(guest: Guest) -> None:
    deep = [("深" * 80 + str(number)).encode() for number in range(40)]  # 10 KB; PATH_MAX is 4 KiB
    here = os.open(guest.root, os.O_RDONLY)
    for name in deep:
        os.mkdir(name, dir_fd=here)
        inner = os.open(name, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    file = os.open("底.txt", os.O_CREAT | os.O_WRONLY, dir_fd=here)
    os.write(file, b"deep")
    os.close(file)
    os.close(here)
    path = b"/".join([*deep, "底.txt".encode()])

    assert b64decode(guest.ask("file_read", path=b64(path), offset=0, length=10)["data"]) == b"deep"
    assert names(guest.ask("folder_list", path=b64(b"/".join(deep)))) == ["底.txt"]
    (found,) = guest.ask("folder_search", words="底")["entries"]
    assert b64decode(found["name"]) == path


@pytest.mark.parametrize(
    ("op", "path", "code"),
    [
        ("folder_list", "out", "is_a_link"),
        ("folder_list", "out/ssl", "is_a_link"),
        ("file_read", "shadow", "is_a_link"),
        ("file_read", "out/passwd", "is_a_link"),
        ("file_read", "報告/round/shadow", "is_a_link"),
        ("file_read", "pipe", "not_a_file"),
        ("file_read", "📊", "not_a_file"),
        ("file_read", "", "not_a_file"),
        ("folder_list", "Quarterly REPORT.txt", "not_a_folder"),
        ("folder_list", "nowhere", "no_such_name"),
        ("file_read", "報告/../報告/見積 2026.txt", "bad_path"),
        ("folder_list", "/etc", "bad_path"),
        ("folder_list", "..", "bad_path"),
        ("folder_list", "報告/", "bad_path"),
        ("folder_list", "報告\0", "bad_path"),
        ("folder_list", "x" * 300, "bad_path"),
    ],
)
def test_nothing_leads_out_of_the_volume(guest: Guest, op: str, path: str, code: str) -> None:
    with pytest.raises(Refusal) as refusal:
        guest.ask(op, path=b64(path), **({"length": 10} if op == "file_read" else {}))

    assert refusal.value.code == code


@pytest.mark.parametrize(
    "args",
    [{"path": "no base64!"}, {"path": 7}, {"limit": 0}, {"limit": "all"}, {"uid": 5}, {"after": "ü"}],
)
def test_a_question_that_is_none_is_refused(guest: Guest, args: dict[str, Any]) -> None:
    with pytest.raises(Refusal) as refusal:
        guest.ask("folder_list", **args)

    assert refusal.value.code in {"bad_args", "bad_path"}


def test_a_search_for_nothing_is_refused(guest: Guest) -> None:
    with pytest.raises(Refusal):
        guest.ask("folder_search", words="")


def test_a_person_without_rights_sees_nothing(guest: Guest) -> None:
    for op, args in (
        ("folder_list", {}),
        ("folder_list", {"path": b64("報告")}),
        ("folder_search", {"words": "."}),
        ("file_read", {"path": b64("Quarterly REPORT.txt"), "length": 10}),
    ):
        with pytest.raises(Refusal) as refusal:
            guest.ask(op, uid=100_500, **args)
        assert refusal.value.code == "not_permitted"


def test_a_locked_volume_answers_nothing(guest: Guest) -> None:
    guest.workers.end(SERIAL)

    with pytest.raises(Refusal) as refusal:
        guest.ask("folder_list")

    guest.workers.admit(SERIAL)
    assert refusal.value.code == "volume_closed"

"""Some folders of a volume alone, bound into a view: real mounts, so root. What is not named is not there."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from vrasnode.servicevm.guest.answering import Refusal
from vrasnode.servicevm.guest.processes import holders, kill
from vrasnode.servicevm.guest.views import Views

pytestmark = pytest.mark.slow

SERIAL = "0123456789abcdef0123"


@pytest.fixture
def views(tmp_path: Path) -> Iterator[Views]:
    views = Views(tmp_path / "views", end_holders=lambda place: kill(holders(place)))
    yield views
    views.drop(SERIAL)


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    root = tmp_path / "volume"
    for folder in ("Documents/見積 2026", "Documents/secret", "Desktop"):
        (root / folder).mkdir(parents=True)
        (root / folder / "note.txt").write_text(folder)
    return root


def below(view: Path) -> set[str]:
    return {str(path.relative_to(view)) for path in view.rglob("*.txt")}


def test_only_what_is_named_is_there_and_can_be_written(views: Views, volume: Path) -> None:
    named = (b"Documents", "見積 2026".encode())

    view = views.make(SERIAL, volume, [named])

    assert below(view) == {"Documents/見積 2026/note.txt"}
    (view / "Documents/見積 2026/new.txt").write_text("new")
    assert (volume / "Documents/見積 2026/new.txt").read_text() == "new"
    assert not (view / "Documents/見積 2026/../secret").exists()
    assert (view.stat().st_mode & 0o222, (view / "Desktop").stat().st_uid) == (0, 0)


def test_a_folder_inside_another_is_there_once(views: Views, volume: Path) -> None:
    inner = (b"Documents", b"secret")

    view = views.make(SERIAL, volume, [(b"Documents",), inner])

    assert below(view) == {"Documents/見積 2026/note.txt", "Documents/secret/note.txt"}


def test_no_link_leads_out_of_the_volume(views: Views, volume: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (volume / "link").symlink_to(tmp_path / "outside")

    with pytest.raises(Refusal) as refused:
        views.make(SERIAL, volume, [(b"link",)])

    assert refused.value.code == "is_a_link"


def test_where_none_of_them_is_there_nothing_is_shared(views: Views, volume: Path, tmp_path: Path) -> None:
    with pytest.raises(Refusal) as refused:
        views.make(SERIAL, volume, [(b"gone",)])

    assert refused.value.code == "no_such_folder"
    assert not (tmp_path / "views" / SERIAL).exists()


def test_a_view_goes_whoever_is_in_it(views: Views, volume: Path, tmp_path: Path) -> None:
    view = views.make(SERIAL, volume, [(b"Documents",)])
    inside = subprocess.Popen(
        [sys.executable, "-c", "import sys, time; print(1, flush=True); time.sleep(60)"],
        cwd=view / "Documents/secret",
        stdout=subprocess.PIPE,
    )
    assert inside.stdout
    assert inside.stdout.read(1)

    assert views.drop(SERIAL) == 1

    assert inside.wait(10) == -9
    assert not view.exists()
    assert (volume / "Documents/secret/note.txt").exists()
    assert views.drop(SERIAL) == 0

"""The server reads replicas on the NAS itself: the real restic, in a folder and over SMB."""

import io
import os
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mydoc.replicas import repositories
from tests.mydoc.fileserver import file_server
from tests.mydoc.keeping import Copies

pytestmark = pytest.mark.django_db
MAP = "営業/🗾 map *.png".encode()
Asked = Callable[[], object]


def read(copies: Copies, key: str, path: bytes, most_bytes: int = 1 << 20) -> bytes:
    out = io.BytesIO()
    of = repositories.snapshot(copies.repository, key)
    repositories.write(copies.repository, of, path, out, most_bytes=most_bytes)
    return out.getvalue()


@pytest.mark.slow
def test_a_folder_and_a_file_of_a_replica_are_read_as_they_were(copies: Copies) -> None:
    first = copies.copy()
    copies.put(b"notes.txt", b"hello again")
    second = copies.copy()

    found = repositories.snapshots(copies.repository)
    top = repositories.folder(copies.repository, repositories.snapshot(copies.repository, second))
    below = repositories.folder(copies.repository, found[0], "営業".encode())

    assert sorted(one.id[:8] for one in found) == sorted([first[:8], second[:8]])
    assert all(one.whole for one in found)
    assert [(one.path, one.kind) for one in top] == [(b"notes.txt", "file"), ("営業".encode(), "dir")]
    assert [(one.path, one.size_bytes) for one in below] == [(MAP, 36)]
    assert read(copies, first, b"notes.txt") == b"hello"
    assert read(copies, second, b"notes.txt") == b"hello again"
    assert read(copies, second, MAP) == b"\x89PNG" * 9
    assert not list(copies.folder.glob("locks/*"))


@pytest.mark.soak
def test_what_cannot_be_read_is_said_with_its_code(copies: Copies) -> None:
    def code(asked: Asked) -> str:
        with pytest.raises(repositories.RepositoryFailed) as raised:
            asked()
        return raised.value.code

    repository = copies.repository
    assert code(lambda: repositories.snapshots(repository)) == "no_repository"
    key = copies.copy()
    of = repositories.snapshot(repository, key)

    assert code(lambda: repositories.snapshot(repository, "0000")) == "no_such_snapshot"
    assert code(lambda: repositories.folder(repository, of, b"nothing")) == "no_such_path"
    assert code(lambda: read(copies, key, b"nothing")) == "no_such_path"
    assert code(lambda: read(copies, key, b"notes.txt", most_bytes=3)) == "too_large"
    assert code(lambda: repositories.snapshots(replace(repository, password="x"))) == "wrong_repository_key"
    assert code(lambda: repositories.snapshots(repository, limit_s=0)) == "slow"


@pytest.mark.soak
def test_the_password_of_a_repository_is_in_no_argument_and_no_environment(
    copies: Copies, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies.copy()
    repository, started, real = copies.repository, [], subprocess.Popen

    def noted(argv: list[str], **more: Any) -> Any:
        started.append((argv, more))
        return real(argv, **more)

    monkeypatch.setattr(repositories.subprocess, "Popen", noted)

    repositories.snapshots(repository)

    assert started
    assert repository.password not in repr(started)
    assert repository.password not in repr(repository)


@pytest.mark.soak
def test_a_replica_on_a_file_server_is_read_over_smb(
    copies: Copies, settings: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    key, here = copies.copy(), tmp_path_factory.mktemp("smb")
    with file_server(here) as settings.NAS:
        (here / "share/replicas").mkdir()
        os.rename(tmp_path_of(copies), here / "share/replicas" / copies.repository.name)  # noqa: PTH104

        assert read(copies, key, MAP) == b"\x89PNG" * 9
        assert repositories.check(copies.repository, subset="1/1").code == 0


def tmp_path_of(copies: Copies) -> Path:
    return copies.data.parent / "nas" / copies.repository.name

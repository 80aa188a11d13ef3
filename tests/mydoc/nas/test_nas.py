"""What is wrong with the NAS is said in words: each fault is made for real, by a folder and a file server."""

import io
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command

from config.env import Environment
from mydoc.nas.settings import NasSettings
from tests.mydoc.fileserver import PASSWORD, file_server

Check = Callable[[NasSettings | None], str]


@pytest.fixture
def check(settings: Any) -> Check:
    """The command's words; its exit code is held to them."""

    def run(place: NasSettings | None) -> str:
        settings.NAS = place
        said, code = io.StringIO(), 0
        try:
            call_command("nas", "check", "--language", "en", stdout=said)
        except CommandError as error:
            code = error.returncode
        assert code == (1 if "NO " in said.getvalue() else 0)
        return said.getvalue()

    return run


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NasSettings]:
    with file_server(tmp_path_factory.mktemp("nas")) as place:
        yield place


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk with room for next to nothing."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "small", str(tmp_path)], check=True)
    yield tmp_path
    subprocess.run(["umount", str(tmp_path)], check=True)


@pytest.mark.slow
def test_a_folder_that_takes_a_file_and_gives_it_back_is_good_and_left_empty(
    check: Check, tmp_path: Path
) -> None:
    said = check(NasSettings(url=f"file://{tmp_path}"))

    assert "ok  A file was written there, read back and deleted. [probe]" in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_file_server_is_tried_with_its_account_over_encrypted_smb(
    check: Check, server: NasSettings
) -> None:
    said = check(server)

    assert "[tcp]" in said
    assert "[probe]" in said
    assert "GiB are free. [room]" in said


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "wrong"),
    [
        ("credential", {"password": "not-this-one"}),
        ("credential", {"user": "nobody-of-theirs"}),
        ("share", {"url": "/backup/ /nothing/"}),
        ("not_permitted", {"url": "/backup/ /archive/"}),
    ],
)
def test_what_the_file_server_refuses_is_named(
    check: Check, server: NasSettings, code: str, wrong: dict[str, str]
) -> None:
    if "url" in wrong:
        wrong = {"url": server.url.replace(*wrong["url"].split())}

    said = check(replace(server, **wrong))

    assert f"[{code}]" in said
    assert PASSWORD not in said


@pytest.mark.slow
def test_a_full_disk_is_named(check: Check, small: Path) -> None:
    assert "[no_room]" in check(NasSettings(url=f"file://{small}"))


@pytest.mark.slow
def test_a_read_only_disk_is_named(check: Check, small: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small)], check=True)

    assert "[read_only]" in check(NasSettings(url=f"file://{small}"))


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("smb://no-such-host.invalid/backup", "host"),
        ("smb://127.0.0.1:1/backup", "tcp"),
        ("file:///no/such/folder", "folder"),
    ],
)
def test_what_is_not_there_is_named(check: Check, url: str, code: str) -> None:
    assert f"[{code}]" in check(NasSettings(url=url))


def test_without_a_nas_the_setting_is_named(check: Check) -> None:
    assert "OPENVRAS_NAS_URL" in check(None)


@pytest.mark.parametrize("url", ["nas/share", "smb://nas", "smb://me:secret@nas/share", "file://host/folder"])
def test_what_names_no_nas_is_refused_at_the_start_of_the_server(
    monkeypatch: pytest.MonkeyPatch, url: str, tmp_path: Path
) -> None:
    monkeypatch.setenv("OPENVRAS_NAS_URL", url)

    with pytest.raises(ImproperlyConfigured, match="OPENVRAS_NAS_URL"):
        Environment.read().nas(tmp_path)


def test_a_password_is_in_no_repr() -> None:
    assert PASSWORD not in repr(NasSettings(url="smb://nas/share", user="replicas", password=PASSWORD))

"""Shares of volumes: one user, one password of this opening, one address; cut at once. The tools here are
doubles; the real file server is in `tests/vrasnode/machines/test_virtualserver_data.py`."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.libvirtd import comes
from tests.vrasnode.servicevm.volume import SERIAL
from vrasnode.servicevm.guest.answering import Refusal
from vrasnode.servicevm.guest.fileserver import FileServer
from vrasnode.servicevm.guest.processes import holders, kill, of_session
from vrasnode.servicevm.guest.shares import Shares, Tools
from vrasnode.servicevm.guest.views import Views
from vrasnode.servicevm.guest.volumes import Volumes
from vrasnode.servicevm.guest.workers import Workers

OTHER = "f" * 20
PASSWORD = "correct-horse-battery"
CLIENT = "100.127.255.241"

# A file server with a child for each folder named in sys.argv[2:], which holds that open.
SMBD = """
import os, signal, sys
signal.signal(signal.SIGHUP, lambda *_: open(sys.argv[1] + "/state/reloaded", "a").write("x"))
for folder in sys.argv[2:]:
    if os.fork() == 0:
        os.chdir(folder)
        signal.pause()
open(sys.argv[1] + "/state/serves", "w").write("x")
while True:
    signal.pause()
"""
TOOL = "import sys; open(sys.argv[1], 'a').write(' '.join(sys.argv[2:]) + ' <' + sys.stdin.read() + '>\\n')"


class Place:
    """A virtual server's shares. The volumes are folders."""

    def __init__(self, directory: Path) -> None:
        self.run = directory / "samba"
        self.said = directory / "said"
        self.accounts = directory / "passwd"
        (directory / "own").write_text("root:*:0:0::/:/bin/false\nowner:*:1000:1000::/:/bin/false\n")
        self.volumes = Opened(directory, workers=Workers(), end_holders=lambda place: 0)
        for serial in (SERIAL, OTHER):
            (directory / serial).mkdir()
        folders = [str(directory / serial) for serial in (SERIAL, OTHER)]
        self.fileserver = FileServer(
            self.run, command=[sys.executable, "-c", SMBD, "{run}", *folders], pause=lambda _s: None
        )
        tool = (sys.executable, "-c", TOOL, str(self.said))
        self.shares = Shares(
            self.fileserver,
            volumes=self.volumes,
            views=Views(directory / "views", end_holders=lambda place: kill(holders(place))),
            accounts=self.accounts,
            own_accounts=directory / "own",
            tools=Tools(ping=("true",), add=(*tool, "add", "{user}"), remove=(*tool, "remove", "{user}")),
        )

    def open(self, serial: str = SERIAL, *, name: str = "documents", user: str = "u1", **more: str) -> None:
        self.shares.open(
            serial, **{"name": name, "user": user, "password": PASSWORD, "client": CLIENT, **more}
        )

    @property
    def configuration(self) -> str:
        return (self.run / "smb.conf").read_text()


class Opened(Volumes):
    """All are."""

    def require(self, serial: object) -> Path:
        return self.place(serial)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path)
    place.fileserver.start()
    try:
        assert comes((place.run / "state/serves").exists)
        yield place
    finally:
        pid = place.fileserver.pid
        place.fileserver.stop()
        if pid:
            kill(of_session(pid))


def test_a_share_is_for_one_user_from_one_address(place: Place) -> None:
    place.open()

    share = place.configuration.partition("[documents]")[2]
    assert f"path = {place.volumes.place(SERIAL)}\n" in share
    assert "valid users = u1\n" in share
    assert f"hosts allow = {CLIENT}\nhosts deny = ALL\n" in share
    assert "follow symlinks = no\n" in share
    assert "u1:*:1000:1000::/:/bin/false\n" in place.accounts.read_text()
    assert comes((place.run / "state/reloaded").exists)


def test_the_password_is_said_and_never_an_argument(place: Place) -> None:
    place.open()

    assert place.said.read_text() == f"add u1 <{PASSWORD}\n{PASSWORD}\n>\n"
    assert PASSWORD not in place.configuration + place.accounts.read_text()


def test_the_last_share_goes_with_the_file_server_and_all_that_it_wrote(place: Place) -> None:
    place.open()
    first = place.fileserver.pid
    (place.run / "lock" / "locking.tdb").write_text("秘密.txt")

    ended = place.shares.cut(SERIAL)["ended"]

    assert ended == 3  # it and a process for each folder
    assert "documents" not in place.configuration
    assert "u1" not in place.accounts.read_text()
    assert not (place.run / "lock" / "locking.tdb").exists()
    assert comes(lambda: place.fileserver.pid not in (None, first))
    assert place.shares.cut(SERIAL) == {"ended": 0}


def test_another_volumes_share_stays_when_one_is_cut(place: Place) -> None:
    place.open()
    place.open(OTHER, name="others", user="u2")
    pid = place.fileserver.pid
    (session,) = holders(place.volumes.place(SERIAL))

    ended = place.shares.cut(SERIAL)["ended"]

    assert ended == 1
    assert place.fileserver.pid == pid
    assert session not in of_session(pid or 0) or _is_dead(session)
    assert "[others]" in place.configuration
    assert "[documents]" not in place.configuration
    assert place.said.read_text().endswith("remove u1 <>\n")
    assert len(holders(place.volumes.place(OTHER))) == 1


def _is_dead(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def test_two_volumes_have_not_the_same_share_or_user(place: Place) -> None:
    place.open()

    for same in ({"name": "Documents"}, {"user": "u1"}):
        with pytest.raises(Refusal) as refusal:
            place.open(OTHER, **{"name": "others", "user": "u2", **same})
        assert refusal.value.code == "share_taken"


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "a]\n[b"},
        {"name": "homes"},
        {"name": ""},
        {"user": "root"},
        {"user": "a b"},
        {"user": "x:0"},
        {"password": "short"},
        {"password": "two\nlines of it"},
        {"client": "100.127.255.0/24"},
        {"client": "ALL"},
    ],
)
def test_what_would_mean_something_else_in_a_configuration_is_refused(
    place: Place, wrong: dict[str, str]
) -> None:
    before = place.configuration

    with pytest.raises(Refusal) as refusal:
        place.open(**wrong)

    assert refusal.value.code == "bad_args"
    assert place.configuration == before


def test_a_file_server_that_an_earlier_run_left_is_ended(place: Place) -> None:
    pid = place.fileserver.pid or 0
    (place.run / "smbd.pid").write_text(str(pid))
    again = FileServer(place.run, command=["sleep", "1000"], pause=lambda _s: None)

    again.start()

    assert comes(lambda: place.fileserver.pid not in (None, pid))
    assert all(_is_dead(one) for one in of_session(pid))
    again.stop()

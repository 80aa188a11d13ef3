"""User data, walked from end to end on real parts: a user logs on inside the client VM by Kerberos, works,
is locked out by the directory, by the cable and by nobody else; what was written is there whoever is killed.
"""

import hashlib
import os
import random
import secrets
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from config.demo.documents import DocumentsStory
from config.demo.memberserver import NAS
from config.demo.server import ADMIN
from tests.lab.documents import LINK_S, USER, Portal, Workday
from tests.vrasnode.mydoc.test_volumes_secrets import in_memory
from vrasnode.errors import HostBroken
from vrasnode.mydoc.volumes import Volumes
from vrasnode.sealing import HALF_BYTES, lan_key

pytestmark = pytest.mark.slow
FILES = 120  # that are small

# A program that writes files one after the other, each on the disk before it says so in /tmp/acknowledged.
WRITER = b"""
i=0
while [ ! -e /tmp/enough ]; do
    i=$((i + 1))
    head -c 40000 /dev/urandom >/tmp/next
    until cp /tmp/next "Documents/file$i" && sync "Documents/file$i"; do sleep 0.3; done 2>/dev/null
    sha256sum </tmp/next | cut -c 1-64 | sed "s/^/$i /" >>/tmp/acknowledged
done
"""


def acknowledged(day: Workday) -> list[tuple[str, str]]:
    """The writer's files by name, with what the writer knows to be in them."""
    lines = day.run("cat /tmp/acknowledged || true").output.decode().split()
    return [(f"file{number}", digest) for number, digest in zip(lines[::2], lines[1::2], strict=True)]


def test_documents_open_by_a_logon_and_are_cut_off_when_the_account_is_disabled(workday: Workday) -> None:
    data = random.Random(4).randbytes(30_000)

    said = workday.log_on()
    workday.write("plan.bin", data)
    workday.write("計画.txt", b"what nobody else may read")

    assert "[open]" in said
    assert workday.read("plan.bin") == data
    portal = Portal(workday.office.server)
    portal.look(workday.volume, "help with a lost plan")
    assert "計画.txt" in portal.folder(workday.volume, "Documents")
    assert portal.file(workday.volume, "Documents/計画.txt") == b"what nobody else may read"

    workday.directory.disable(USER)
    try:
        workday.wait("the lock", lambda: workday.told()["state"] == "locked")

        assert not workday.is_open()
        proof = workday.told()["proof"]
        assert proof["reason"] == "server_said"
        assert (proof["read_failed"], proof["daemon_gone"]) == (True, True)
        assert workday.daemons() == []
        workday.wait("the mount's end", lambda: not workday.is_mounted())
        with pytest.raises(HostBroken, match="no_documents"):
            workday.log_on()
    finally:
        workday.directory.enable(USER)

    workday.log_on()
    assert workday.read("plan.bin") == data


def test_a_ticket_that_was_got_before_opens_nothing_for_a_disabled_user(workday: Workday) -> None:
    workday.be_open()
    workday.directory.disable(USER)
    try:
        workday.wait("the lock", lambda: not workday.is_open())

        again = workday.run("klist -s && /usr/lib/openvras/openvras-logon")

        assert again.exit_code == 1
        assert b"[account_disabled]" in again.errors
        assert not workday.is_open()
    finally:
        workday.directory.enable(USER)


def test_a_dead_server_closes_nothing_while_a_domain_controller_answers_but_a_pulled_cable_does(
    workday: Workday,
) -> None:
    workday.be_open()
    workday.write("before.txt", b"before")

    workday.office.server.child("web").kill()
    try:
        workday.let_pass(LINK_S + 5)
        assert workday.read("before.txt") == b"before"  # a domain controller alone speaks for them
        workday.write("meanwhile.txt", b"meanwhile")

        workday.pc.lab.place.cut()
        try:
            workday.wait("the lock", lambda: not workday.is_mounted())
            assert not workday.is_open()
        finally:
            workday.pc.lab.place.mend()
    finally:
        workday.office.server.restart("web")

    workday.wait("the report", lambda: workday.told()["state"] == "locked")
    assert workday.told()["proof"]["reason"] == "left_the_lan"
    workday.log_on()
    assert workday.read("meanwhile.txt") == b"meanwhile"


def kill_agent(day: Workday) -> None:
    day.pc.agent.kill()
    day.pc.agent.start()


def kill_virtual_server(day: Workday) -> None:
    day.kill_machine("virtual-server")


def kill_server(day: Workday) -> None:
    day.office.server.child("web").kill()
    day.office.server.restart("web")


def kill_controller(day: Workday) -> None:
    day.controller.kill()
    day.controller.start_again()


KILLS: list[Callable[[Workday], None]] = [kill_agent, kill_virtual_server, kill_server, kill_controller]


def write_through(day: Workday, kills: list[Callable[[Workday], None]]) -> None:
    """The user's program writes on and on; each kill meets it in the middle. What it was told is on the disk
    has to be there, and it has to go on by itself."""
    day.be_open()
    day.run("rm -f /tmp/enough /tmp/acknowledged Documents/file*; cat > /tmp/writer", stdin=WRITER)
    day.run("setsid sh /tmp/writer </dev/null >/dev/null 2>&1 &")
    try:
        for kill in kills:
            written = len(acknowledged(day))
            day.wait("a file", lambda written=written: len(acknowledged(day)) > written)  # type: ignore[misc]

            kill(day)

            written = len(acknowledged(day))
            day.wait("going on", lambda written=written: len(acknowledged(day)) > written + 1)  # type: ignore[misc]
    finally:
        day.run("touch /tmp/enough")

    known = acknowledged(day)
    listing = 'cd Documents && for f in file*; do sha256sum <$f | cut -c 1-64 | sed "s/^/$f /"; done'
    words = day.run(listing).output.decode().split()
    there = dict(zip(words[::2], words[1::2], strict=True))
    assert len(known) >= 2 * len(kills)
    assert {name: there.get(name) for name, _digest in known} == dict(known)


def test_what_was_acknowledged_is_there_whoever_is_killed_in_the_middle_of_writing(workday: Workday) -> None:
    write_through(workday, KILLS)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(10))
def test_what_was_acknowledged_is_there_after_kills_in_any_order(workday: Workday, seed: int) -> None:
    chance = random.Random(seed)

    write_through(workday, chance.choices(KILLS, k=5))


@pytest.mark.soak
def test_the_demo_tells_its_story_of_user_data(workday: Workday) -> None:
    """What `manage.py demo --full --once` plays."""
    story = DocumentsStory(workday.office, say=print)

    story.play()

    assert [step.name for step in story.steps] == [
        "documents open at logon",
        "account disabled: locked",
        "enabled again: all there",
        "copied to the NAS",
    ]
    assert all(step.seen == [workday.pc.name] for step in story.steps)
    assert story.good


def test_documents_are_copied_out_of_the_virtual_server_through_the_gateway_and_restored(
    workday: Workday, tmp_path: Path
) -> None:
    data = random.Random(7).randbytes(30_000)
    workday.be_open()
    workday.write("写し.bin", data)
    make = "head -c 6000000 /dev/urandom >Documents/large && sync Documents/large"
    made = workday.run(f"{make} && sha256sum Documents/large")

    nas = workday.office.server.manage("nas", "check")  # a member of the directory, by Kerberos
    workday.office.server.manage("shell", "-c", "from mydoc import tasks; tasks.replicate()")  # as beat does
    workday.wait("a run", lambda: bool(workday.runs()))  # the oldest may have been cut off by an earlier walk
    ended = workday.copy_now()

    assert "NO " not in nas and NAS in nas
    assert workday.runs()[-1]["occasion"] == "schedule"
    assert not [run for run in workday.runs() if run["state"] == "failed"]  # cut off, and taken up again
    assert (ended["state"], ended["occasion"]) == ("done", "by_hand"), ended
    back = workday.restored(tmp_path) / "Documents"
    assert (back / "写し.bin").read_bytes() == data
    assert hashlib.sha256((back / "large").read_bytes()).hexdigest() == made.output.decode().split()[0]
    assert workday.restic("check", "--read-data").returncode == 0


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(5))
def test_a_virtual_server_killed_while_it_copies_is_copied_whole_by_the_next_run_without_anybodys_hand(
    workday: Workday, tmp_path: Path, seed: int
) -> None:
    workday.be_open()
    make = "head -c 9000000 /dev/urandom >Documents/killed && sync Documents/killed"
    made = workday.run(f"{make} && sha256sum Documents/killed").output.decode().split()[0]
    workday.wait("the end of a copy", lambda: not copies(workday), known=workday.runs)

    workday.office.rest("POST", f"/api/v1/volumes/{workday.volume}/replicate/")
    workday.wait("a copy", lambda: workday.runs()[0]["state"] == "running", known=workday.runs)
    instant = time.monotonic() + random.Random(seed).uniform(0, 5)
    workday.wait("the instant", lambda: time.monotonic() >= instant)
    kill_virtual_server(workday)
    workday.wait("the documents", workday.is_open)
    ended = workday.copy_now()

    assert ended["state"] == "done", ended
    back = workday.restored(tmp_path) / "Documents" / "killed"
    assert hashlib.sha256(back.read_bytes()).hexdigest() == made
    assert workday.restic("check", "--read-data").returncode == 0


@pytest.mark.soak
def test_everything_of_a_pc_that_is_gone_comes_into_the_same_persons_data_on_this_one(
    workday: Workday,
) -> None:
    """Many small files, through the QEMU virtual server; the figure is what docs/user-data.md tells."""
    workday.be_open()
    hashes = "cd Documents/many && find . -type f -exec sha256sum {} + | sort"
    for first in range(0, FILES, 20):  # a session in an emulated machine has not for ever
        make = (
            f"i={first}; while [ $i -lt {first + 20} ]; do mkdir -p Documents/many/$((i % 7)); "
            'head -c $((i * 40)) /dev/urandom >"Documents/many/$((i % 7))/見積 $i.bin"; i=$((i + 1)); done'
        )
        assert workday.run(make).exit_code == 0
    assert workday.run("sync Documents/many").exit_code == 0
    known = workday.run(hashes).output
    assert workday.copy_now()["state"] == "done"
    gone = workday.volume

    lock_by_hand(workday)
    workday.move_to_a_pc_that_is_gone()
    workday.wait("the new volume", lambda: bool(workday.log_on()) and workday.is_open())
    seconds = workday.bring_back(gone)

    restored = workday.run(hashes).output
    print(f"{FILES} small files and what lay there before: {seconds:.1f} s")
    assert len(known.splitlines()) == FILES
    assert restored == known


def copies(day: Workday) -> bool:
    """Whether a run waits, or is under way."""
    return bool(day.runs()) and day.runs()[0]["state"] in ("waiting", "running")


def test_who_may_change_a_folder_writes_into_it_through_the_virtual_server_and_who_may_read_does_not(
    workday: Workday,
) -> None:
    data = random.Random(9).randbytes(3 << 20)
    workday.be_open()
    workday.run("mkdir -p Documents/提出")
    workday.write("提出/theirs.txt", b"alice's own")
    portal = Portal(workday.office.server)

    grant = workday.share("Documents/提出", ADMIN, "write")
    page = portal.put(grant, "Documents/提出", "新規.bin", data)

    assert "It is saved" in page
    kept = workday.run("sha256sum <Documents/提出/新規.bin").output.decode().split()[0]
    assert kept == hashlib.sha256(data).hexdigest()
    assert "name_taken" in portal.put(grant, "Documents/提出", "theirs.txt", b"not theirs")
    assert workday.read("提出/theirs.txt") == b"alice's own"

    grant = workday.share("Documents/提出", ADMIN, "read")
    assert "only_reading" in portal.put(grant, "Documents/提出", "again.bin", b"x")
    there = workday.run(
        "cd Documents/提出 && echo *"
    )  # busybox's ls prints a ? for each byte it has no letter for
    assert there.output.decode().split() == ["theirs.txt", "新規.bin"]


def test_a_hundred_canaries_are_nowhere_in_clear_open_crashed_and_locked(workday: Workday) -> None:
    """The client VM's own disk, console and memory are left out: the encrypted partition's matter. What an
    administrator opens is written down by its path, so that has a name of no secret."""
    mark = f"canary-{secrets.token_hex(8)}-"
    workday.be_open()
    # Names and contents alike, one after the other through the whole path.
    workday.run(
        f"mkdir -p Documents/looked-at; cd Documents/looked-at && echo {mark}0-content >letter; i=0; "
        "while [ $i -lt 100 ]; do i=$((i + 1)); "
        f"echo {mark}$i-content >{mark}$i && sync {mark}$i && cat {mark}$i >/dev/null; done; sync letter"
    )
    portal = Portal(workday.office.server)
    portal.look(workday.volume, "a test of what remains")
    assert f"{mark}12" in portal.folder(workday.volume, "Documents/looked-at")
    assert portal.file(workday.volume, "Documents/looked-at/letter") == f"{mark}0-content\n".encode()
    assert in_memory(workday.machine("virtual-server"), mark.encode())  # this way of looking finds it

    counts = {"open": found(workday, mark)}
    workday.kill_machine("virtual-server")
    counts["crashed"] = found(workday, mark)
    workday.wait("going on", workday.is_open)
    assert workday.read(f"looked-at/{mark}1") == f"{mark}1-content\n".encode()
    daemons = workday.daemons()
    lock_by_hand(workday)
    counts["locked"] = found(workday, mark)

    assert counts == {"open": [], "crashed": [], "locked": []}
    assert daemons and workday.daemons() == []
    # The same run of the virtual server: it was not ended to forget.
    assert not in_memory(workday.machine("virtual-server"), mark.encode())


def lock_by_hand(day: Workday) -> None:
    """An administrator locks the volume."""
    for opening in day.openings(state="open"):
        day.office.rest("POST", f"/api/v1/openings/{opening['id']}/close/", {"reason": "test of the lock"})
    day.wait("the lock", lambda: day.told()["state"] == "locked")


def found(day: Workday, mark: str) -> list[str]:
    """Files of the PC and the server that hold these words anywhere, in the clear."""
    day.office.server.save_redis()
    places = [day.pc.directory, day.office.server.data]
    files = [file for place in places for file in place.rglob("*") if file.is_file()]
    return [str(file) for file in files if not is_client_vms(file) and holds(file, mark.encode())]


def is_client_vms(file: Path) -> bool:
    """Its disk, and what it says on its serial console, which is a guest's to choose."""
    return "desktop" in file.parts and (file.suffix == ".qcow2" or file.name == "console.log")


def holds(file: Path, words: bytes) -> bool:
    """Reads the whole file, its holes left out."""
    with file.open("rb") as opened:
        at, size = 0, file.stat().st_size
        while at < size:
            try:
                start = os.lseek(opened.fileno(), at, os.SEEK_DATA)
            except OSError:
                return False  # nothing but a hole is left
            at = os.lseek(opened.fileno(), start, os.SEEK_HOLE)
            kept = b""
            os.lseek(opened.fileno(), start, os.SEEK_SET)
            while start < at and (piece := os.read(opened.fileno(), min(1 << 20, at - start))):
                if words in kept + piece:
                    return True
                start += len(piece)
                kept = piece[-len(words) :]
    return False


def test_a_thief_of_the_disk_or_of_the_database_opens_nothing(workday: Workday) -> None:
    """Each has every byte of theirs, and our source. Only both together, with the keys, are an owner."""
    workday.be_open()
    lock_by_hand(workday)
    volume = workday.volume
    (place,) = workday.pc.state.glob(f"mydoc/{volume}")
    pc_half = (place / "half.key").read_bytes()
    data = Volumes(place.parent)

    disk = {file.read_bytes() for file in workday.pc.state.rglob("*") if is_small(file)}
    disk |= {lan_key(bytes(HALF_BYTES), pc_half, volume=volume)}
    wrapped, recovery = stored(workday, volume)
    database = {wrapped, recovery, *pieces(wrapped)}
    database |= {lan_key(piece, pc_half, volume=volume) for piece in pieces(wrapped)}  # and the disk as well
    keys = [key for stolen in (disk, database) for item in stolen for key in pieces(item)[:8]]

    assert len(keys) > 20
    assert [key for key in keys if data.opens(volume, key)] == []
    assert data.opens(volume, lan_key(server_half(workday, volume), pc_half, volume=volume))


def is_small(file: Path) -> bool:
    return file.is_file() and file.stat().st_size <= 4096 and file.suffix not in (".log", ".json")


def pieces(data: bytes) -> list[bytes]:
    """Whatever in it has the length of a key, at any place."""
    return [data[at : at + HALF_BYTES] for at in range(len(data) - HALF_BYTES + 1)]


def stored(day: Workday, volume: str) -> tuple[bytes, bytes]:
    """The server's half and the recovery key, as they lie in the database."""
    code = (
        "from mydoc.models import Volume; "
        f"v = Volume.objects.get(pk={volume!r}); print(bytes(v.server_half).hex(), bytes(v.recovery).hex())"
    )
    words = day.office.server.manage("shell", "-c", code).split()
    return bytes.fromhex(words[-2]), bytes.fromhex(words[-1])


def server_half(day: Workday, volume: str) -> bytes:
    """What only the running server makes of it, by a key beside the database."""
    code = (
        "from mydoc.volumes import halves; from mydoc.models import Volume; "
        f"print(halves.half_of(Volume.objects.get(pk={volume!r})).hex())"
    )
    return bytes.fromhex(day.office.server.manage("shell", "-c", code).split()[-1])

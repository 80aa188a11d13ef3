"""The cast of the agent's tests: an office that answers over HTTP, images that differ like versions do."""

import random
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.lab.chip import Chip
from tests.vrasnode.mydoccast import DataOffice
from tests.vrasnode.office import CHUNK, Keys, Office, Published, publish
from tests.vrasnode.volumecast import Made
from vrasnode.contact.identity import Identity
from vrasnode.contact.server import Server
from vrasnode.wire.clients import EnrolRequest, HostFacts

FACTS = HostFacts(
    hostname="pc-1",
    agent_version="0.1.0",
    os="Debian 12",
    cpus=2,
    memory_bytes=8 << 30,
    state_disk_bytes=64 << 30,
    state_disk_free_bytes=32 << 30,
    accelerator="tcg",
    reflink=False,
)


def chunks_of(seed: int, count: int) -> list[bytes]:
    """Chunks like those of a disk: some compress well, some not at all."""
    rng = random.Random(seed)
    return [
        rng.randbytes(CHUNK) if number % 3 else (f"{seed} {number} ".encode() * CHUNK)[:CHUNK]
        for number in range(count)
    ]


@pytest.fixture(scope="session")
def keys() -> Keys:
    return Keys()


@pytest.fixture(scope="session")
def old_data() -> bytes:
    """120 chunks with holes in the middle and at the end, and a tail that is no whole chunk."""
    chunks = chunks_of(1, 100)
    hole = bytes(CHUNK)
    return b"".join([*chunks[:40], *[hole] * 10, *chunks[40:90], *[hole] * 9, chunks[99], b"tail" * 300])


@pytest.fixture(scope="session")
def new_data(old_data: bytes) -> bytes:
    """The same disk later: changed, moved, written where nothing was, emptied."""
    data = bytearray(old_data)
    fresh = chunks_of(2, 30)
    for number in range(12):  # changed in one run
        data[(5 + number) * CHUNK : (6 + number) * CHUNK] = fresh[number]
    data[42 * CHUNK : 45 * CHUNK] = b"".join(fresh[12:15])  # where a hole was
    data[60 * CHUNK : 64 * CHUNK] = bytes(4 * CHUNK)  # a hole now
    data[70 * CHUNK : 73 * CHUNK] = old_data[20 * CHUNK : 23 * CHUNK]  # moved
    data[80 * CHUNK : 81 * CHUNK] = fresh[0]  # the same chunk twice
    return bytes(data)


@pytest.fixture(scope="session")
def old(keys: Keys, old_data: bytes) -> Published:
    return publish(keys, old_data)


@pytest.fixture(scope="session")
def new(keys: Keys, new_data: bytes, old: Published) -> Published:
    return publish(keys, new_data, base=[old])


@pytest.fixture
def office(keys: Keys, old: Published, new: Published) -> Iterator[Office]:
    """An installation that has both versions."""
    with Office(keys=keys).open() as office:
        for version in (old, new):  # each test may damage its own copy
            office.stock(version)
            office.packs.update({pack_id: bytearray(data) for pack_id, data in version.packs.items()})
        yield office


@pytest.fixture
def identity(office: Office, tmp_path: Path) -> Identity:
    """A PC that this office has approved."""
    return member_of(office, tmp_path / "identity")


def member_of(office: Office, directory: Path) -> Identity:
    """Enrols a PC and lets the office approve it."""
    identity = Identity(directory)
    identity.begin(server=office.url, name="pc-1", installation=office.keys.installation)
    request = EnrolRequest(
        token=office.keys.token,
        name="pc-1",
        csr=identity.certificate_request(),
        hpke_key=identity.hpke_key,
        facts=FACTS,
    )
    identity.take(Server(office.url, identity=identity).enrol(request))
    return identity


@pytest.fixture
def data_office(keys: Keys) -> Iterator[DataOffice]:
    """An installation that knows user data."""
    with DataOffice(keys=keys).open() as office:
        assert isinstance(office, DataOffice)
        yield office


@pytest.fixture(scope="session")
def volume_of_the_session(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A new volume, to be copied: making one is the slow part of most tests of volumes."""
    return Made(tmp_path_factory.mktemp("volume")).create()


@pytest.fixture
def made(volume_of_the_session: Made, tmp_path: Path) -> Iterator[Made]:
    """A volume that was just made; whatever serves it at the end is ended."""
    volume = volume_of_the_session.copy_to(tmp_path / "mydoc")
    try:
        yield volume
    finally:
        volume.stop()


@pytest.fixture
def small_disk() -> Iterator[Callable[[int], Path]]:
    """Makes file systems of so many bytes (tmpfs), where the paths of sockets stay short. Needs root."""
    with ExitStack() as stack:
        near = Path(stack.enter_context(TemporaryDirectory(prefix="openvras-disk-")))

        def mount(size_bytes: int) -> Path:
            path = near / f"{size_bytes >> 20}M"
            path.mkdir()
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "none", path], check=True)
            stack.callback(subprocess.check_call, ["umount", "-l", path])
            return path

        yield mount


@pytest.fixture
def xfs(tmp_path: Path) -> Iterator[Path]:
    """A file system that clones. Needs root."""
    image, path = tmp_path / "xfs.img", tmp_path / "xfs"
    path.mkdir()
    with image.open("wb") as file:
        file.truncate(400 << 20)
    subprocess.run(["mkfs.xfs", "-q", image], check=True)
    subprocess.run(["mount", "-o", "loop", image, path], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", path], check=True)


@pytest.fixture
def chip(tmp_path: Path) -> Iterator[Callable[[str], Chip]]:
    """The TPM of the PC of this name."""
    with ExitStack() as stack:

        def switch_on(name: str) -> Chip:
            chip = Chip(tmp_path / f"tpm-{name}")
            stack.callback(chip.end)
            return chip

        yield switch_on

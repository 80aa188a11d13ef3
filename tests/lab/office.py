"""A whole office for the walks: real server processes, a LAN, PCs with libvirt, agents, guests that boot."""

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from config.demo import bootimage
from config.demo.bootimage import BootImages
from config.demo.office import CLIENT_VM, GROUP, IMAGE, DemoPc, Office
from vrasnode.chunks import framemap, manifest
from vrasnode.chunks.hashing import digest_of
from vrasnode.errors import VrasError
from vrasnode.imaging.slots import Slots, Version
from vrasnode.machines.hypervisor import Hypervisor

ENDS = ("booted", "failed", "superseded")


class Walk:
    """An office and its boot images, with the looks that tests take at them."""

    def __init__(self, office: Office, images: BootImages) -> None:
        self.office = office
        self.images = images
        self.pc: DemoPc = office.pcs[0]
        self.published: dict[str, int] = {}

    def version(self, name: str) -> int:
        """The number of a boot image's version; published the first time it is asked for."""
        if name not in self.published:
            path: Path = getattr(self.images, name)
            answer = self.office.ctl("image", "publish", str(path), "--name", IMAGE, "--note", name)
            self.published[name] = answer["number"]
        return self.published[name]

    def record(self, name: str) -> dict[str, Any]:
        """What the server knows of a boot image's version."""
        number = self.version(name)
        versions: list[dict[str, Any]] = self.office.ctl("image", "show", IMAGE)["versions"]
        return next(version for version in versions if version["number"] == number)

    def frames(self, name: str) -> list[tuple[str, int, int]]:
        """Where the server keeps each chunk of a version: pack id, offset and length in bytes."""
        kept = self.office.server.data / "store" / "manifests" / self.record(name)["manifest"]
        listed = manifest.read_named(kept.with_suffix(".manifest").read_bytes(), kept.name)
        data = kept.with_suffix(".frames").read_bytes()
        frames = framemap.decode(data, chunks=len(listed), chunk_bytes=listed.header.chunk_bytes)
        return [frames.place(index) for index in range(len(frames))]

    def distribute(self, name: str, *more: str) -> int:
        """Starts bringing a version to the PCs, to run at once; returns the distribution's id."""
        target = f"{IMAGE}@{self.version(name)}"
        answer = self.office.ctl("distribute", target, "--group", GROUP, "--now", *more)
        return int(answer["id"])

    def deliveries(self, distribution: int) -> dict[str, dict[str, Any]]:
        """What the server knows of each PC's part."""
        answer = self.rest("GET", f"/api/v1/deliveries/?distribution={distribution}")
        return {row["client"]: row for row in answer["results"]}

    def delivery(self, distribution: int) -> dict[str, Any]:
        """The first PC's part."""
        return self.deliveries(distribution)[self.pc.name]

    def ended(self, distribution: int, *, within_s: float = 300) -> dict[str, Any]:
        """The first PC's part, once it has come to an end."""
        self.wait(
            "the delivery's end", lambda: self.delivery(distribution)["state"] in ENDS, within_s=within_s
        )
        return self.delivery(distribution)

    def runs(self, name: str) -> bool:
        """Whether the first PC's guest proves that it runs this version."""
        return self.pc.prove().sha256 == self.images.marker[name]

    def answers(self, name: str) -> bool:
        """The same, of a guest that may not be up yet."""
        try:
            return self.runs(name)
        except VrasError:
            return False

    def bring_to(self, name: str) -> None:
        """Has the first PC run this version, proven, whatever it ran before."""
        distribution = self.distribute(name)
        assert self.ended(distribution)["state"] == "booted"
        assert self.runs(name)

    def settle(self) -> tuple[str, str]:
        """The version that the first PC runs, proven, and the other sound one, to go to next. Where it runs
        neither it is brought to the first. Most tests do not mind which way they go, and boots are dear."""
        versions = ("v1", "v2")
        current = self.slots().boot.current
        running = {self.record(name)["manifest"]: name for name in versions}
        here = running.get(current.manifest, "") if current else ""
        if not here or not self.answers(here):
            here = versions[0]
            self.bring_to(here)
        return here, next(name for name in versions if name != here)

    def join_anew(self) -> None:
        """The first PC is emptied and joins as a new one."""
        self.pc.agent.end()
        hypervisor = Hypervisor(self.pc.lab.uri)
        hypervisor.destroy(CLIENT_VM)
        hypervisor.close()
        shutil.rmtree(self.pc.state)
        self.office.enrol(self.pc)
        self.pc.agent.start()

    def slowest_boot_s(self) -> int:
        """How long a sound version took at most to come up on this machine, as busy as it is."""
        answer = self.rest("GET", "/api/v1/deliveries/?limit=500")
        return round(max((row["boot_s"] or 0 for row in answer["results"]), default=0))

    def missing_bytes(self, name: str, *, has: str) -> int:
        """How much a PC that has one version has to fetch for another."""
        return sum(length for _, _, length in set(self.frames(name)) - set(self.frames(has)))

    def rest(self, method: str, path: str, body: object = None) -> Any:
        """One REST call as the administrator."""
        return self.office.rest(method, path, body)

    def wait(self, what: str, so: Callable[[], bool], *, within_s: float = 240) -> None:
        """Returns when it is so. Fails with the agent's last words when it takes too long."""
        deadline = time.monotonic() + within_s
        while not so():
            assert time.monotonic() < deadline, f"{what}: not within {within_s} s\n{self.pc.agent.tail()}"
            time.sleep(0.05)

    def pause(self, seconds: float) -> None:
        """Lets a seeded stretch of the PC's time pass: where in its work it then is, is the point."""
        threading.Event().wait(seconds)

    @contextmanager
    def patience(self, seconds: int) -> Iterator[None]:
        """What is distributed inside has this long to become healthy at each start."""
        path = f"/api/v1/images/{IMAGE}/"
        usual = self.rest("GET", path)["health_within_s"]
        self.rest("PATCH", path, {"health_within_s": seconds})
        try:
            yield
        finally:
            self.rest("PATCH", path, {"health_within_s": usual})

    def slots(self) -> Slots:
        """The PC's pointer and slots, as they are on its disk now."""
        return Slots(self.pc.state / "images")

    def wrong_chunks(self, version: Version) -> int:
        """How many chunks of a slot's image are not what its manifest says."""
        slots = self.slots()
        listed = slots.manifest(version)
        assert listed is not None, f"slot {version.slot} has no manifest of its version"
        return count_wrong(slots.image(version.slot), listed)


def count_wrong(path: Path, listed: manifest.Manifest) -> int:
    """Chunks of a raw image that differ from the manifest, holes included."""
    digest = digest_of(listed.header.hash)
    expected = dict(listed)
    size = listed.header.chunk_bytes
    wrong = 0
    with path.open("rb") as file:
        for number in range((listed.header.size_bytes + size - 1) // size):
            data = file.read(size)
            want = expected.get(number)
            wrong += digest(data) != want if want is not None else any(data)
    return wrong


@pytest.fixture(scope="session")
def walk(tmp_path_factory: pytest.TempPathFactory, boot_images: BootImages) -> Iterator[Walk]:
    """One office with one PC, shared by the walks; each begins by bringing the PC where it wants it."""
    with _opened(tmp_path_factory.mktemp("office"), boot_images) as walk:
        yield walk


@contextmanager
def _opened(data: Path, boot_images: BootImages) -> Iterator[Walk]:
    # Without delta frames: the way from one version to the other has to be long enough for a middle.
    env = {"OPENVRAS_DELTA_BASES": "0"}
    with Office(data, port=0, count=1, cache=bootimage.default_cache(), say=print, server_env=env) as office:
        office.furnish()
        yield Walk(office, boot_images)

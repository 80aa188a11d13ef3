"""The main job, told in steps: version 1 to all PCs, version 2 to all, back to version 1.

Each step is done by the administrator's commands and counts only if every guest proves what it runs.
"""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from config.demo.bootimage import BootImages
from config.demo.office import GROUP, IMAGE, DemoPc, Office
from vrasnode.errors import VrasError


@dataclass(frozen=True)
class Step:
    """One step as it was seen. Bytes were counted at the PCs' network."""

    name: str
    version: str
    seconds: float
    received_bytes: int
    proven: list[str]  # PCs whose guest answered the nonce with this version's hash
    failed: dict[str, str]  # the others, and why


class Story:
    """Plays the steps in an office. `say` is told each as it ends."""

    def __init__(self, office: Office, images: BootImages, *, say: Callable[[str], None]) -> None:
        self._office = office
        self._images = images
        self._say = say
        self.steps: list[Step] = []

    @property
    def good(self) -> bool:
        """Whether every guest proved every step."""
        return bool(self.steps) and all(not step.failed for step in self.steps)

    def publish(self, path: Path, *, note: str) -> dict[str, Any]:
        """Publishes an image file; returns the version as vrasctl describes it."""
        version: dict[str, Any] = self._office.ctl(
            "image", "publish", str(path), "--name", IMAGE, "--note", note
        )
        return version

    def distribute(self, name: str, version: int, *, marker: str) -> Step:
        """Brings a version to the group and has every guest prove it."""
        return self._step(name, version, marker, ["distribute", f"{IMAGE}@{version}", "--group", GROUP])

    def roll_back(self, version: int, *, marker: str) -> Step:
        """Brings the version before back."""
        return self._step("rollback", version, marker, ["rollback", "--group", GROUP, "--to", str(version)])

    def play(self) -> None:
        """All of it."""
        first = self.publish(self._images.v1, note="first version")["number"]
        self.distribute("v1 to all", first, marker=self._images.marker["v1"])
        second = self.publish(self._images.v2, note="editor replaced, remote tools added")["number"]
        self.distribute("v2 to all", second, marker=self._images.marker["v2"])
        self.roll_back(first, marker=self._images.marker["v1"])

    def report(self) -> dict[str, Any]:
        """Everything as one JSON object."""
        return {"ok": self.good, "pcs": len(self._office.pcs), "steps": [asdict(step) for step in self.steps]}

    def _step(self, name: str, version: int, marker: str, command: list[str]) -> Step:
        bytes_before, started = self._office.received_bytes(), time.monotonic()
        self._office.ctl(*command, "--now", "--wait")
        with ThreadPoolExecutor(max_workers=8) as crew:
            results = dict(crew.map(lambda pc: (pc.name, _why_not(pc, marker)), self._office.pcs))
        step = Step(
            name=name,
            version=f"{IMAGE}@{version}",
            seconds=round(time.monotonic() - started, 1),
            received_bytes=self._office.received_bytes() - bytes_before,
            proven=[pc for pc, why in results.items() if not why],
            failed={pc: why for pc, why in results.items() if why},
        )
        self.steps.append(step)
        self._say(line(step))
        return step


def line(step: Step) -> str:
    """A step as a row of the table."""
    proven = f"{len(step.proven)}/{len(step.proven) + len(step.failed)}"
    row = f"{step.name:<12} {step.version:<20} {step.received_bytes / 1e6:>9.1f} MB {step.seconds:>7.1f} s"
    return "\n".join([f"{row}   {proven}", *(f"    {pc}: {why}" for pc, why in step.failed.items())])


HEADER = f"{'step':<12} {'version':<20} {'to the PCs':>12} {'time':>9}   proven from inside the guests"


def _why_not(pc: DemoPc, marker: str) -> str:
    try:
        proof = pc.prove()
    except VrasError as error:
        return str(error)
    return "" if proof.sha256 == marker else f"the guest runs something else: {proof.sha256}"

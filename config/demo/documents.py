"""User data in the demo (`--full`): PCs get virtual servers and a desktop that can mount a share, one
employee logs on at each, works, and is locked out by the directory.

As with the main job a step counts only when it was seen from inside the client VM.
"""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from config.demo import workplace
from config.demo.directory import Directory
from config.demo.office import GROUP, IMAGE, DemoPc, Office
from config.demo.processes import wait_for
from config.demo.workplace import Workplace
from vrasnode.errors import HostBroken, VrasError
from vrasnode.servicevm.build.image import ServiceImage, build_image

EMPLOYEES = ("alice", "carol", "heidi", "ivan")  # of the directory's cast
LETTER, WORDS = "letter.txt", b"Only its owner and whom an administrator permits may read this.\n"
LIMIT_S = 400.0


@dataclass(frozen=True)
class Images:
    """What PCs need for user data."""

    service: ServiceImage
    workplace: Workplace


@dataclass(frozen=True)
class Step:
    """One step as it was seen. `seen`: PCs where it was so from inside; `failed`: the others, and why."""

    name: str
    seconds: float
    seen: list[str]
    failed: dict[str, str] = field(default_factory=dict)


def build(cache: Path, *, say: Callable[[str], None]) -> Images:
    """Both images, from the cache where they were built before. Raises HostBroken."""
    return Images(build_image(cache, say=say), workplace.build_workplace(cache, say=say))


def equip(office: Office, images: Images) -> None:
    """Every PC runs a virtual server and the desktop with the logon script."""
    office.give_virtual_servers(images.service.disk)
    note = "a desktop that mounts its user's documents"
    if note not in [version["note"] for version in office.ctl("image", "show", IMAGE)["versions"]]:
        office.ctl("image", "publish", str(images.workplace.disk), "--name", IMAGE, "--note", note)
        office.ctl("distribute", IMAGE, "--group", GROUP, "--now", "--wait")


class DocumentsStory:
    """Plays the steps in an office that is equipped. `say` is told each as it ends."""

    def __init__(self, office: Office, *, say: Callable[[str], None]) -> None:
        if office.company is None:
            raise HostBroken("no_directory", "User data needs an office with a directory.")
        self._directory: Directory = office.company.directory
        self._office = office
        self._say = say
        self._users = {pc: EMPLOYEES[at % len(EMPLOYEES)] for at, pc in enumerate(office.pcs)}
        self.steps: list[Step] = []

    @property
    def good(self) -> bool:
        return bool(self.steps) and all(not step.failed for step in self.steps)

    def log_on(self) -> None:
        """One employee at each PC, by the directory's password, inside the client VM; a letter is written."""
        self._step("documents open at logon", self._open)

    def play(self) -> None:
        """All of it: open, disabled and locked, enabled and open again with everything there."""
        self.log_on()
        for user in set(self._users.values()):
            self._directory.disable(user)
        try:
            self._step("account disabled: locked", self._is_cut)
        finally:
            for user in set(self._users.values()):
                self._directory.enable(user)
        self._step("enabled again: all there", self._open)
        self._step("copied to the NAS", self._copy)

    def who(self) -> dict[str, str]:
        """Who works at which PC."""
        return {pc.name: user for pc, user in self._users.items()}

    def _step(self, name: str, act: Callable[[DemoPc, str], str]) -> None:
        started = time.monotonic()
        with ThreadPoolExecutor(max_workers=8) as crew:
            results = dict(crew.map(lambda pc: (pc.name, self._tried(act, pc)), self._office.pcs))
        step = Step(
            name,
            round(time.monotonic() - started, 1),
            seen=[pc for pc, why in results.items() if not why],
            failed={pc: why for pc, why in results.items() if why},
        )
        self.steps.append(step)
        self._say(line(step))

    def _tried(self, act: Callable[[DemoPc, str], str], pc: DemoPc) -> str:
        try:
            return act(pc, self._users[pc])
        except VrasError as error:
            return str(error)

    def _open(self, pc: DemoPc, user: str) -> str:
        """Why it is not open, or not all there; nothing when it is."""
        pc.log_on(user, Directory.password_of(user))
        new = pc.as_user(user, f"[ ! -e Documents/{LETTER} ]").exit_code == 0
        if new:
            pc.as_user(user, f"cat > Documents/{LETTER} && sync Documents/{LETTER}", stdin=WORDS)
        found = pc.as_user(user, f"cat Documents/{LETTER}")
        return "" if found.output == WORDS else f"{user} does not find the letter: {found.errors!r}"

    def _copy(self, pc: DemoPc, user: str) -> str:
        """By hand, as an administrator does it. Why it is not a replica; nothing when it is."""
        (volume,) = self._office.rest(
            "GET", f"/api/v1/volumes/?owner__username={user}&client__name={pc.name}"
        )["results"]
        query = f"/api/v1/replications/?replica__volume={volume['id']}"

        def ended() -> bool:
            runs = self._office.rest("GET", query)["results"]
            return not runs or runs[0]["state"] not in ("waiting", "running")

        wait_for("The copy by schedule", ended, timeout_s=LIMIT_S)
        self._office.rest("POST", f"/api/v1/volumes/{volume['id']}/replicate/")
        wait_for("The copy", ended, timeout_s=LIMIT_S)
        run = self._office.rest("GET", query)["results"][0]
        there = any((self._office.data / "nas" / volume["id"] / "snapshots").iterdir())
        if run["state"] == "done" and run["files"] and there:
            return ""
        return f"{run['state']}: {run['words'] or run['reason']}"

    def _is_cut(self, pc: DemoPc, user: str) -> str:
        wait_for(
            "The lock", lambda: bool(pc.as_user(user, f"cat Documents/{LETTER}").exit_code), timeout_s=LIMIT_S
        )
        return ""


def line(step: Step) -> str:
    """A step as a row of the table."""
    row = f"{step.name:<48} {step.seconds:>7.1f} s   {len(step.seen)}/{len(step.seen) + len(step.failed)}"
    return "\n".join([row, *(f"    {pc}: {why}" for pc, why in step.failed.items())])

"""Shares of some folders of a volume alone: a small folder in memory, into which those folders are bound.

All else of the volume is not below it, so nobody who has the share finds a way there. The folders that the
client VM leads its user's own to are there in any case, empty and closed to writing.
"""

import os
import re
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from vrasnode.servicevm.guest import paths
from vrasnode.servicevm.guest.answering import Refusal
from vrasnode.servicevm.guest.paths import Parts

HELD_S = 5.0  # for what held a view to be gone
LOOK_S = 0.02
KNOWN = ("Documents", "Desktop", "Pictures", "Mail/Thunderbird")
MOUNTS = Path("/proc/self/mountinfo")


class Views:
    """`run` is where views are made, in memory. `end_holders` ends what holds a folder open."""

    def __init__(
        self,
        run: Path,
        *,
        end_holders: Callable[[Path], int],
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._run = run
        self._end_holders = end_holders
        self._clock = clock
        self._pause = pause

    def make(self, serial: str, root: Path, folders: Sequence[Parts]) -> Path:
        """A folder that shows these of the volume at `root`, each at its own path. What is not there is not
        shown. Raises Refusal(no_such_folder, view_failed, is_a_link)."""
        self.drop(serial)
        view = self._run / serial
        view.mkdir(parents=True)
        _mount("-t", "tmpfs", "-o", "size=256k,mode=0555,nosuid,nodev,noexec", "tmpfs", str(view))
        for known in KNOWN:
            (view / known).mkdir(parents=True, exist_ok=True)
        outer = [one for one in sorted(set(folders)) if not any(one[:n] in folders for n in range(len(one)))]
        if not [one for one in outer if self._bind(view, root, one)]:
            self.drop(serial)
            raise Refusal("no_such_folder", "None of the usage key's folders is in the volume.")
        return view

    def drop(self, serial: str) -> int:
        """Nobody sees anything by it any more; returns how many processes were ended. Twice is once.

        Raises Refusal(volume_busy)."""
        view, ended = self._run / serial, 0
        deadline = self._clock() + HELD_S
        while places := _mounted(view):
            done = [_run("umount", str(place)) for place in reversed(places)]
            if not any(done):
                continue
            if self._clock() > deadline:
                raise Refusal("volume_busy", "Something holds the shared folders.")
            ended += self._end_holders(view)
            self._pause(LOOK_S)
        if view.exists():
            view.rmdir()
        return ended

    def _bind(self, view: Path, root: Path, parts: Parts) -> bool:
        """Whether the folder is there. Nobody leads us out of the volume by a link."""
        place = view.joinpath(*(os.fsdecode(part) for part in parts))
        try:
            with paths.inside(root, parts) as here:
                place.mkdir(parents=True, exist_ok=True)
                _mount("--bind", f"/proc/self/fd/{here}", str(place), handles=[here])
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True


def _mounted(view: Path) -> list[Path]:
    """What is mounted there and below, in the order in which it was."""
    lines = MOUNTS.read_text(errors="surrogateescape").splitlines()
    places = [Path(re.sub(r"\\([0-7]{3})", _letter, line.split(" ")[4])) for line in lines]
    return [place for place in places if place == view or view in place.parents]


def _letter(found: "re.Match[str]") -> str:
    return chr(int(found[1], 8))


def _mount(*words: str, handles: Sequence[int] = ()) -> None:
    if trouble := _run("mount", *words, handles=handles):
        raise Refusal("view_failed", f"The folders cannot be shared: {trouble}")


def _run(*command: str, handles: Sequence[int] = ()) -> str:
    """Why it failed; nothing when it did not."""
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        pass_fds=handles,
        check=False,
    )
    return (done.stdout.strip()[-200:] or "it failed") if done.returncode else ""

"""User data of simulated PCs: nothing is encrypted and nothing runs, but all is asked, answered and kept.

A volume is a folder `files`; what the storage daemon and the virtual server of a real PC would know lies in
small files beside it, so that it outlives the agent as theirs does. People look into it by the very code of
the virtual server, without its rights: whom a grant does not name gets a no from here.
"""

import hashlib
import shutil
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from vrasnode.errors import HostBroken, Refused, VrasError
from vrasnode.host import disk
from vrasnode.machines.controlchannel import Answer
from vrasnode.mydoc.guestnames import bytes_of
from vrasnode.mydoc.luks import Slot
from vrasnode.mydoc.naming import is_volume, serial_of
from vrasnode.servicevm.guest import foldertree, paths
from vrasnode.servicevm.guest.answering import Refusal
from vrasnode.servicevm.guest.errnos import refusal_of
from vrasnode.wire import codec
from vrasnode.wire.codec import Message

SAMPLES: Mapping[str, str] = {
    "Documents/議事録/2026-11 営業会議.txt": "議題: 冬の販売計画\n",
    "Documents/見積書.txt": "見積金額 1,200,000円\n",
    "Documents/budget.csv": "month,yen\n11,1200000\n12,1350000\n",
    "Desktop/todo.txt": "Call the print shop.\n",
    "Pictures/README.txt": "No pictures yet.\n",
}
READ = {"read", "write"}


class Made(Message, frozen=True):
    """What a volume's header would say."""

    luks_uuid: str
    size_bytes: int
    keys: list[str]  # SHA-256 of those that open it: by a logon, by recovery
    lease: str = ""  # the same, by a usage key


class SimulatedVolumes:
    """Stands where `volumes.Volumes` stands."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def exists(self, volume: str) -> bool:
        return self._note(volume).exists()

    def create(self, volume: str, *, lan_key: bytes, recovery_key: bytes, limit_bytes: int) -> str:
        """Made whole or not at all."""
        if self.exists(volume):
            raise Refused("volume_exists", f"There is a volume {volume} already.")
        disk.make_directory(self._note(volume).parent, mode=0o700)
        keys = [_digest(lan_key), _digest(recovery_key)]
        made = Made(luks_uuid=str(uuid.uuid4()), size_bytes=limit_bytes, keys=keys)
        disk.write_file(self._note(volume), codec.encode(made))
        return made.luks_uuid

    def luks_uuid(self, volume: str) -> str:
        return self._made(volume).luks_uuid

    def size(self, volume: str) -> int:
        return self._made(volume).size_bytes

    def grow(self, volume: str, limit_bytes: int) -> None:
        made = self._made(volume)
        grown = replace(made, size_bytes=max(made.size_bytes, limit_bytes))
        disk.write_file(self._note(volume), codec.encode(grown))

    def all(self) -> list[str]:
        return sorted(path.name for path in self._directory.iterdir() if is_volume(path.name))

    def set_key(self, volume: str, slot: Slot, new_key: bytes, *, key: bytes) -> None:
        """Of the lease slot alone. Raises Refused(wrong_key)."""
        made = self._made(volume)
        if slot is not Slot.LEASE or _digest(key) not in made.keys:
            raise Refused("wrong_key", f"The key does not open the volume {volume}.")
        disk.write_file(self._note(volume), codec.encode(replace(made, lease=_digest(new_key))))

    def has_slot(self, volume: str, slot: Slot) -> bool:
        return slot is not Slot.LEASE or bool(self._made(volume).lease)

    def serve(self, volume: str, key: bytes, *, read_only: bool = False) -> Path:
        """Raises Refused(wrong_key)."""
        del read_only
        made = self._made(volume)
        if _digest(key) not in [*made.keys, *([made.lease] if made.lease else [])]:
            raise Refused("wrong_key", f"The key does not open the volume {volume}.")
        self._served(volume).touch()
        return self._served(volume)

    def serving(self, volume: str) -> Path | None:
        return self._served(volume) if self._served(volume).exists() else None

    def stop(self, volume: str) -> None:
        self._served(volume).unlink(missing_ok=True)

    def prove_locked(self, volume: str) -> bool:
        return self.serving(volume) is None

    def kill_slot(self, volume: str, slot: Slot) -> None:
        made = self._made(volume)
        if slot is Slot.LAN and len(made.keys) > 1:
            disk.write_file(self._note(volume), codec.encode(replace(made, keys=made.keys[-1:])))
        if slot is Slot.LEASE and made.lease:
            disk.write_file(self._note(volume), codec.encode(replace(made, lease="")))

    def _note(self, volume: str) -> Path:
        return self._of(volume) / "simulated.json"

    def _served(self, volume: str) -> Path:
        return self._of(volume) / "served"

    def _of(self, volume: str) -> Path:
        if not is_volume(volume):
            raise Refused("bad_volume", f"{volume!r} is not the name of a volume.")
        return self._directory / volume

    def _made(self, volume: str) -> Made:
        data = disk.read_file(self._note(volume))
        if data is None:
            raise HostBroken("volume_missing", f"The simulated volume {volume} is gone.")
        return codec.decode(data, Made)


class SimulatedHousing:
    """Stands where `housing.VirtualServerHousing` stands: a virtual server that is always up, and a client VM
    that takes note. It answers at once."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._ops: Mapping[str, Callable[..., Answer]] = {
            "ping": lambda: {"session": "simulated"},
            "volume_open": self._open,
            "volume_cut": self._cut,
            "volume_close": self._close,
            "volume_usage": lambda serial: self._usage(self._mounted(serial)),
            "share_open": self._share,
            "share_close": self._cut,
            "grants_apply": self._apply,
            "folder_list": self._list,
            "folder_search": self._search,
            "file_read": self._read,
        }

    def call(self, op: str, *, timeout_s: float, **args: Any) -> Answer:
        del timeout_s
        try:
            return self._ops[op](**args)
        except Refusal as refusal:
            raise Refused(refusal.code, str(refusal)) from refusal
        except OSError as error:
            found = refusal_of(error)
            raise Refused(found.code, str(found)) from error

    def begin(self, op: str, **args: Any) -> "Future[Answer]":
        asked: Future[Answer] = Future()
        try:
            asked.set_result(self.call(op, timeout_s=0, **args))
        except VrasError as error:
            asked.set_exception(error)
        return asked

    def holds(self, volume: str) -> bool:
        return (self._directory / volume / "plugged").exists()

    def plug(self, volume: str, socket: Path, *, read_only: bool = False) -> None:
        del read_only
        if not socket.exists():
            raise HostBroken("attach_failed", "Nothing is served there.")
        (self._directory / volume / "plugged").touch()

    def unplug(self, volume: str, *, wait_s: float) -> None:
        del wait_s
        (self._directory / volume / "plugged").unlink(missing_ok=True)

    def overwrite(self) -> None:
        """It keeps no requests."""

    def pull_cable(self) -> bool:
        """There is none."""
        return True

    def push_cable(self) -> None:
        """There is none."""

    def switch_off(self) -> None:
        """All that was mounted is not any more."""
        for mark in ("mounted", "plugged"):
            for path in self._directory.glob(f"*/{mark}"):
                path.unlink(missing_ok=True)

    def tell(self, message: Mapping[str, object]) -> None:
        """A client VM that is content with everything."""
        del message

    def _open(
        self, serial: str, fresh: bool = False, size_bytes: int | None = None, read_only: bool = False
    ) -> Answer:
        del size_bytes, read_only
        volume = self._volume(serial)
        if not (volume / "plugged").exists():
            raise Refused("no_such_disk", f"No disk {serial} was plugged in.")
        if fresh and not (volume / "files").exists():
            _furnish(volume / "files")
        if not (volume / "files").exists():
            raise Refused("no_filesystem", "The volume holds no file system.")
        (volume / "mounted").touch()
        return {**self._usage(volume / "files"), "repaired": False}

    def _close(self, serial: str) -> Answer:
        for path in self._directory.iterdir():
            if is_volume(path.name) and serial_of(path.name) == serial:
                (path / "mounted").unlink(missing_ok=True)
        return {"ended": 0}

    def _cut(self, serial: str) -> Answer:
        del serial
        return {"ended": 0}

    def _usage(self, files: Path) -> Answer:
        used = sum(path.lstat().st_size for path in files.rglob("*") if path.is_file())
        return {"size_bytes": shutil.disk_usage(files).total, "used_bytes": used}

    def _share(
        self, serial: str, name: str, user: str, password: str, client: str, *, folders: Sequence[str] = ()
    ) -> Answer:
        del user, password, client, folders
        self._mounted(serial)
        return {"share": name}

    def _apply(self, serial: str, grants: list[dict[str, Any]]) -> Answer:
        files = self._mounted(serial)
        failed = {}
        for grant in grants:
            if not (files / paths_text(grant["path"])).is_dir():
                failed[grant["path"]] = "There is no such folder."
        applied = [grant for grant in grants if grant["path"] not in failed]
        disk.write_file(files.parent / "grants.json", codec.encode(applied))
        return {"applied": applied, "failed": failed}

    def _list(self, serial: str, path: str, after: str, limit: int, uid: int) -> Answer:
        root = self._seen(serial, path, uid)
        return foldertree.list_folder(root, paths.parts_of(path), after=bytes_of(after), limit=limit)

    def _search(self, *, serial: str, path: str, words: str, after: str, limit: int, uid: int) -> Answer:
        root = self._seen(serial, path, uid)
        return foldertree.search(root, paths.parts_of(path), words, after=paths.parts_of(after), limit=limit)

    def _read(self, serial: str, path: str, offset: int, length: int, uid: int) -> Answer:
        root = self._seen(serial, path, uid)
        return foldertree.read_file(root, paths.parts_of(path), offset, length)

    def _seen(self, serial: str, path: str, uid: int) -> Path:
        """The volume's root, for who may look at `path`."""
        files = self._mounted(serial)
        if uid:
            data = disk.read_file(files.parent / "grants.json")
            grants = codec.decode(data, list[dict[str, str | int]]) if data else []
            if not any(_holds(grant, bytes_of(path), uid) for grant in grants):
                raise Refused("not_permitted", "This person may not read that.")
        return files

    def _mounted(self, serial: str) -> Path:
        volume = self._volume(serial)
        if not (volume / "mounted").exists():
            raise Refused("volume_closed", "The volume is not open.")
        return volume / "files"

    def _volume(self, serial: str) -> Path:
        for path in self._directory.iterdir():
            if is_volume(path.name) and serial_of(path.name) == serial:
                return path
        raise Refused("no_such_disk", f"No disk {serial} was plugged in.")


def paths_text(path: str) -> str:
    """A path as Python's file functions take it."""
    return b"/".join(paths.parts_of(path)).decode(errors="surrogateescape")


def _holds(grant: Mapping[str, str | int], path: bytes, uid: int) -> bool:
    folder = bytes_of(grant["path"])
    inside = not folder or path == folder or path.startswith(folder + b"/")
    return inside and grant["uid"] == uid and grant["access"] in READ


def _furnish(files: Path) -> None:
    """A few documents, so that there is something to see."""
    part = files.with_name("files.part")
    shutil.rmtree(part, ignore_errors=True)
    for name, text in SAMPLES.items():
        path = part / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    part.rename(files)


def _digest(key: bytes) -> str:
    return hashlib.sha256(key).hexdigest()

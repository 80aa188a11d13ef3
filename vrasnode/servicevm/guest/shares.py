"""The shares of open volumes: one each, for one user with a password of this opening, from one address.

`cut` is for a lock: it asks nobody. Samba's own way to close a share waits for clients that write (6 seconds
were seen), so the processes that serve it are killed; of the last share, the whole file server with all that
it had written down, and it begins anew.
"""

import ipaddress
import os
import re
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vrasnode.servicevm.guest import paths
from vrasnode.servicevm.guest.answering import Refusal
from vrasnode.servicevm.guest.fileserver import FileServer, Share
from vrasnode.servicevm.guest.processes import holders, kill
from vrasnode.servicevm.guest.views import Views
from vrasnode.servicevm.guest.volumes import OWNER, Volumes

READY_S = 60.0  # for smbd, which may have just begun to start
LOOK_S = 0.1
TOOL_S = 60.0
RESERVED = {"global", "homes", "printers", "ipc$", "admin$", "print$"}

_SHARE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")
_USER = re.compile(r"[a-z][a-z0-9-]{0,31}")
_PASSWORD = re.compile(r"[!-~]{12,128}")


@dataclass(frozen=True)
class Tools:
    """Samba's programs; {run} stands for the file server's directory, {user} for the user."""

    ping: Sequence[str] = ("smbcontrol", "--configfile={run}/smb.conf", "smbd", "ping")
    add: Sequence[str] = ("smbpasswd", "-c", "{run}/smb.conf", "-s", "-a", "{user}")
    remove: Sequence[str] = ("smbpasswd", "-c", "{run}/smb.conf", "-x", "{user}")


class Shares:
    """`accounts` is the machine's passwd(5): what is in `own_accounts`, and a line for each user while a
    share is open."""

    def __init__(
        self,
        fileserver: FileServer,
        *,
        volumes: Volumes,
        views: Views,
        accounts: Path,
        own_accounts: Path,
        tools: Tools = Tools(),
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._fileserver = fileserver
        self._volumes = volumes
        self._views = views
        self._accounts = accounts
        self._own_accounts = own_accounts.read_text()
        self._tools = tools
        self._clock = clock
        self._pause = pause
        self._lock = threading.Lock()  # one comes or goes at a time
        self._shares: dict[str, Share] = {}

    def open(
        self,
        serial: str,
        *,
        name: str,
        user: str,
        password: str,
        client: str,
        folders: Sequence[str] = (),
    ) -> Mapping[str, Any]:
        """The volume is shared as `name` when this returns; one that is open gets this user and password.
        `folders` (base64): these alone.

        Raises Refusal: volume_closed, bad_args, bad_path, share_taken, fileserver_silent, fileserver_failed,
        no_such_folder, view_failed.
        """
        share = self._checked(serial, name, user, client)
        parts = [paths.parts_of(folder) for folder in folders]
        if not isinstance(password, str) or not _PASSWORD.fullmatch(password):
            raise Refusal("bad_args", "A password has 12 to 128 printable letters.")
        with self._lock:
            others = [other for other in self._shares.values() if other.serial != serial]
            if any(name.lower() == other.name.lower() or user == other.user for other in others):
                raise Refusal("share_taken", f"Another volume is shared as {name}, or by this user.")
            self._views.drop(serial)
            if parts:
                share = replace(share, path=self._views.make(serial, share.path, parts))
            self._shares[serial] = share
            self._tell_accounts()
            self._tool(self._tools.add, share.user, said=f"{password}\n{password}\n")
            self._fileserver.share(list(self._shares.values()))
            self._await_answer()
        return {"share": name}

    def cut(self, serial: str) -> Mapping[str, Any]:
        """Nobody uses the share any more, whatever they were doing; returns how many processes were ended."""
        place = self._volumes.place(serial)
        with self._lock:
            share = self._shares.pop(serial, None)
            if share is None:
                return {"ended": self._views.drop(serial)}
            if not self._shares:
                ended = self._fileserver.begin_anew()
            else:
                self._fileserver.share(list(self._shares.values()))
                ended = kill(sorted({*holders(place), *holders(share.path)}))
                self._tool(self._tools.remove, share.user)
            self._tell_accounts()
            ended += self._views.drop(serial)
        return {"ended": ended}

    def _checked(self, serial: str, name: str, user: str, client: str) -> Share:
        path = self._volumes.require(serial)
        for pattern, value in ((_SHARE, name), (_USER, user)):
            if not isinstance(value, str) or not pattern.fullmatch(value):
                raise Refusal("bad_args", f"{value!r} cannot name a share or its user.")
        taken = {line.partition(":")[0] for line in self._own_accounts.splitlines()}
        if name.lower() in RESERVED or user in taken:
            raise Refusal("bad_args", f"{name} and {user}: one of these names means something else.")
        try:
            address = ipaddress.IPv4Address(client)
        except ValueError as error:
            raise Refusal("bad_args", f"{client!r} is no address of a client VM.") from error
        return Share(serial=serial, name=name, user=user, client=str(address), path=path)

    def _tell_accounts(self) -> None:
        """To Samba a user is somebody only with an account of the machine; all of them are the owner."""
        lines = [f"{share.user}:*:{OWNER}:{OWNER}::/:/bin/false\n" for share in self._shares.values()]
        part = self._accounts.with_name(f"{self._accounts.name}.part")
        part.write_text("".join([self._own_accounts, *lines]))
        part.chmod(0o644)
        part.replace(self._accounts)

    def _await_answer(self) -> None:
        """It has taken the new configuration when it answers: it takes signals before messages."""
        deadline = self._clock() + READY_S
        while self._run(self._tools.ping, "").returncode:
            if self._clock() > deadline:
                raise Refusal("fileserver_silent", f"The file server did not answer in {READY_S:.0f} s.")
            self._pause(LOOK_S)

    def _tool(self, tool: Sequence[str], user: str, *, said: str = "") -> None:
        done = self._run(tool, user, said=said)
        if done.returncode:
            words = done.stdout.decode(errors="replace").strip()[-200:]
            raise Refusal("fileserver_failed", f"{tool[0]} failed: {words}")

    def _run(self, tool: Sequence[str], user: str, *, said: str = "") -> "subprocess.CompletedProcess[bytes]":
        command = [word.format(run=self._fileserver.run, user=user) for word in tool]
        return subprocess.run(
            command,
            input=said.encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=TOOL_S,
            check=False,
            env={**os.environ, "LC_ALL": "C.UTF-8"},
        )

"""What a PC does that was declared lost: it locks every volume, throws away its halves of their keys and
overwrites what they open in the volume's own header. Only the custodians' key is left.

The server refuses such a PC everywhere, so its volumes are locked like those of any PC that is not welcome
(`cutoff`). What cannot be taken back, forgetting the halves, takes an order: signed by a key that the pinned
root vouches for, for this very PC, and with a serial that was not obeyed before. That is kept beside the
volumes, so that an answer that was lost is given again after a kill:

    mydoc/killed.json

Without a contact nothing happens here: the server deletes its own halves when the time to undo is over.
"""

import logging
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Protocol

from vrasnode.errors import Refused, VrasError
from vrasnode.host import disk
from vrasnode.mydoc.luks import Slot
from vrasnode.mydoc.naming import is_volume
from vrasnode.wire import codec
from vrasnode.wire.codec import Message
from vrasnode.wire.mydoc import KillNotice, KillOrder, KillReport
from vrasnode.wire.signatures import Keyring, Role

log = logging.getLogger("vrasnode.mydoc")

WAIT_S, AGAIN_S = 15.0, 300.0  # between tries; and to see whether there is a newer order


class Server(Protocol):
    """The one door that opens to a lost PC."""

    def kill_order(self) -> KillNotice: ...
    def killed(self, report: KillReport) -> None: ...


class Halves(Protocol):
    def forget(self, volume: str) -> None: ...


class Volumes(Protocol):
    def exists(self, volume: str) -> bool: ...
    def prove_locked(self, volume: str) -> bool: ...
    def kill_slot(self, volume: str, slot: Slot) -> None: ...


class Obeyed(Message, frozen=True):
    """The last order that was carried out, and what was said of it."""

    client: str
    report: KillReport


class Killing:
    """The part. `is_lost`: the server has said so; `all_locked`: no volume is open, or on its way there."""

    name = "killing"

    def __init__(
        self,
        directory: Path,
        *,
        server: Server,
        halves: Halves,
        volumes: Volumes,
        client_id: str,
        root_key: bytes,
        is_lost: Callable[[], bool],
        all_locked: Callable[[], bool],
        clock: Callable[[], float],
        now: Callable[[], datetime],
    ) -> None:
        self._directory = directory
        self._server = server
        self._halves = halves
        self._volumes = volumes
        self._client_id = client_id
        self._root_key = root_key
        self._is_lost = is_lost
        self._all_locked = all_locked
        self._clock = clock
        self._now = now
        self._order: KillOrder | None = None
        self._not_before = float("-inf")

    def step(self) -> bool:
        """What is due; never more to do at once. Raises Unreachable, Refused, HostBroken, and tries again."""
        if not self._is_lost():
            self._order, self._not_before = None, float("-inf")
            return False
        if self._clock() < self._not_before:
            return False
        if self._order is None:
            self._not_before = self._clock() + WAIT_S
            self._order = self._ask()
        if not self._all_locked():
            self._not_before = float("-inf")  # looked at with every turn
            return False
        self._not_before = self._clock() + WAIT_S
        self._server.killed(self._obey(self._order))
        self._order, self._not_before = None, self._clock() + AGAIN_S
        return False

    def close(self) -> None: ...

    def _ask(self) -> KillOrder:
        """Raises Refused for what is no order to this PC: then nothing is thrown away."""
        notice = self._server.kill_order()
        keyring = Keyring(self._root_key, notice.keyring)
        order = keyring.open(notice.order, Role.ASSIGNMENT, KillOrder, at=self._now())
        if str(order.kills) != self._client_id:
            raise Refused("other_pc", f"This order is to the PC {order.kills}, not to this one.")
        return order

    def _obey(self, order: KillOrder) -> KillReport:
        kept = self._kept()
        if kept is not None and order.serial <= kept.report.serial:
            return kept.report
        done: list[str] = []
        failed: list[str] = []
        unread = wiped = 0
        for volume in self._all():
            try:
                self._halves.forget(volume)
                if self._volumes.exists(volume):
                    wiped += self._wipe(volume)
                    unread += self._volumes.prove_locked(volume)
                done.append(volume)
            except VrasError as error:
                log.warning("%s: its half of the key is not thrown away: %s", volume, error)
                failed.append(volume)
        report = KillReport(serial=order.serial, volumes=done, failed=failed, unread=unread, wiped=wiped)
        if not failed:
            disk.write_file(self._path, codec.encode(Obeyed(client=self._client_id, report=report)))
        log.warning(
            "this PC was declared lost: it has thrown away its halves of the keys of %d volumes", len(done)
        )
        return report

    def _wipe(self, volume: str) -> bool:
        """Overwrites what the LAN key and a lent key open, for a deleted half may still be found on a
        disk. The custodians' key stays. A damaged volume is left as it is: its half is gone all the same."""
        try:
            for slot in (Slot.LAN, Slot.LEASE):
                self._volumes.kill_slot(volume, slot)
        except VrasError as error:
            log.warning("%s: what its keys open is not overwritten: %s", volume, error)
            return False
        return True

    def _all(self) -> list[str]:
        """Also those that the server does not name any more."""
        if not self._directory.exists():
            return []
        with disk.told(f"{self._directory} cannot be read"):
            return sorted(path.name for path in self._directory.iterdir() if is_volume(path.name))

    def _kept(self) -> Obeyed | None:
        data = disk.read_file(self._path)
        try:
            kept = codec.decode(data, Obeyed) if data else None
        except Refused:
            return None
        return kept if kept is not None and kept.client == self._client_id else None

    @property
    def _path(self) -> Path:
        return self._directory / "killed.json"

"""My Doc Manager on the PC: tells each user's volume what the server says, and the server how each stands.

It never waits: each volume has a crank of its own (`uservolume`), given by whoever puts the agent together,
and what people at the portal ask is answered aside (`answering`). Volumes that the server does not name any
more are locked, and left where they are.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

from vrasnode.errors import Refused, Unreachable
from vrasnode.host import disk
from vrasnode.mydoc.answering import Answering
from vrasnode.mydoc.answering import Server as Asked
from vrasnode.mydoc.lent import Standing
from vrasnode.mydoc.means import Means
from vrasnode.mydoc.naming import is_volume, serial_of
from vrasnode.mydoc.reading import Order
from vrasnode.mydoc.record import Ledger, kept
from vrasnode.mydoc.unlocking import ask_lan_key
from vrasnode.mydoc.uservolume import UserVolume
from vrasnode.network.controllers import Controllers
from vrasnode.wire import codec
from vrasnode.wire.mydoc import MydocReport, MydocSlice, VolumeReport, VolumeState, VolumeWish

log = logging.getLogger("vrasnode.mydoc")

SLICE = "mydoc"
SHARE = "documents"
NOTHING = MydocSlice(volumes=[])
BUSY = {VolumeState.OPENING, VolumeState.OPEN, VolumeState.LOCKING}


class Turned(Protocol):
    """A part that turns on a crank of its own."""

    def wake(self) -> None: ...
    def stop(self) -> None: ...


class Mydoc:
    """The part. `turn` gives a part a crank of its own; `report` takes reports, `wake` wakes the agent."""

    name = SLICE

    def __init__(
        self,
        directory: Path,
        *,
        means: Means,
        server: Asked,
        controllers: Controllers,
        get_slice: Callable[[str], bytes | None],
        turn: Callable[[UserVolume], Turned],
        report: Callable[[MydocReport], None],
        wake: Callable[[], None],
    ) -> None:
        disk.make_directory(directory, mode=0o711)
        self._directory = directory
        self._means = means
        self._controllers = controllers
        self._get_slice = get_slice
        self._turn = turn
        self._report = report
        self._wake = wake
        self._slice: bytes | None = None
        self._said = NOTHING
        self._volumes: dict[str, UserVolume] = {}
        self._cranks: dict[str, Turned] = {}
        self._told: list[VolumeReport] = []
        self._answering = Answering(
            server=server, housing=means.housing, is_open=self.is_open, wake=wake, clock=means.clock
        )
        self._left = [volume for volume, record in kept(directory) if record.held]

    @property
    def logon_url(self) -> str:
        """Where the client VM's logon script proves its user; "" until the server has said it."""
        return self._said.logon_url

    @property
    def any_open(self) -> bool:
        """Whether the server should be heard often, for some volume hangs on it."""
        records = [volume.record for volume in self._all()]
        return any((record.session and not record.lease) or record.reading for record in records)

    @property
    def all_locked(self) -> bool:
        """Whether no volume is open, or on its way there or back. From any thread."""
        return not any(volume.state in BUSY or volume.record.held for volume in self._all())

    def reports(self) -> list[VolumeReport]:
        """How all volumes stand. From any thread."""
        return [volume.report() for volume in self._all()]

    def owner_name(self, volume: str) -> str:
        """Whose it is, for people."""
        return next((wish.owner_name for wish in self._said.volumes if wish.volume == volume), "")

    def is_open(self, volume: str) -> bool:
        """From any thread."""
        found = self._volumes.get(volume)
        return found is not None and found.state is VolumeState.OPEN

    def owner(self, volume: str) -> str | None:
        """Who it is, as the server names them; None: there is no such volume here. From any thread."""
        if not self._means.volumes.exists(volume):
            return None
        return next((wish.owner for wish in self._said.volumes if wish.volume == volume), None)

    def standing(self, volume: str) -> Standing:
        """How it stands, for whoever lends usage keys. From any thread."""
        found = self._volumes.get(volume)
        return Standing(VolumeState.ABSENT) if found is None else found.standing

    def lan_key(self, volume: str) -> bytes:
        """What opens the LAN slot of a volume that is open by a logon: asked for anew, so it waits for the
        server. From any thread. Raises Refused(not_on_lan, …), Unreachable, HostBroken."""
        found = self._volumes.get(volume)
        if found is None or not found.standing.on_lan or found.state is not VolumeState.OPEN:
            raise Refused("not_on_lan", "The documents are not open on the company's LAN.")
        half = self._means.halves.make(volume)
        return ask_lan_key(volume, found.record.session, half=half, keys=self._means.keys)

    def wake(self, volume: str) -> None:
        """There is something to do about it. From any thread."""
        if crank := self._cranks.get(volume):
            crank.wake()

    def open_volumes(self) -> list[str]:
        """Of all users. From any thread."""
        return [volume.volume for volume in self._all() if volume.state is VolumeState.OPEN]

    def is_locked(self, volume: str) -> bool:
        """Locked, and nobody is about to open it. From any thread."""
        found = self._volumes.get(volume)
        return found is not None and found.may_be_read

    def read(self, volume: str, run: str, server_half: bytes, *, within_s: float) -> None:
        """Asks that a locked volume be opened for this run of its replica, read-only and for so long at most.
        From any thread."""
        if (found := self._volumes.get(volume)) is not None:
            found.readings.ask(Order(run, server_half, until=self._means.clock() + within_s))

    def is_readable(self, volume: str, run: str) -> bool:
        """Whether it is, now. Raises what went wrong, or Unreachable(volume_locked) when it is over. From any
        thread."""
        found = self._volumes.get(volume)
        if found is None:
            raise Unreachable("volume_locked", "The volume is locked.")
        return found.readings.is_readable(run)

    def finish_reading(self, volume: str, run: str) -> None:
        """It is locked again, in the usual order; twice is once. From any thread."""
        if (found := self._volumes.get(volume)) is not None:
            found.readings.finish(run)

    def ask_controllers(self) -> None:
        """The server is silent: who else proves the company's LAN? From any thread."""
        self._controllers.ask(self._said.controllers, self._said.authority)

    def step(self) -> bool:
        """Tells, and hears; never more to do at once. Raises Refused(bad_message) for a slice that cannot be
        read: what it said before holds."""
        data = self._get_slice(SLICE)
        try:
            if data is not None and data is not self._slice:
                self._slice = data
                self._hear(codec.decode(data, MydocSlice))
        finally:
            while self._left:  # by an agent before: after the slice, which may name their logons
                self._take_up(self._left.pop(), None)
            self._tell()
            self._answering.step(self._said.asked)
        return False

    def close(self) -> None:
        """What is open stays open: the machines run on."""
        for crank in self._cranks.values():
            crank.stop()

    def _hear(self, said: MydocSlice) -> None:
        self._said = said
        good = {wish.volume: wish for wish in _usable(said.volumes)}
        for volume, known in self._volumes.items():
            known.tell(good.get(volume), said.custodians)
        for volume, wish in good.items():
            self._take_up(volume, wish)

    def _take_up(self, volume: str, wish: VolumeWish | None) -> None:
        """It gets its turns from now on; it has to know first what the server says."""
        if volume in self._volumes:
            return
        made = self._means.volumes.exists(volume)
        woken: list[Turned] = []
        part = UserVolume(
            volume,
            ledger=Ledger(self._directory, volume, made=made),
            means=self._means,
            is_alone=lambda: (
                not any(other.state is VolumeState.OPEN for other in self._all() if other.volume != volume)
            ),
            share_for=self._share_for,
            changed=self._wake,
            wake=lambda: woken[0].wake() if woken else None,
        )
        part.tell(wish, self._said.custodians)
        self._volumes = {**self._volumes, volume: part}
        self._cranks[volume] = self._turn(part)
        woken.append(self._cranks[volume])

    def _share_for(self, volume: str) -> str:
        """One name for the one user of a PC; who works beside them has another."""
        taken = {other.record.share for other in self._all() if other.volume != volume}
        return SHARE if SHARE not in taken else f"{SHARE}-{serial_of(volume)[:8]}"

    def _tell(self) -> None:
        reports = self.reports()
        if reports != self._told:
            self._told = reports
            self._report(MydocReport(volumes=reports))

    def _all(self) -> list[UserVolume]:
        return list(self._volumes.values())


def _usable(wishes: Iterable[VolumeWish]) -> list[VolumeWish]:
    """Those that can be meant: a volume's name in its usual writing, once, and one volume to a user."""
    listed = list(wishes)
    volumes = Counter(wish.volume for wish in listed)
    owners = Counter(wish.owner for wish in listed)
    found = []
    for wish in listed:
        if not is_volume(wish.volume) or volumes[wish.volume] > 1 or owners[wish.owner] > 1:
            log.warning(
                "%r of %s cannot be a volume of this PC, and stays locked", wish.volume, wish.owner_name
            )
        elif wish.limit_bytes <= 0:
            log.warning("%s has no room, and stays locked", wish.volume)
        else:
            found.append(wish)
    return found

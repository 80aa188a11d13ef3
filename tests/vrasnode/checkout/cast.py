"""A PC that takes usage keys with it: real volumes, a real office over HTTP, clocks that a test sets."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from msgspec.structs import replace

from tests.vrasnode.mydoccast import ALICE, DataOffice, DataPc
from tests.vrasnode.office import CLIENT_ID, Response
from vrasnode import sealing
from vrasnode.checkout.means import Means
from vrasnode.checkout.part import Checkout
from vrasnode.checkout.secret import Stretch
from vrasnode.checkout.telling import Seen
from vrasnode.checkout.verifying import Here
from vrasnode.clock import Clock
from vrasnode.contact.identity import Identity
from vrasnode.errors import Refused, VrasError
from vrasnode.host.tpm import Tpm
from vrasnode.mydoc.luks import Slot
from vrasnode.mydoc.volumes import Volumes
from vrasnode.wire import codec
from vrasnode.wire.checkout import (
    CheckoutReport,
    CheckoutSlice,
    LeaseReport,
    LeaseState,
    LeaseWish,
    ServerTime,
    TimeRequest,
    UsageKey,
)
from vrasnode.wire.clients import ClientSlice
from vrasnode.wire.mydoc import VolumeState
from vrasnode.wire.signatures import Role, Signed, seal

DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
PIN, OTHER_PIN = "73915264", "19283746"
CHEAP = Stretch(memory_kib=64, passes=1)


class HardwareTpm(Tpm):
    """swtpm, taken for a chip on the board: what hardware adds is not shown by tests."""

    def is_software(self) -> bool:
        return False


class Clocks:
    """A PC's clocks, and the true time, which only the server knows. They go by themselves, and further when
    a test says so."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._noon = datetime.now(UTC)
        self._up = 1000.0
        self._true = self._shown = timedelta(0)
        self._frozen: datetime | None = None
        self.boot = 1

    @property
    def boot_id(self) -> str:
        return f"boot {self.boot}"

    @property
    def _gone(self) -> float:
        return time.monotonic() - self._began

    def since_start(self) -> float:
        return self._up + self._gone

    def wall(self) -> datetime:
        return self._frozen or self.true() + self._shown

    def true(self) -> datetime:
        return self._noon + timedelta(seconds=self._gone) + self._true

    def pass_on(self, while_on: timedelta) -> None:
        """The PC is on, or sleeps."""
        self._up += while_on.total_seconds()
        self._true += while_on

    def restart(self, off: timedelta = timedelta(0)) -> None:
        """Off for so long, and on again."""
        self.boot += 1
        self._up = 5.0 - self._gone
        self._true += off

    def set(self, by: timedelta) -> None:
        """Somebody sets the PC's clock."""
        self._shown += by

    def freeze(self) -> None:
        """The PC's clock stands from now on."""
        self._frozen = self.wall()

    def of_the_pc(self) -> Clock:
        return Clock(wall=self.wall, since_start=self.since_start, boot_id=self.boot_id)


@dataclass
class LendingOffice(DataOffice):
    """The server, with its door for the time."""

    get_time: Callable[[], datetime] = lambda: datetime.now(UTC)
    times: list[TimeRequest] = field(default_factory=list)
    alter_time: Callable[[ServerTime], ServerTime] = lambda said: said

    def _known(self, path: str, headers: Any, body: bytes) -> Response:
        if path == "/node/v1/checkout/time":
            request = codec.decode(body, TimeRequest)
            self.times.append(request)
            said = ServerTime(client=UUID(CLIENT_ID), nonce=request.nonce, time=self.get_time())
            signed = seal(codec.encode(self.alter_time(said)), Role.LEASE, self.keys.lease)
            return 200, codec.encode(signed), {}
        return super()._known(path, headers, body)


class WatchedVolumes(Volumes):
    """Real ones; what was put into lease slots is known to who attacks."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.lease_keys: list[bytes] = []

    def set_key(self, volume: str, slot: Slot, new_key: bytes, *, key: bytes) -> None:
        if slot is Slot.LEASE:
            self.lease_keys.append(new_key)
        super().set_key(volume, slot, new_key, key=key)


class Copying:
    """Who makes replicas."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.copied_at: datetime | None = None

    def copied_since(self, volume: str, since: datetime) -> bool:
        return volume in self.asked and self.copied_at is not None and self.copied_at >= since

    def waits_for(self, volume: str) -> bool:
        return volume in self.asked

    def begin(self, volume: str) -> bool:
        self.asked.append(volume)
        return True


class LeasePc(DataPc):
    """One PC. `tpm`: the chip in it."""

    office: LendingOffice
    volumes: WatchedVolumes

    def __init__(self, directory: Path, *, office: LendingOffice, identity: Identity, tpm: Tpm) -> None:
        self.clocks = Clocks()
        self.tpm = tpm
        office.get_time = self.clocks.true
        self.leases: dict[str, LeaseWish] = {}
        self.told: list[CheckoutReport] = []
        self.copying = Copying()
        self.office = office
        self.hear_keyring()
        self.checkout_slice: bytes | None = None
        self.serial = 0
        super().__init__(
            directory, office=office, identity=identity, volumes=WatchedVolumes(directory / "mydoc")
        )

    def hear_keyring(self) -> None:
        """Which role keys the root vouches for now."""
        said = ClientSlice(name="pc-1", group="Sales", poll_s=30.0, keyring=self.office.keys.keyring())
        self.clients_slice = codec.encode(said)

    @property
    def here(self) -> Here:
        return Here(CLIENT_ID, self.identity.signing_fingerprint)

    def start(self) -> None:
        self.time, self.boot_id = self.clocks.since_start, self.clocks.boot_id
        self.checkout = Checkout(
            self.directory / "checkout",
            means=Means(
                identity=self.identity,
                here=self.here,
                root_key=self.identity.installation.root_key if self.identity.installation else b"",
                clock=self.clocks.of_the_pc(),
                tpm=self.tpm,
                volumes=self.volumes,
                get_mydoc=lambda: self.mydoc,
                get_copying=lambda: self.copying,
                server=_Later(self),
                heard_at=lambda: self.time() if self.heard_at is None else self.heard_at,
                unwelcome=lambda: "" if self.welcome else "lost",
                stretch=CHEAP,
            ),
            get_slice=lambda app: self.checkout_slice if app == "checkout" else self.clients_slice,
            report=self.told.append,
            wake=lambda: None,
        )
        self.lent = self.checkout
        super().start()

    def step(self) -> None:
        super().step()
        self.checkout.step()

    def say_leases(self) -> None:
        self.checkout_slice = codec.encode(CheckoutSlice(leases=list(self.leases.values())))

    def usage_key(self, volume: str, **changes: Any) -> UsageKey:
        """What the server would lend: from a minute ago, for three days."""
        self.serial += 1
        lease = str(changes.pop("lease", uuid4()))
        now = self.clocks.true()
        sealed = sealing.seal(os.urandom(32), self.identity.hpke_key, purpose=sealing.lease_purpose(lease))
        fields: dict[str, Any] = {
            "lease": lease,
            "serial": self.serial,
            "client": UUID(CLIENT_ID),
            "pc_key": self.here.pc_key,
            "volume": volume,
            "owner": ALICE,
            "owner_name": "alice",
            "starts": now - MINUTE,
            "ends": now + 3 * DAY,
            "issued": now - 2 * MINUTE,
            "budget_s": 3 * 86400,
            "secret": sealed,
            "software": True,
            **changes,
        }
        return UsageKey(**fields)

    def sign(self, key: UsageKey) -> Signed:
        return seal(codec.encode(key), Role.LEASE, self.office.keys.lease)

    def lend(self, volume: str, **changes: Any) -> str:
        """The server lends a usage key."""
        key = self.usage_key(volume, **changes)
        self.say_key(key.lease, self.sign(key))
        return key.lease

    def say_key(self, lease: str, signed: Signed) -> None:
        """That lies in the slice from now on."""
        self.leases[lease] = LeaseWish(lease=lease, key=signed)
        self.say_leases()
        self.step()

    def end(self, lease: str, code: str = "withdrawn") -> None:
        """The server ends it."""
        self.leases[lease] = LeaseWish(lease=lease, ended=code)
        self.say_leases()
        self.step()

    def lease(self, lease: str) -> LeaseReport:
        """The newest that was told of it."""
        self.step()
        return next(one for one in self.told[-1].leases if one.lease == lease)

    def seen(self) -> Seen:
        (one,) = self.checkout.seen()
        return one

    def carried(self, volume: str = "", **changes: Any) -> tuple[str, str]:
        """A volume, made on the LAN; a usage key for it, with its PIN; and the PC has left: all is locked."""
        wish = self.opened(**({"volume": volume} if volume else {}))
        lease = self.lend(wish.volume, **changes)
        self.checkout.pick_up(lease, PIN)
        assert self.lease(lease).state is LeaseState.READY
        self.leave()
        return wish.volume, lease

    def leave(self) -> None:
        """The server is not heard any more."""
        self.heard_at = self.time()
        self.clocks.pass_on(timedelta(seconds=100))
        self.office.refuse["/node/v1/checkout/time"] = (503, "away")
        self.until(lambda: not any(one.state is VolumeState.OPEN for one in self.mydoc.reports()))

    def wait_for(self, at: datetime) -> None:
        """Returns then, by the true time."""
        while self.clocks.true() < at:
            time.sleep(0.005)

    def come_back(self) -> None:
        """The server is heard again."""
        self.heard_at = None
        self.office.refuse.pop("/node/v1/checkout/time", None)

    def opens_with(self, volume: str, lease: str, pin: str = PIN) -> None:
        """Its user enters the PIN, and it opens."""
        self.checkout.open(lease, pin)
        self.until_state(VolumeState.OPEN, volume)
        self.until(lambda: self.lease(lease).state is LeaseState.OPEN)

    def switched_off(self, off: timedelta = timedelta(0)) -> None:
        """The power goes, and comes again after so long: what is open is not any more."""
        for volume in self.volumes.all():
            self.volumes.stop(volume)
        self.guest.restart(program=f"of boot {self.clocks.boot + 1}")
        self.clocks.restart(off)
        self.restart()
        self.step()

    def refuses(self, lease: str, pin: str = PIN) -> str:
        """The code of why the PIN opens nothing."""
        with pytest.raises(VrasError) as refused:
            self.checkout.open(lease, pin)
        return refused.value.code

    def picking_refused(self, lease: str, pin: str = PIN) -> str:
        """The code of why no PIN can be chosen."""
        with pytest.raises(VrasError) as refused:
            self.checkout.pick_up(lease, pin)
        return refused.value.code

    def is_dead(self, volume: str) -> bool:
        """Whether nothing can be read, also by who knows every secret that was ever in a lease slot."""
        if self.readable(volume):
            return False
        return not any(self._serves(volume, key) for key in self.volumes.lease_keys)

    def is_dead_by_key(self, volume: str) -> bool:
        """Whether cryptsetup refuses every secret that was ever in a lease slot."""
        return not any(self.volumes.opens(volume, key) for key in self.volumes.lease_keys)

    def _serves(self, volume: str, key: bytes) -> bool:
        try:
            self.volumes.serve(volume, key)
        except Refused:
            return False
        try:
            return self.readable(volume)
        finally:
            self.volumes.stop(volume)

    def has_slot(self, volume: str) -> bool:
        return self.volumes.has_slot(volume, Slot.LEASE)

    def another_lan_logon(self, volume: str) -> None:
        self.come_back()
        self.log_on(volume)
        self.until(lambda: self.mydoc.standing(volume).on_lan)
        self.until_state(VolumeState.OPEN, volume)


class _Later:
    """The server of the agent that runs."""

    def __init__(self, pc: LeasePc) -> None:
        self._pc = pc

    def server_time(self, request: TimeRequest) -> Signed:
        return self._pc.server.server_time(request)


def shortened(key: UsageKey, **changes: Any) -> UsageKey:
    return replace(key, **changes)

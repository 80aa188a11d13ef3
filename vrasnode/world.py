"""What an agent finds outside itself: the PC's machines, and what the PC says of itself.

The agent is put together on a `World`. `pc` is a real one, behind libvirt; a simulated one is made in
`simulation`. Not here: the management server, which both have alike.
"""

import os
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from vrasnode.devices.part import Bench
from vrasnode.devices.uevents import Watch
from vrasnode.domainxml import Accelerator, Attached, Mark
from vrasnode.errors import HostBroken
from vrasnode.host import disk, hardware, thispc
from vrasnode.host.tpm import Tpm
from vrasnode.imaging.part import Imaging
from vrasnode.imaging.slots import Slots
from vrasnode.machines.hypervisor import Answer, Hypervisor, MachineState, make_overlay
from vrasnode.machines.screen import Screen
from vrasnode.machines.sleeping import Sleeping
from vrasnode.mydoc import pchalf, volumes
from vrasnode.mydoc.housing import Housing
from vrasnode.mydoc.means import Volumes
from vrasnode.mydoc.unlocking import Halves
from vrasnode.network import firewall, uplink
from vrasnode.network.wifi import Standing, Wifi
from vrasnode.network.wireless import Radio
from vrasnode.wire.clients import HostFacts
from vrasnode.wire.devices import DeviceFacts, Suspend, UsbDevice

POWER_OFF = ("systemctl", "poweroff")
POWER_OFF_S = 30.0


class Machines(Protocol):
    """What runs the PC's machines: `hypervisor.Hypervisor`, or what behaves like it."""

    def start(self, vm_xml: str) -> None: ...
    def shut_down(self, name: str) -> None: ...
    def destroy(self, name: str) -> None: ...
    def state(self, name: str) -> MachineState: ...
    def metadata(self, name: str) -> Mark | None: ...
    def ping(self, name: str) -> bool: ...
    def ask(self, name: str, command: Sequence[str], *, timeout_s: float, stdin: bytes = b"") -> Answer: ...
    def edited(self, name: str) -> bool: ...
    def attached(self, name: str) -> Sequence[Attached]: ...
    def attach(self, name: str, device_xml: str) -> None: ...
    def detach(self, name: str, alias: str, *, wait_s: float) -> None: ...
    def set_link(self, name: str, mac: str, *, up: bool) -> None: ...
    def give_back(self, address: str) -> bool: ...
    def ensure_network(self, network_xml: str) -> bool: ...
    def on_change(self, callback: Callable[[str], None]) -> None: ...
    def close(self) -> None: ...


def _halves(directory: Path) -> Halves:
    return pchalf.Halves(directory, tpm=Tpm())


def _power_off() -> None:
    """Raises HostBroken(not_switched_off)."""
    try:
        done = subprocess.run(POWER_OFF, capture_output=True, text=True, timeout=POWER_OFF_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise HostBroken("not_switched_off", f"{POWER_OFF[0]} failed: {error}.") from error
    if done.returncode:
        raise HostBroken("not_switched_off", f"{POWER_OFF[0]} said no: {done.stderr.strip()[-300:]}")


def _since_start() -> float:
    """Seconds since the PC was started, its sleep too."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(frozen=True, kw_only=True)
class World:
    """One PC. `facts` is asked again whenever the server is to be told; `direct_io` and `io_uring` are about
    the disk of the client VM, `clones` about that of the images; `threads` is how many may work at once.
    `bench` shows the devices, `watch` begins to call when one comes or goes; `show` puts words on the PC's
    own screen; `enforce` holds the PC awake or lets it sleep; `radio` joins Wi-Fi, None where that cannot
    be; `networks`: whether its machines can have one of their own. `open_volumes` and `open_halves` are given
    the directory of user data; `shares`: versions are shared with other PCs, to whom it gives while
    `may_send` says so (not on battery); `house` says where volumes are opened, None: in the PC's virtual
    server; `pressed` says whether somebody pressed Enter before that screen; `power_off` begins the PC's
    shutdown; `knows_logon` says of a nonce whether a logon here carried it, None: those that this agent
    gave out; `tpm` keeps usage keys, or `keeper` does; `people` act at the PC as parts beside the agent's."""

    machines: Machines
    make_overlay: Callable[[Path, Path], None]
    facts: Callable[[], HostFacts]
    accelerator: Accelerator
    boot_id: str
    uptime_s: Callable[[], int]
    direct_io: bool
    clones: bool
    threads: int
    bench: Bench
    has_iommu: bool
    watch: Callable[[Callable[[], None]], object]
    show: Callable[[str], None]
    enforce: Callable[[Suspend], None]
    radio: Radio | None = None
    networks: bool = True
    io_uring: bool = False
    open_slots: Callable[[Path], Slots] = Slots
    imaging: type[Imaging] = Imaging
    open_volumes: Callable[[Path], Volumes] = volumes.Volumes
    open_halves: Callable[[Path], Halves] = _halves
    house: Callable[[Path], Housing] | None = None
    shares: bool = False
    may_send: Callable[[], bool] = lambda: True
    knows_logon: Callable[[str], bool] | None = None
    since_start: Callable[[], float] = _since_start
    tpm: Tpm = field(default_factory=Tpm)
    keeper: Callable[[Any], Any] = lambda _identity: None
    people: Callable[[Any], Sequence[Any]] = lambda _checkout: ()
    pressed: Callable[[], bool] = lambda: False
    power_off: Callable[[], None] = lambda: None


def pc(root: Path, *, images: Path, desktop: Path, hypervisor_uri: str) -> World:
    """The PC that this runs on, with its state directory `root`. Raises HostBroken."""
    for directory in (images, desktop):  # each is tried for what its own file system can do
        disk.make_directory(directory, mode=0o711)
    accelerator, screen = thispc.probe_accelerator(), Screen()
    return World(
        machines=Hypervisor(hypervisor_uri),
        make_overlay=make_overlay,
        facts=lambda: thispc.facts(root, accelerator=accelerator),
        accelerator=accelerator,
        boot_id=thispc.boot_id(),
        uptime_s=thispc.uptime_s,
        direct_io=thispc.takes_direct_io(desktop),
        io_uring=thispc.takes_io_uring(desktop),
        clones=thispc.reflinks(images),
        threads=len(os.sched_getaffinity(0)),
        bench=HostBench(root),
        has_iommu=thispc.platform(root).iommu is not None,
        watch=lambda changed: Watch(changed).start(),  # ends with the process
        show=screen.show,
        pressed=screen.pressed,
        power_off=_power_off,
        enforce=Sleeping(clock=time.monotonic).enforce,
        radio=HostRadio(Wifi()),
        shares=True,
        may_send=thispc.MainsPower(clock=time.monotonic),
    )


@dataclass(frozen=True)
class HostBench:
    """The devices of the PC that this runs on."""

    root: Path

    def devices(self) -> DeviceFacts:
        return hardware.devices(state_dir=self.root)

    def usb_devices(self) -> list[UsbDevice]:
        return hardware.usb_devices(state_dir=self.root)


@dataclass(frozen=True)
class HostRadio:
    """The Wi-Fi card of the PC that this runs on, and the wall between it and the machines."""

    wifi: Wifi

    @property
    def run(self) -> Path:
        return self.wifi.run

    def card(self) -> str | None:
        return self.wifi.card()

    def join(self, card: str, config: str, *, ca_certificate: str) -> None:
        self.wifi.join(card, config, ca_certificate=ca_certificate)

    def leave(self, card: str | None) -> None:
        self.wifi.leave(card)

    def look(self, card: str) -> Standing:
        return self.wifi.look(card)

    def lead(self, bridge: str, card: str) -> None:
        self.wifi.lead(bridge, card)

    def wall(self, *, bridge: str, outward: str) -> None:
        firewall.hold(bridge=bridge, outward=outward)

    def cable(self, bridge: str) -> bool | None:
        return uplink.carrier(bridge)

    def close(self) -> None:
        self.wifi.close()

"""Plan and facts in, what should hang on the running client VM out. Pure.

A handle names the device and this plug of it, so the same stick, pulled and put in again, is another one.
Not here: which fate a device has (`devicepolicy.planning`), and attaching it (`part`).
"""

from collections.abc import Iterator
from dataclasses import dataclass

from vrasnode.devicepolicy.planning import Plan, Planned
from vrasnode.domainxml import Device, Optical, PciPassed, UsbPassed, UsbStorage
from vrasnode.wire.devices import Bus, DeviceFacts, Fate, UsbDevice, Verdict


@dataclass(frozen=True)
class Wanted:
    """One device that the machine should have. A PCI function comes with a start alone."""

    planned: Planned
    device: Device

    @property
    def hot(self) -> bool:
        """Whether it may come while the machine runs."""
        return not isinstance(self.device, PciPassed)


def wanted_of(plan: Plan, facts: DeviceFacts) -> dict[str, Wanted]:
    """What the machine should have, by alias."""
    usb = {device.port: device for device in facts.usb}
    return {
        device.handle.alias: Wanted(planned, device)
        for planned in plan.devices
        for device in _devices(planned, usb.get(planned.key) if planned.bus is Bus.USB else None)
    }


def is_shared_drive(planned: Planned) -> bool:
    """Whether this is an optical drive that the client VM has as a virtual one."""
    shared = planned.bus is Bus.OPTICAL and planned.fate is Fate.SHARED
    return shared and planned.verdict is not Verdict.HIDE


def _devices(planned: Planned, usb: UsbDevice | None) -> Iterator[Device]:
    if is_shared_drive(planned):
        yield Optical(planned.key)
    elif planned.fate is not Fate.PASSED or planned.code == "with_controller":
        return
    elif planned.bus is Bus.PCI:
        yield PciPassed(planned.key)
    elif usb and planned.verdict is Verdict.READ_ONLY:
        for node in usb.disks:
            yield UsbStorage(usb.port, node, serial=usb.serial or "", device=usb.number)
    elif usb:
        bus = int(usb.port.partition("-")[0])
        yield UsbPassed(usb.vendor, usb.product, bus=bus, device=usb.number, port=usb.port)

"""What happened to devices, numbered on this PC and told to the server once each; kept over a kill."""

import logging
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from vrasnode.devicepolicy.planning import Planned
from vrasnode.errors import Refused
from vrasnode.host import disk
from vrasnode.wire import codec
from vrasnode.wire.codec import Message
from vrasnode.wire.devices import (
    Bus,
    DeviceEvent,
    DeviceFacts,
    DeviceHappening,
    DevicesReport,
    Rule,
    UsbDevice,
)

log = logging.getLogger("vrasnode.devices")


class Count(Message, frozen=True):
    """The number of the last event that was told."""

    number: int = 0


class DeviceLedger:
    """`report` takes each event under a name of its own."""

    def __init__(
        self, path: Path, *, report: Callable[[str, DevicesReport], None], now: Callable[[], datetime]
    ) -> None:
        """Raises HostBroken(disk_failed)."""
        self._path = path
        self._report = report
        self._now = now
        self._number = _read(path)
        self._known: dict[str, UsbDevice] = {}

    def compare(self, before: DeviceFacts | None, after: DeviceFacts) -> None:
        """Tells of USB devices that came and went between two looks; at the first look, of none."""
        self._known = {device.port: device for device in after.usb}
        if before is None:
            return
        old = {device.port: device for device in before.usb}
        for port, device in old.items():
            if not _same(device, self._known.get(port)):
                self._put(DeviceHappening.UNPLUGGED, device)
        for port, device in self._known.items():
            if not _same(device, old.get(port)):
                self._put(DeviceHappening.PLUGGED, device)

    def tell(
        self,
        happening: DeviceHappening,
        planned: Planned | None,
        *,
        key: str = "",
        code: str = "",
        words: str = "",
        rule: Rule | None = None,
    ) -> None:
        """Tells of one thing that happened to a device of the plan, or to one that is in none."""
        usb = self._known.get(planned.key) if planned and planned.bus is Bus.USB else None
        event = DeviceEvent(
            number=self._number + 1,
            at=self._now(),
            happening=happening,
            bus=planned.bus if planned else Bus.USB,
            key=planned.key if planned else key,
            device_id=f"{usb.vendor}:{usb.product}" if usb else "",
            serial=usb.serial if usb else None,
            name=planned.name if planned else "",
            code=code or (planned.code if planned else ""),
            words=words,
            rule=rule.id if rule else None,
        )
        self._keep(event)

    def _put(self, happening: DeviceHappening, device: UsbDevice) -> None:
        if device.hub:
            return
        event = DeviceEvent(
            number=self._number + 1,
            at=self._now(),
            happening=happening,
            bus=Bus.USB,
            key=device.port,
            device_id=f"{device.vendor}:{device.product}",
            serial=device.serial,
            name=device.name,
        )
        self._keep(event)

    def _keep(self, event: DeviceEvent) -> None:
        self._number = event.number
        disk.write_file(self._path, codec.encode(Count(number=event.number)))
        level = logging.WARNING if event.happening is DeviceHappening.FAILED else logging.INFO
        detail = f" ({event.words or event.code})" if event.words or event.code else ""
        log.log(level, "%s %s %s %s%s", event.happening, event.bus, event.key, event.device_id, detail)
        self._report(f"event {event.number}", DevicesReport(policy="", events=[event]))


def _same(one: UsbDevice, other: UsbDevice | None) -> bool:
    """Whether it is the same plug of the same device, whatever the control base made of it meanwhile."""
    if other is None:
        return False
    return (one.number, one.vendor, one.product, one.serial, one.interfaces) == (
        (other.number, other.vendor, other.product, other.serial, other.interfaces)
    )


def _read(path: Path) -> int:
    data = disk.read_file(path)
    try:
        return codec.decode(data, Count).number if data else 0
    except Refused as error:
        log.warning("the count of events begins anew: %s", error.words)
        return 0

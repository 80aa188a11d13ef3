"""Messages about a PC's devices: what is there, what policy says of each, what became of it."""

from datetime import datetime
from enum import StrEnum

from vrasnode.wire.codec import Message


class Bus(StrEnum):
    """Where a device is found."""

    PCI = "pci"
    USB = "usb"
    OPTICAL = "optical"  # a CD, DVD or Blu-ray drive, whatever it hangs on


class Need(StrEnum):
    """What the control base itself uses a device for: it can then never be granted to the client VM."""

    DISK = "disk"  # the disk that it runs from, or that holds its state
    LAN = "lan"
    WIFI = "wifi"


class PciDevice(Message, frozen=True):
    """One PCI function, as the kernel's sysfs shows it."""

    address: str  # "0000:03:00.0": domain, bus, device, function
    device_class: str  # six hex digits: class, subclass, programming interface (PCI Code and ID Assignment)
    vendor: str  # four hex digits, like product
    product: str
    name: str = ""
    driver: str | None = None
    iommu_group: int | None = None
    resets: list[str] = []  # in the order in which the kernel tries them; none: it cannot be reset
    needed_for: list[Need] = []
    boot_display: bool = False  # the firmware's screen


class UsbDevice(Message, frozen=True):
    """One USB device; hubs too, for what hangs on them names them."""

    port: str  # "1-2.3": the bus, then the port of each hub on the way
    number: int  # on its bus; another one after each plug
    controller: str  # PCI address of the host controller; "" where it is none
    vendor: str
    product: str
    serial: str | None  # what the device says of itself, so a copy can say the same
    interfaces: list[str]  # "08:06:50": class, subclass, protocol (USB 2.0 §9.6.5), hex
    name: str = ""
    hub: bool = False
    disks: list[str] = []  # block devices that the control base made of it: "sda"
    needed_for: list[Need] = []


class OpticalDrive(Message, frozen=True):
    """A drive that the client VM sees as a virtual SCSI one."""

    node: str  # "sr0"
    name: str = ""
    port: str = ""  # of the USB device or PCI function that it hangs on


class DeviceFacts(Message, frozen=True):
    """All devices of one PC, sorted by address, port and node."""

    pci: list[PciDevice]
    usb: list[UsbDevice]
    optical: list[OpticalDrive]


class Verdict(StrEnum):
    """What a rule says of the devices that it matches."""

    PASS = "pass"  # noqa: S105  not a password
    READ_ONLY = "read_only"  # storage alone: the client VM may read it
    HIDE = "hide"


class Scope(StrEnum):
    """For whom a rule was made; the narrower one overrides the wider."""

    GROUP = "group"
    CLIENT = "client"
    USER = "user"


class Rule(Message, frozen=True):
    """One rule of a device policy. Everything that is given has to match; nothing given matches every device.

    `device_class`: two, four or six hex digits of a PCI class, or two of a USB interface's class.
    `interfaces`: patterns like "08:06:50", "03:*:*".
    """

    id: int
    scope: Scope
    verdict: Verdict
    bus: Bus | None = None
    device_class: str = ""
    device_id: str = ""  # "0930:6545", "0930:*"
    serial: str | None = None  # "" matches a device without one
    port: str = ""  # a USB port, a PCI address or an optical drive's node
    interfaces: list[str] = []
    valid_from: datetime | None = None
    valid_until: datetime | None = None
    note: str = ""


class UsbMode(StrEnum):
    """`device`: the control base keeps the controllers and attaches allowed devices one by one. `controller`:
    whole controllers are passed through; nothing behind one can be hidden."""

    DEVICE = "device"
    CONTROLLER = "controller"


class Suspend(StrEnum):
    """What closing the lid or the menu's sleep may do on this model."""

    ALLOWED = "allowed"
    HIBERNATE = "hibernate"
    BLOCKED = "blocked"


class DevicePolicy(Message, frozen=True):
    """The slice `devices`: what the client VM of this PC may have, in the order of its rules."""

    rules: list[Rule]
    usb_mode: UsbMode = UsbMode.DEVICE
    suspend: Suspend = Suspend.BLOCKED


class Fate(StrEnum):
    PASSED = "passed"
    SHARED = "shared"
    HIDDEN = "hidden"
    IMPOSSIBLE = "impossible"


class DeviceState(Message, frozen=True):
    """What became of one device on the PC. `code` is a reason of the plan, or why the plan could not be
    followed; `rule` the id of the rule that decided."""

    bus: Bus
    key: str  # PCI address, USB port or optical node
    name: str
    fate: Fate
    code: str
    rule: int | None = None
    present: bool = False  # in the client VM now


class DeviceHappening(StrEnum):
    PLUGGED = "plugged"
    UNPLUGGED = "unplugged"
    ATTACHED = "attached"
    DETACHED = "detached"
    FAILED = "failed"


class DeviceEvent(Message, frozen=True):
    """One thing that happened to a device; goes into the audit log once, by its `number`."""

    number: int  # counts up on one PC
    at: datetime
    happening: DeviceHappening
    bus: Bus
    key: str
    device_id: str  # "0930:6545"
    serial: str | None
    name: str
    code: str = ""
    words: str = ""
    rule: int | None = None


class DevicesReport(Message, frozen=True):
    """POST /node/v1/reports/devices: all devices as they stand (None: as told before), and what happened.
    `policy` is the revision of the slice that was followed."""

    policy: str
    devices: list[DeviceState] | None = None
    events: list[DeviceEvent] = []

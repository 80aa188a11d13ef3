"""USB devices to plug into the emulated PC: made by its own kernel (dummy_hcd, configfs), real to all others.

Each is at a host controller of its own that is no PCI function, so what becomes of those leaves it alone.
Source: the kernel's Documentation/usb/gadget_configfs.rst.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.lab.outer.machine import Outer

SOCKETS = 2
KEYS = bytes.fromhex(
    "05010906a10105071904290b15002501750195088102c0"
)  # eight of a keyboard (HID 1.11 §6.2.2)

_PREPARE = f"""
modprobe -a libcomposite usb_f_mass_storage usb_f_hid
modprobe dummy_hcd num={SOCKETS}
mountpoint -q /sys/kernel/config || mount -t configfs config /sys/kernel/config
"""
_PLUG = """
cd /sys/kernel/config/usb_gadget
mkdir "$1" && cd "$1"
echo "0x$3" >idVendor
echo "0x$4" >idProduct
mkdir strings/0x409 configs/c.1
echo "$5" >strings/0x409/serialnumber
echo OpenVRAS >strings/0x409/manufacturer
echo "test stick" >strings/0x409/product
truncate -s 1M "/tmp/$1.img"
mkdir functions/mass_storage.0
echo "/tmp/$1.img" >functions/mass_storage.0/lun.0/file
ln -s functions/mass_storage.0 configs/c.1/
if [ "$6" ]; then
    mkdir functions/hid.0
    echo 1 >functions/hid.0/subclass
    echo 1 >functions/hid.0/protocol
    echo 1 >functions/hid.0/report_length
    printf "$6" >functions/hid.0/report_desc
    ln -s functions/hid.0 configs/c.1/
fi
echo "dummy_udc.$2" >UDC
"""
_UNPLUG = """
cd "/sys/kernel/config/usb_gadget/$1" || exit 0
echo >UDC || true
rm -f configs/c.1/*.0
rmdir configs/c.1 functions/* strings/0x409
cd .. && rmdir "$1"
"""


@dataclass(frozen=True)
class Gadget:
    """A USB stick; with a `keyboard` it is one that also types."""

    name: str
    serial: str
    vendor: str = "0930"
    product: str = "6545"
    keyboard: bool = False


@contextmanager
def plugged(outer: Outer, gadget: Gadget, *, socket: int = 0) -> Iterator[None]:
    """The device, plugged in inside the block; there are `SOCKETS` to put one in."""
    outer.sh(_PREPARE)
    keys = "".join(f"\\{byte:03o}" for byte in KEYS) if gadget.keyboard else ""
    try:
        outer.sh(_PLUG, gadget.name, str(socket), gadget.vendor, gadget.product, gadget.serial, keys)
        yield
    finally:
        outer.sh(_UNPLUG, gadget.name)

"""What the machines of this PC look like to libvirt: pure functions from specs to XML, and back.

They decide nothing and read nothing: sizes, firmware, accelerator, paths and devices are given, and the
functions read like the XML that they make (https://libvirt.org/formatdomain.html). Text goes in as text: the
tree is built, never pasted together, so no name or path can break out of its element. What a running machine
*is* (manifest and serial) is written into its metadata, so an agent that comes back can ask libvirt for it.

`client` and `service` are the two machines, `devices` and `volumes` what can be plugged into them, `networks`
what they are plugged into, `reading` the way back. Not here: which device may be had (`devicepolicy`), and
all that is done (`machines`).
"""

from vrasnode.domainxml.client import ClientVm, Profile, client_vm_xml
from vrasnode.domainxml.devices import (
    Device,
    Handle,
    Kind,
    Optical,
    PciPassed,
    UsbPassed,
    UsbStorage,
    device_xml,
    handle_of,
)
from vrasnode.domainxml.networks import (
    INTERNAL,
    INTERNAL_BRIDGE,
    LOCAL_NAME,
    ROUTED,
    ROUTED_BRIDGE,
    Neighbour,
    mac_of,
    network_xml,
    routed_network_xml,
)
from vrasnode.domainxml.parts import Accelerator, Firmware, Mark, Nic
from vrasnode.domainxml.reading import Attached, attached_of, card_with_link, is_favoured, mark_of, seal_of
from vrasnode.domainxml.service import ServiceVm, service_vm_xml
from vrasnode.domainxml.volumes import volume_disk_xml, volume_handle

__all__ = [
    "INTERNAL",
    "INTERNAL_BRIDGE",
    "LOCAL_NAME",
    "ROUTED",
    "ROUTED_BRIDGE",
    "Accelerator",
    "Attached",
    "ClientVm",
    "Device",
    "Firmware",
    "Handle",
    "Kind",
    "Mark",
    "Neighbour",
    "Nic",
    "Optical",
    "PciPassed",
    "Profile",
    "ServiceVm",
    "UsbPassed",
    "UsbStorage",
    "attached_of",
    "card_with_link",
    "client_vm_xml",
    "device_xml",
    "handle_of",
    "is_favoured",
    "mac_of",
    "mark_of",
    "network_xml",
    "routed_network_xml",
    "seal_of",
    "service_vm_xml",
    "volume_disk_xml",
    "volume_handle",
]

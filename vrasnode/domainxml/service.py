"""The virtual server: the background machine that holds user data. Starts first, stops last."""

from dataclasses import dataclass
from pathlib import Path
from uuid import UUID
from xml.etree.ElementTree import Element

from vrasnode.domainxml.parts import (
    Accelerator,
    Mark,
    Nic,
    console,
    cpu,
    mark_element,
    nics,
    paravirtual,
    pcie_ports,
    socket_path,
)
from vrasnode.domainxml.tree import element, to_text

CONTROL_CHANNEL = "org.openvras.control.0"


@dataclass(frozen=True, kw_only=True)
class ServiceVm:
    """One virtual server. `disk` is a raw image that boots through firmware (BIOS) and is never written.

    Its floor: its memory is taken whole at the start and never given back, and of the CPU it has more than
    others when there is not enough. `control_socket` is where the control base talks to the program inside.
    """

    name: str
    uuid: UUID
    memory_bytes: int
    vcpus: int
    accelerator: Accelerator
    disk: Path
    console_log: Path
    mark: Mark
    control_socket: Path
    lan: Nic | None = None
    internal: Nic | None = None
    routed: Nic | None = None
    spare_ports: int = 4
    direct_io: bool = True


def service_vm_xml(vm: ServiceVm) -> str:
    """The domain XML of a virtual server. Raises Refused(bad_machine_text, bad_machine)."""
    domain = element(
        "domain",
        element("name", text=vm.name),
        element("uuid", text=str(vm.uuid)),
        element("metadata", mark_element(vm.mark, favoured=True)),
        element("memory", text=str(vm.memory_bytes), unit="b"),
        element("memoryBacking", element("nosharepages"), element("allocation", mode="immediate")),
        element("vcpu", text=str(vm.vcpus)),
        element("os", element("type", text="hvm", arch="x86_64", machine="q35")),
        element("features", element("acpi"), element("apic")),
        cpu(vm.accelerator),
        element("clock", offset="utc"),
        element("on_poweroff", text="destroy"),
        element("on_reboot", text="restart"),
        element("on_crash", text="destroy"),
        element("pm", element("suspend-to-mem", enabled="no"), element("suspend-to-disk", enabled="no")),
        _devices(vm),
        type=vm.accelerator.domain_type,
    )
    return to_text(domain)


def _devices(vm: ServiceVm) -> Element:
    devices = [
        _disk(vm),
        element("controller", type="usb", model="none"),
        *nics(lan=vm.lan, internal=vm.internal, routed=vm.routed),
        console(vm.console_log),
        element(
            "channel",
            element("source", mode="bind", path=socket_path(vm.control_socket)),
            element("target", type="virtio", name=CONTROL_CHANNEL),
            type="unix",
        ),
        element("video", element("model", type="none")),
        *paravirtual(),
    ]
    return element("devices", *pcie_ports(devices, spare=vm.spare_ports), *devices)


def _disk(vm: ServiceVm) -> Element:
    cache = "none" if vm.direct_io else "writeback"
    return element(
        "disk",
        element("driver", name="qemu", type="raw", cache=cache, io="threads"),
        element("source", file=str(vm.disk)),
        element("target", dev="vda", bus="virtio"),
        element("readonly"),
        element("boot", order="1"),
        type="file",
        device="disk",
    )

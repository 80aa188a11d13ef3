"""How this PC's client VM is shaped: kept on its disk, made once, changed by options of `vrasnode run`. Pure.

From it, what is granted and where things lie comes the definition. What that looks like is `domainxml`'s.
"""

from pathlib import Path
from uuid import UUID, uuid5

from vrasnode.domainxml import (
    INTERNAL,
    ROUTED,
    Accelerator,
    ClientVm,
    Firmware,
    Mark,
    Nic,
    Optical,
    Profile,
    mac_of,
)
from vrasnode.machines.grants import Grants
from vrasnode.wire.codec import Message

SOCKET_PATH_BYTES = 107  # unix(7)
ROUTED_ROLES = {"client-vm": "client-vm/routed", "virtual-server": "virtual-server/routed"}
SPARE_PORTS = 4  # to plug into while the machine runs


class Machine(Message, frozen=True):
    """How big this PC's client VM is and what it is shaped for. `uuid` names the PC's machine for ever: the
    state of its TPM and its MAC addresses hang on it, so no image carries it."""

    uuid: UUID
    memory_mib: int = 192
    vcpus: int = 1
    firmware: Firmware = Firmware.BIOS
    profile: Profile = Profile.LINUX
    tpm: bool = False
    secure_boot: bool = False
    lan_bridge: str = ""  # of the control base; "" is no LAN
    internal: bool = False  # whether there is a network inside the PC

    def client_vm(
        self,
        *,
        name: str,
        directory: Path,
        disk: Path,
        mark: Mark,
        grants: Grants,
        accelerator: Accelerator,
        direct_io: bool,
        io_uring: bool = False,
        routed: bool = False,
    ) -> ClientVm:
        """The machine that starts from `disk`, with its own files in `directory`; `routed`: with a card on
        the network that Wi-Fi is reached by."""
        return ClientVm(
            name=name,
            uuid=self.uuid,
            memory_bytes=self.memory_mib << 20,
            vcpus=self.vcpus,
            accelerator=accelerator,
            firmware=self.firmware,
            disk=disk,
            console_log=directory / "console.log",
            mark=mark,
            nvram=directory / "nvram.fd" if self.firmware is Firmware.EFI else None,
            direct_io=direct_io,
            io_uring=io_uring,
            profile=self.profile,
            tpm=self.tpm,
            secure_boot=self.secure_boot,
            suspend=grants.suspend,
            passed=grants.pci,
            opticals=tuple(Optical(node) for node in grants.opticals),
            lan=self.lan_nic("client-vm"),
            internal=Nic(INTERNAL, self.mac("client-vm/internal")) if self.internal else None,
            routed=self.routed_nic("client-vm") if routed else None,
            screen=None if grants.display else _screen(directory),
            spare_ports=SPARE_PORTS,
        )

    def lan_nic(self, role: str) -> Nic | None:
        """A card in the LAN, where this PC has one to share."""
        return Nic(self.lan_bridge, self.mac(f"{role}/lan")) if self.lan_bridge else None

    @property
    def lan_cards(self) -> dict[str, str]:
        """MAC addresses in the LAN, by machine; none where this PC has no LAN to share."""
        return {name: self.mac(f"{name}/lan") for name in ROUTED_ROLES} if self.lan_bridge else {}

    @property
    def routed_cards(self) -> dict[str, str]:
        """MAC addresses on the routed network, by machine."""
        return {name: self.mac(role) for name, role in ROUTED_ROLES.items()}

    def routed_nic(self, name: str) -> Nic:
        """A machine's card on the routed network."""
        return Nic(ROUTED, self.routed_cards[name])

    def uuid_of(self, role: str) -> UUID:
        """Names another machine of this PC, always the same."""
        return uuid5(self.uuid, role)

    def mac(self, role: str) -> str:
        """The address of one card of this PC, always the same."""
        return mac_of(self.uuid, role)


def _screen(directory: Path) -> Path | None:
    """Where an administrator at the PC can see the machine; a path that no socket can have is not worth
    stopping for."""
    socket = directory / "screen"
    return socket if len(bytes(socket)) <= SOCKET_PATH_BYTES else None

"""The client VM's size, as `vrasnode run` was told, or as it was before."""

import secrets
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from msgspec.structs import replace

from vrasnode.domainxml import Firmware, Profile
from vrasnode.errors import HostBroken, Refused
from vrasnode.host import disk
from vrasnode.machines.shape import Machine
from vrasnode.places import STATE_MODE
from vrasnode.wire import codec


@dataclass(frozen=True)
class Options:
    """What `vrasnode run` was told about the client VM; None: as it was before, or the default."""

    memory_mib: int | None = None
    vcpus: int | None = None
    firmware: Firmware | None = None
    profile: Profile | None = None
    tpm: bool | None = None
    secure_boot: bool | None = None
    lan_bridge: str | None = None


def machine_of(directory: Path, options: Options) -> Machine:
    """The client VM's size, and its UUID, which is made once. Raises HostBroken(machine_unreadable)."""
    path = directory / "machine.json"
    data = disk.read_file(path)
    try:
        machine = (
            codec.decode(data, Machine)
            if data
            else Machine(uuid=UUID(bytes=secrets.token_bytes(16), version=4))
        )
    except Refused as error:
        words = f"{path} cannot be used ({error.words}). Remove it; a new one is made."
        raise HostBroken("machine_unreadable", words) from error
    given = {name: value for name, value in vars(options).items() if value is not None}
    machine = replace(machine, **given)
    disk.make_directory(directory, mode=STATE_MODE)
    if codec.encode(machine) != data:
        disk.write_file(path, codec.encode(machine))
    return machine

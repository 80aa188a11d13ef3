"""What the local page tells its user, gathered from the parts."""

from dataclasses import dataclass

from vrasnode.contact.part import Contact
from vrasnode.copies import door
from vrasnode.copies.leaving import Leaving
from vrasnode.copies.part import Replication
from vrasnode.devices.part import Devices
from vrasnode.localpage import part
from vrasnode.localpage.part import LocalState, VolumeLine
from vrasnode.machines.desktop import Desktop
from vrasnode.machines.virtualserver import VirtualServer
from vrasnode.mydoc.part import Mydoc
from vrasnode.network.wireless import Wireless


@dataclass(frozen=True)
class Parts:
    """Who is asked."""

    contact: Contact
    desktop: Desktop
    service: VirtualServer | None
    devices: Devices
    mydoc: Mydoc
    copying: Replication
    leaving: Leaving
    wireless: Wireless | None


def state_of(name: str, parts: Parts, *, unencrypted: bool) -> LocalState:
    """As it is now. From any thread."""
    hold, mydoc = parts.leaving.hold, parts.mydoc
    return part.state_of(
        name,
        contact=parts.contact.last_answer,
        reachable=parts.contact.reachable,
        client_vm=parts.desktop.summary[0],
        virtual_server=parts.service.summary[0] if parts.service else "absent",
        devices=parts.devices.view(),
        volumes=[
            VolumeLine(mydoc.owner_name(one.volume), str(one.state), one.code, one.words)
            for one in mydoc.reports()
        ],
        copies=door.lines_of(parts.copying, mydoc.owner_name),
        hold_s=hold.left_s if hold else None,
        unencrypted=unencrypted,
        clock_off_s=parts.contact.clock_off_s,
        wifi=parts.wireless.standing if parts.wireless else None,
    )

"""An agent put together: its parts on one world, each with what it needs of the others.

Here alone the parts meet; they hear of each other by functions. When each does something is `agent`'s.
"""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from vrasnode.agent import Agent, Part
from vrasnode.checkout import page
from vrasnode.checkout.means import Means as UsageMeans
from vrasnode.checkout.part import Checkout
from vrasnode.checkout.verifying import Here
from vrasnode.clock import of_this_pc
from vrasnode.contact.identity import Identity
from vrasnode.contact.outbox import Outbox
from vrasnode.contact.part import Contact
from vrasnode.contact.server import Server
from vrasnode.contact.slices import Slices
from vrasnode.copies import door
from vrasnode.copies.leaving import Leaving
from vrasnode.copies.log import CopiedLog
from vrasnode.copies.part import Replication
from vrasnode.devices.part import Devices
from vrasnode.domainxml import INTERNAL, Nic
from vrasnode.errors import Refused
from vrasnode.imaging.part import Imaging
from vrasnode.imaging.sharing import Sharing
from vrasnode.imaging.slots import Slots
from vrasnode.localpage import gathering
from vrasnode.localpage import part as localpage
from vrasnode.machines.controlchannel import ControlChannel
from vrasnode.machines.desktop import NAME as CLIENT_VM
from vrasnode.machines.desktop import Desktop
from vrasnode.machines.options import Options, machine_of
from vrasnode.machines.postponing import Postponing
from vrasnode.machines.virtualserver import NAME as VIRTUAL_SERVER
from vrasnode.machines.virtualserver import ServiceMachine, VirtualServer, control_socket
from vrasnode.mydoc import documentsdoor
from vrasnode.mydoc.housing import Housing, VirtualServerHousing
from vrasnode.mydoc.killing import Killing
from vrasnode.mydoc.logon import Nonces
from vrasnode.mydoc.means import Means
from vrasnode.mydoc.part import Mydoc
from vrasnode.network.controllers import Controllers
from vrasnode.network.wireless import Wireless
from vrasnode.places import State
from vrasnode.protection import Protection
from vrasnode.turning import Turning
from vrasnode.wire import imaging as wire
from vrasnode.wire.clients import ClientState
from vrasnode.wire.devices import DevicesReport
from vrasnode.wire.imaging import DeliveryReport
from vrasnode.wire.network import SECRET_PURPOSE
from vrasnode.world import World


def build(
    state: State,
    *,
    world: World,
    options: Options,
    stop: threading.Event,
    wake: threading.Event,
    allow_unencrypted: bool = False,
    power_off: bool = False,
) -> Agent:
    """The agent of an enrolled PC, on this world. `allow_unencrypted`: user data is opened although the state
    directory is not encrypted, and everybody is told; `power_off`: the PC is switched off when its user has
    shut the client VM down. Raises Refused(not_enrolled) and HostBroken."""
    identity = Identity(state.identity)
    if not identity.enrolled or identity.enrolment is None or identity.installation is None:
        raise Refused("not_enrolled", "This PC is not enrolled. Run `vrasnode enroll` with a token first.")
    server = Server(identity.enrolment.server, identity=identity)
    pc = _Pc(
        state,
        world,
        options,
        identity=identity,
        server=server,
        wake=wake,
        root_key=identity.installation.root_key,
        allow_unencrypted=allow_unencrypted,
        power_off=power_off,
    )
    return Agent(pc.parts(name=identity.enrolment.name), wake=wake, stop=stop)


class _Pc:
    """The parts of one PC in the making."""

    def __init__(
        self,
        state: State,
        world: World,
        options: Options,
        *,
        identity: Identity,
        server: Server,
        wake: threading.Event,
        root_key: bytes,
        allow_unencrypted: bool,
        power_off: bool,
    ) -> None:
        self._state = state
        self._root_key = root_key
        self._world = world
        self._identity = identity
        self._server = server
        self._wake = wake
        self._protection = Protection.of(world.facts(), allow_unencrypted=allow_unencrypted)
        self._nonces = Nonces(clock=world.since_start)
        self._slices = Slices(state.slices)
        self._outbox = Outbox(state.outbox)
        self._machine = machine_of(state.desktop, options)
        self._devices = self._make_devices()
        self._service = self._make_service() if world.networks else None
        self._wireless = self._make_wireless()
        self._desktop = self._make_desktop()
        self._contact = self._make_contact()
        self._volumes = world.open_volumes(state.mydoc)
        self._checkout = self._make_checkout()
        self._mydoc = self._make_mydoc()
        self._copying = self._make_copying()
        self._leaving = self._make_leaving(power_off=power_off)

    def parts(self, *, name: str) -> list[Part]:
        """In the order of their turns: locks before what the server says, virtual server before client VM."""
        imaging = self._make_imaging(self._desktop_slots, "imaging", wire.Machine.CLIENT_VM)
        parts: list[Part] = [self._mydoc, self._checkout, self._contact, self._make_killing(), self._devices]
        parts += [self._wireless] if self._wireless else []  # what starts later gets a card for it
        if self._service:
            served = self._make_imaging(self._service_slots, "virtualserver", wire.Machine.VIRTUAL_SERVER)
            parts += [self._make_page(name), self._service, served, self._copying, self._leaving]
        self._world.machines.on_change(self._machine_changed)
        self._world.watch(self._device_changed)
        return [*parts, self._desktop, imaging, *self._world.people(self._checkout)]

    def _make_devices(self) -> Devices:
        return Devices(
            self._state.devices,
            pc=self._world.bench,
            machines=self._world.machines,
            get_slice=self._slices.get,
            report=self._report_devices,
            on_facts=lambda: self._contact.tell_facts(),  # noqa: PLW0108  (it is made later)
            show=self._world.show,
            enforce=self._world.enforce,
            has_iommu=self._world.has_iommu,
            boot_id=self._world.boot_id,
            clock=time.monotonic,
            now=self._now,
        )

    def _make_service(self) -> VirtualServer:
        self._service_slots = self._world.open_slots(self._state.service)
        self._channel = ControlChannel(
            control_socket(self._state.service.resolve()), on_answer=self._wake.set
        )
        internal = Nic(INTERNAL, self._machine.mac("virtual-server/internal"))
        return VirtualServer(
            self._state.service,
            slots=self._service_slots,
            machines=self._world.machines,
            channel=self._channel,
            machine=ServiceMachine(uuid=self._machine.uuid_of("virtual-server")),
            accelerator=self._world.accelerator,
            direct_io=self._world.direct_io,
            lan=self._machine.lan_nic("virtual-server"),
            internal=internal,
            routed=self._machine.routed_nic("virtual-server"),
            is_routed=lambda: self._wireless is not None and self._wireless.routed,
            idle=lambda: self._desktop.summary[0] in ("stopped", "absent"),
            report=self._report_to("virtualserver"),
            clock=time.monotonic,
            threads=self._world.threads,
        )

    def _make_wireless(self) -> Wireless | None:
        radio = self._world.radio
        if radio is None or not self._world.networks:
            return None
        certificate, key = self._identity.certificate_files
        return Wireless(
            radio=radio,
            machines=self._world.machines,
            cards=self._machine.routed_cards,
            lan=(self._machine.lan_bridge, self._machine.lan_cards),
            pc=self._identity.client_id,
            identity=(certificate.resolve(), key.resolve()),
            unseal=lambda sealed: self._identity.unseal(sealed, purpose=SECRET_PURPOSE),
            get_slice=self._slices.get,
            report=lambda message: self._outbox.put("network", "state", message, keep=False),
            clock=time.monotonic,
        )

    def _make_desktop(self) -> Desktop:
        slots = self._desktop_slots = self._world.open_slots(self._state.images)
        service, wireless, report = self._service, self._wireless, self._report_to("imaging")
        self._postponing = Postponing(slots, get_slice=self._slices.get, report=report, now=self._now)
        return Desktop(
            self._state.desktop,
            slots=slots,
            machines=self._world.machines,
            machine=replace(self._machine, internal=self._world.networks),
            grantor=self._devices.passing,
            is_held=lambda: service is not None and service.awaited,
            is_routed=lambda: wireless is not None and wireless.routed,
            on_ended=lambda: self._leaving.ended(),  # noqa: PLW0108  (it is made later)
            accelerator=self._world.accelerator,
            direct_io=self._world.direct_io,
            io_uring=self._world.io_uring,
            make_overlay=self._world.make_overlay,
            postponing=self._postponing,
            report=self._report_to("imaging"),
            clock=time.monotonic,
            threads=self._world.threads,
        )

    def _make_contact(self) -> Contact:
        return Contact(
            server=self._server,
            identity=self._identity,
            slices=self._slices,
            outbox=self._outbox,
            get_summary=lambda: self._desktop.summary,
            get_service=lambda: self._service.summary[0] if self._service else "",
            get_facts=lambda: self._protection.told(self._world.facts()),
            boot_id=self._world.boot_id,
            get_uptime_s=self._world.uptime_s,
            wake=self._wake,
            clock=time.monotonic,
            now=self._now,
            since_start=self._world.since_start,
            is_urgent=lambda: self._mydoc.any_open,
        )

    def _make_mydoc(self) -> Mydoc:
        controllers = Controllers(clock=self._world.since_start)
        self._halves = self._world.open_halves(self._state.mydoc)
        means = Means(
            volumes=self._volumes,
            halves=self._halves,
            keys=self._server,
            housing=self._housing(),
            client=str(localpage.CLIENT_VM),
            server=str(localpage.VIRTUAL_SERVER),
            boot_id=self._world.boot_id,
            clock=self._world.since_start,
            now=self._now,
            heard_at=lambda: self._contact.heard_at,
            controller_at=lambda: controllers.answered_at,
            in_doubt=lambda: self._mydoc.ask_controllers(),  # noqa: PLW0108  (it is made later)
            is_welcome=lambda: self._identity.approved,
            knows=self._world.knows_logon or self._nonces.take,
            blocked=self._protection.blocked,
            lent=self._checkout,
        )
        return Mydoc(
            self._state.mydoc,
            means=means,
            server=self._server,
            controllers=controllers,
            get_slice=self._slices.get,
            turn=Turning,
            # Each process tells it anew.
            report=lambda message: self._outbox.put("mydoc", "volumes", message, keep=False),
            wake=self._wake.set,
        )

    def _make_copying(self) -> Replication:
        return Replication(
            server=self._server,
            housing=self._housing(),
            reader=self._mydoc,
            is_ready=lambda: self._service is not None and self._service.up,
            copied=CopiedLog(self._state.copied),
            get_slice=self._slices.get,
            outbox=self._outbox,
            wake=self._wake.set,
            now=self._now,
        )

    def _make_leaving(self, *, power_off: bool) -> Leaving:
        return Leaving(
            copying=self._copying,
            open_volumes=self._mydoc.open_volumes,
            reachable=lambda: self._contact.reachable,
            told=lambda: not len(self._outbox),
            show=self._world.show,
            pressed=self._world.pressed,
            power_off=self._world.power_off if power_off else None,
            clock=time.monotonic,
        )

    def _make_checkout(self) -> Checkout:
        means = UsageMeans(
            identity=self._identity,
            here=Here(self._identity.client_id, self._identity.signing_fingerprint),
            root_key=self._root_key,
            clock=of_this_pc(self._world.since_start, boot_id=self._world.boot_id),
            tpm=self._world.tpm,
            volumes=self._volumes,
            get_mydoc=lambda: self._mydoc,
            get_copying=lambda: self._copying,
            server=self._server,
            heard_at=lambda: self._contact.heard_at,
            unwelcome=self._unwelcome,
            keeper=self._world.keeper(self._identity),
        )
        return Checkout(
            self._state.checkout,
            means=means,
            get_slice=self._slices.get,
            report=lambda message: self._outbox.put("checkout", "leases", message, keep=False),
            wake=self._wake.set,
        )

    def _unwelcome(self) -> str:
        state = self._identity.enrolment.state if self._identity.enrolment else None
        return str(state) if state in (ClientState.LOST, ClientState.REVOKED) else ""

    def _make_killing(self) -> Killing:
        return Killing(
            self._state.mydoc,
            server=self._server,
            halves=self._halves,
            volumes=self._volumes,
            client_id=self._identity.client_id,
            root_key=self._root_key,
            is_lost=lambda: self._identity.lost,
            all_locked=lambda: self._mydoc.all_locked,
            clock=time.monotonic,
            now=self._now,
        )

    def _housing(self) -> Housing:
        if self._world.house is not None:
            return self._world.house(self._state.mydoc)
        return VirtualServerHousing(
            machines=self._world.machines,
            channel=self._channel,
            virtual_server=VIRTUAL_SERVER,
            client_vm=CLIENT_VM,
            mac=self._machine.mac("virtual-server/internal"),
            get_profile=lambda: self._machine.profile,
        )

    def _make_imaging(self, slots: Slots, app: str, machine: wire.Machine) -> Imaging:
        return self._world.imaging(
            slots=slots,
            source=self._server,
            client_id=self._identity.client_id,
            root_key=self._root_key,
            get_slice=self._slices.get,
            report=self._report_to(app),
            look=self._contact.look_soon,
            clock=time.monotonic,
            now=self._now,
            threads=self._world.threads,
            clones=self._world.clones,
            machine=machine,
            peers=self._make_sharing(slots) if self._world.shares else None,
        )

    def _make_sharing(self, slots: Slots) -> Sharing:
        return Sharing(
            tracker=self._server,
            identity=self._identity,
            sends=self._world.may_send,
            now=self._now,
            directory=slots.directory,
        )

    def _make_page(self, name: str) -> localpage.LocalPage:
        looked_at = (self._contact, self._desktop, self._service, self._devices, self._mydoc)
        parts = gathering.Parts(*looked_at, self._copying, self._leaving, self._wireless)
        macs = {role: self._machine.mac(f"{role}/internal") for role in ("client-vm", "virtual-server")}
        doors = documentsdoor.doors(
            client_id=self._identity.client_id,
            give=self._nonces.give,
            get_logon_url=lambda: self._mydoc.logon_url,
            get_reports=self._mydoc.reports,
            get_clock_off_s=lambda: self._contact.clock_off_s,
        )
        own, leave = self._checkout.seen, self._leaving.leave_now
        copies = door.doors(self._copying, open_volumes=self._mydoc.open_volumes, leave_now=leave)
        return localpage.LocalPage(
            networks=self._world.machines,
            macs=macs,
            get_state=lambda: gathering.state_of(name, parts, unencrypted=self._protection.allowed_bare),
            clock=time.monotonic,
            doors={**doors, **copies, **page.doors(self._checkout), **self._postponing.doors()},
            get_section=lambda query, said: self._postponing.section(said) + page.section(own(), query, said),
        )

    def _now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self._server.clock_offset_s)

    def _report_to(self, app: str) -> Callable[[DeliveryReport, bool], None]:
        return lambda message, keep: self._outbox.put(app, str(message.serial), message, keep=keep)

    def _report_devices(self, about: str, message: DevicesReport) -> None:
        self._outbox.put("devices", about, message, keep=bool(message.events))

    def _machine_changed(self, _name: str) -> None:
        self._desktop.nudge()
        if self._wireless:
            self._wireless.nudge()
        if self._service:
            self._service.nudge()
        self._device_changed()

    def _device_changed(self) -> None:
        self._devices.nudge()
        self._wake.set()

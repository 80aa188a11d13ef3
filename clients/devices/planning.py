"""What becomes of each device of a PC, and why; what another policy would make of it. Changes nothing."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlencode

from django.utils.translation import gettext_lazy as _

from clients.devices import policing, suspending
from clients.devices.policing import Draft, Owner
from clients.devices.suspending import Sleep
from clients.errors import Refusal
from clients.models import Client, DeviceRule
from vrasnode import preflight, words
from vrasnode.devicepolicy import Remark, planning
from vrasnode.devicepolicy.planning import Plan, Planned
from vrasnode.preflight import Finding
from vrasnode.wire import devices as wire
from vrasnode.wire.clients import HostFacts

Device = wire.PciDevice | wire.UsbDevice | wire.OpticalDrive

# What a PC says of a device that it could not pass through, or not without losing the machine.
WITHHELD = ("pass_through_failed", "pass_through_unhealthy")
MAX_PREVIEWED = 300  # PCs; the rest is counted


@dataclass(frozen=True)
class Standing:
    """One device of a PC: what was planned, and what the PC told of it."""

    planned: Planned
    device: Device | None  # None: the PC told of it and has not described it yet
    told: wire.DeviceState | None
    failure: wire.DeviceEvent | None = None  # the last thing that the PC could not do with it

    @property
    def failed(self) -> bool:
        """The client VM is to have it, and the PC could not do it: a person has to know."""
        told = self.told
        if self.planned.fate is not wire.Fate.PASSED or (told is not None and told.present):
            return False
        withheld = told is not None and (told.fate is not wire.Fate.PASSED or told.code in WITHHELD)
        return withheld or self.failure is not None

    @property
    def fate(self) -> wire.Fate:
        return wire.Fate.IMPOSSIBLE if self.failed else self.planned.fate

    @property
    def code(self) -> str:
        """Why it is as it is. Where the PC failed, its own reason."""
        if not self.failed:
            return self.planned.code
        if self.failure is not None:
            return self.failure.code
        return self.told.code if self.told is not None else self.planned.code

    def words(self, language: str) -> str:
        """Why it is as it is: the sentence that is the same everywhere; of a failure, the PC's words."""
        if self.failed and self.failure is not None and self.code not in words.known_codes():
            return self.failure.words or self.code
        return policing.said(self.code, self.planned.details, language)

    @property
    def ids(self) -> str:
        """ "0930:6545", or nothing for an optical drive."""
        if self.device is None or isinstance(self.device, wire.OpticalDrive):
            return ""
        return f"{self.device.vendor}:{self.device.product}"

    @property
    def serial(self) -> str | None:
        return self.device.serial if isinstance(self.device, wire.UsbDevice) else None

    @property
    def grantable(self) -> bool:
        """Whether a rule could change anything for it."""
        return self.device is not None and (
            self.planned.fate is not wire.Fate.SHARED or self.planned.bus is wire.Bus.OPTICAL
        )

    def as_rule(self) -> str:
        """What a rule for exactly this device says, as the query of an address."""
        said = {"bus": self.planned.bus.value, "device_id": self.ids}
        if self.serial:
            said["serial"] = self.serial
        else:
            said["port"] = self.planned.key
        return urlencode(said)


@dataclass(frozen=True)
class Why:
    """Why a device is as it is: the rule, for whom it was made, by whom."""

    standing: Standing
    rule: DeviceRule | None


@dataclass(frozen=True)
class PcChanges:
    """What would become of one PC: of its devices, and of its sleep where that changes."""

    client: Client
    changes: list[tuple[Planned | None, Planned | None]]
    vain: list[Remark]  # what the draft asks of this PC in vain
    sleep: tuple[Sleep, Sleep] | None = None


@dataclass(frozen=True)
class Preview:
    """What would become of the devices of the PCs of one owner. `unknown` PCs did not describe their devices;
    `left_out` were not looked at, because there are so many."""

    pcs: list[PcChanges]
    looked_at: int
    unknown: int
    left_out: int

    @property
    def changing(self) -> list[PcChanges]:
        """The PCs on which something changes, or which are asked something in vain."""
        return [pc for pc in self.pcs if pc.changes or pc.vain or pc.sleep]


def plan_of(facts: HostFacts | None, policies: Mapping[wire.Scope, Draft], *, now: datetime) -> Plan | None:
    """What is to become of each device; None for a PC that did not describe them."""
    if facts is None or facts.devices is None:
        return None
    iommu = facts.platform is not None and facts.platform.iommu is not None
    return planning.make_plan(facts.devices, policing.merged(policies, now=now), now=now, iommu=iommu)


def standings(client: Client, *, now: datetime) -> list[Standing]:
    """Every device of a PC, in the order of its facts; empty where it described none."""
    facts = client.host_facts()
    plan = plan_of(facts, policing.policies_of(client), now=now)
    if plan is None or facts is None or facts.devices is None:
        return []
    record = client.record
    report = record.told() if record else None
    told = {(state.bus, state.key): state for state in (report.devices or [] if report else [])}
    described = _described(facts.devices)
    return [
        Standing(
            planned,
            described.get((planned.bus, planned.key)),
            told.get((planned.bus, planned.key)),
            record.failure(planned.bus, planned.key) if record else None,
        )
        for planned in plan.devices
    ]


def why(client: Client, bus: str, key: str, *, now: datetime) -> Why:
    """Why one device of a PC is as it is. Raises Refusal(no_such_device)."""
    for standing in standings(client, now=now):
        if (standing.planned.bus, standing.planned.key) == (bus, key):
            rule = standing.planned.rule
            rows = DeviceRule.objects.select_related("policy__group", "policy__client", "policy__user")
            return Why(standing, rows.filter(pk=rule.id).first() if rule else None)
    raise Refusal(
        "no_such_device", _("This PC has no such device. Look at the list of its devices."), status=404
    )


def effective(client: Client, *, now: datetime) -> wire.DevicePolicy:
    """What holds for this PC of all scopes together."""
    return policing.policy_of(client, now=now)


def sleep(client: Client) -> Sleep:
    """What this PC may do when its lid is closed, and who decided it."""
    return suspending.decide(policing.policies_of(client), model=suspending.model_of(client))


def findings(client: Client, *, now: datetime) -> list[Finding]:
    """What the PC's board, firmware and control base lack for what its policy wants."""
    facts = client.host_facts()
    if facts is None:
        return []
    return preflight.examine(facts, policy=effective(client, now=now), now=now)


def preview(owner: Owner, draft: Draft, *, now: datetime) -> Preview:
    """What would change on which PC if `draft` were saved. Raises Refusal as `policing.check` does."""
    scope = policing.scope_of(owner)
    draft = policing.numbered(policing.for_scope(draft, scope))
    policing.check(draft, now=now)
    rows = policing.affected(owner)
    clients = list(rows.select_related("device_record")[:MAX_PREVIEWED])
    policies = policing.policies_of_each(clients)
    pcs = []
    unknown = 0
    for client in clients:
        facts = client.host_facts()
        if facts is None or facts.devices is None:
            unknown += 1
            pcs.append(PcChanges(client, [], [], _sleep_on(client, policies[client.pk], {scope: draft})))
        else:
            pcs.append(_changes_on(client, facts, policies[client.pk], {scope: draft}, now=now))
    left_out = rows.count() - len(clients) if len(clients) == MAX_PREVIEWED else 0
    return Preview(pcs=pcs, looked_at=len(clients), unknown=unknown, left_out=left_out)


def _changes_on(
    client: Client,
    facts: HostFacts,
    policies: Mapping[wire.Scope, Draft],
    changed: Mapping[wire.Scope, Draft],
    *,
    now: datetime,
) -> PcChanges:
    before = plan_of(facts, policies, now=now)
    after = plan_of(facts, {**policies, **changed}, now=now)
    assert before is not None  # noqa: S101  (devices are described)
    assert after is not None  # noqa: S101
    assert facts.devices is not None  # noqa: S101
    asked = policing.merged(changed, now=now)
    vain = planning.findings(after, facts.devices, asked)
    sleep = _sleep_on(client, policies, changed)
    return PcChanges(client, planning.changes(before, after), vain, sleep)


def _sleep_on(
    client: Client, policies: Mapping[wire.Scope, Draft], changed: Mapping[wire.Scope, Draft]
) -> tuple[Sleep, Sleep] | None:
    before = suspending.decide(policies, model=suspending.model_of(client))
    after = suspending.decide({**policies, **changed}, model=suspending.model_of(client))
    return (before, after) if before.suspend is not after.suspend else None


def _described(facts: wire.DeviceFacts) -> dict[tuple[wire.Bus, str], Device]:
    found: dict[tuple[wire.Bus, str], Device] = {
        (wire.Bus.PCI, device.address): device for device in facts.pci
    }
    found |= {(wire.Bus.USB, device.port): device for device in facts.usb}
    found |= {(wire.Bus.OPTICAL, drive.node): drive for drive in facts.optical}
    return found

"""Device policies and devices in JSON."""

from typing import Any

import msgspec
from django.contrib.auth import get_user_model
from django.utils.translation import get_language
from rest_framework import serializers

from clients.devices import policing, suspending
from clients.devices.planning import PcChanges, Preview, Standing, Why
from clients.devices.policing import Draft
from clients.devices.suspending import Decider, ModelSuspend, Sleep
from clients.models import Client, DevicePolicy, DeviceRule
from vrasnode.devicepolicy import Remark
from vrasnode.devicepolicy.planning import Planned
from vrasnode.wire import devices as wire
from vrasnode.wire.network import WifiState


def language() -> str:
    """In which language this answer speaks."""
    return (get_language() or "en").partition("-")[0]


class DeviceRuleSerializer(serializers.Serializer[Any]):
    """One rule. Everything that is given has to match."""

    id = serializers.IntegerField(
        default=0, min_value=0, help_text="of a rule that stands in the list; 0: a new one"
    )
    verdict = serializers.ChoiceField(
        choices=[(item.value, item.name) for item in wire.Verdict], help_text="read_only is for storage"
    )
    bus = serializers.ChoiceField(
        choices=[(item.value, item.name) for item in wire.Bus], allow_null=True, default=None
    )
    device_class = serializers.CharField(
        max_length=6,
        allow_blank=True,
        default="",
        help_text="two, four or six hex digits of a PCI class, or two of a USB interface's",
    )
    device_id = serializers.CharField(
        max_length=9, allow_blank=True, default="", help_text='"0930:6545" or "0930:*"'
    )
    serial = serializers.CharField(
        max_length=255,
        allow_null=True,
        allow_blank=True,
        default=None,
        trim_whitespace=False,
        help_text="null: any; empty: a device without one",
    )
    port = serializers.CharField(
        max_length=64,
        allow_blank=True,
        default="",
        help_text="a USB port, a PCI address or an optical drive's node",
    )
    interfaces = serializers.ListField(
        child=serializers.CharField(max_length=8),
        max_length=32,
        default=list,
        help_text='patterns of USB interfaces, such as "08:06:50" and "03:*:*"',
    )
    valid_from = serializers.DateTimeField(allow_null=True, default=None)
    valid_until = serializers.DateTimeField(allow_null=True, default=None)
    note = serializers.CharField(max_length=200, allow_blank=True, default="")
    created_by = serializers.CharField(read_only=True)
    created_at = serializers.DateTimeField(read_only=True)


class RemarkSerializer(serializers.Serializer[Any]):
    """What is worth a second look in a list."""

    code = serializers.CharField()
    rule = serializers.IntegerField(allow_null=True, help_text="its place in the list, from 1")
    other = serializers.IntegerField(
        allow_null=True, help_text="the place of the rule that it has to do with"
    )
    words = serializers.CharField()


class ModelSuspendSerializer(serializers.Serializer[Any]):
    """What PCs of a model may do when they are to sleep."""

    model = serializers.CharField(
        max_length=suspending.MAX_MODEL_CHARS,
        help_text='maker and product as the PC tells them, with * and ?: "Fabrikam Note *"',
    )
    suspend = serializers.ChoiceField(choices=DevicePolicy.Suspend.choices)


class DevicePolicySerializer(serializers.Serializer[Any]):
    """The whole policy of a group, a PC or a user. `usb_mode` and `suspend` are null where the wider scope
    decides; a user has no `usb_mode`, and a group alone has `suspend_by_model`."""

    revision = serializers.IntegerField(read_only=True, help_text="the same as in the ETag")
    usb_mode = serializers.ChoiceField(choices=DevicePolicy.UsbMode.choices, allow_null=True, default=None)
    suspend = serializers.ChoiceField(choices=DevicePolicy.Suspend.choices, allow_null=True, default=None)
    suspend_by_model = ModelSuspendSerializer(
        many=True, default=list, help_text="the first entry for a PC's model goes over `suspend`"
    )
    rules = DeviceRuleSerializer(many=True, default=list)
    reason = serializers.CharField(
        max_length=500, write_only=True, default="", allow_blank=True, help_text="for the audit log"
    )
    remarks = RemarkSerializer(many=True, read_only=True)

    def draft(self) -> Draft:
        """What was asked for, once it is valid."""
        wish = self.validated_data
        return Draft(
            rules=[_rule(rule) for rule in wish["rules"]],
            usb_mode=wire.UsbMode(wish["usb_mode"]) if wish["usb_mode"] else None,
            suspend=wire.Suspend(wish["suspend"]) if wish["suspend"] else None,
            suspend_by_model=[
                ModelSuspend(model=entry["model"], suspend=wire.Suspend(entry["suspend"]))
                for entry in wish["suspend_by_model"]
            ],
        )


class FateSerializer(serializers.Serializer[Any]):
    fate = serializers.ChoiceField(choices=[(item.value, item.name) for item in wire.Fate])
    code = serializers.CharField()
    words = serializers.CharField()


class DeviceChangeSerializer(serializers.Serializer[Any]):
    bus = serializers.CharField()
    key = serializers.CharField(help_text="PCI address, USB port or optical drive's node")
    name = serializers.CharField()
    before = FateSerializer(allow_null=True)
    after = FateSerializer(allow_null=True)


class SleepSerializer(serializers.Serializer[Any]):
    """What closing the lid may do, and who decided it."""

    suspend = serializers.ChoiceField(choices=DevicePolicy.Suspend.choices)
    decided_by = serializers.ChoiceField(choices=[(item.value, item.name) for item in Decider])
    entry = serializers.CharField(help_text="of `suspend_by_model`, where that decided")
    words = serializers.CharField()


class SleepChangeSerializer(serializers.Serializer[Any]):
    before = SleepSerializer()
    after = SleepSerializer()


class PcChangesSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    name = serializers.CharField()
    changes = DeviceChangeSerializer(many=True)
    vain = serializers.ListField(
        child=serializers.CharField(), help_text="what the rules ask of this PC and it cannot give, in words"
    )
    sleep = SleepChangeSerializer(allow_null=True)


class PreviewSerializer(serializers.Serializer[Any]):
    """What would change on which PC."""

    looked_at = serializers.IntegerField(help_text="PCs that it would be for")
    unknown = serializers.IntegerField(help_text="of them: did not describe their devices yet")
    left_out = serializers.IntegerField(help_text="more PCs, not looked at")
    pcs = PcChangesSerializer(many=True, help_text="those on which something changes")
    remarks = RemarkSerializer(many=True)


class ImportedSerializer(serializers.Serializer[Any]):
    """Rules read from usbguard's language; nothing is saved."""

    rules = DeviceRuleSerializer(many=True)


class DeviceSerializer(FateSerializer):
    """One device of a PC."""

    bus = serializers.CharField()
    key = serializers.CharField(help_text="PCI address, USB port or optical drive's node")
    name = serializers.CharField()
    device_id = serializers.CharField(help_text="vendor:product")
    serial = serializers.CharField(allow_null=True)
    rule = serializers.IntegerField(allow_null=True, help_text="the id of the rule that decided")
    present = serializers.BooleanField(allow_null=True, help_text="in the client VM now; null: not told yet")
    failed = serializers.BooleanField(help_text="the PC could not do what was planned")


class FindingSerializer(serializers.Serializer[Any]):
    severity = serializers.CharField()
    code = serializers.CharField()
    words = serializers.CharField()
    remedy = serializers.CharField()


class WifiStandingSerializer(serializers.Serializer[Any]):
    """How the Wi-Fi of a PC stands, as it told."""

    wifi = serializers.ChoiceField(choices=[(item.value, item.name) for item in WifiState])
    ssid = serializers.CharField()
    address = serializers.CharField()
    code = serializers.CharField(help_text="why it is not connected")
    words = serializers.CharField()


class PcDevicesSerializer(serializers.Serializer[Any]):
    """The devices of a PC, what its board and firmware lack, how it sleeps and how its Wi-Fi stands."""

    reported_at = serializers.DateTimeField(allow_null=True)
    devices = DeviceSerializer(many=True)
    findings = FindingSerializer(many=True)
    sleep = SleepSerializer()
    wifi = WifiStandingSerializer(allow_null=True)


class WhySerializer(DeviceSerializer):
    """Why one device is as it is."""

    scope = serializers.CharField(allow_null=True, help_text="group, client or user: for whom the rule is")
    owner = serializers.CharField(allow_null=True)
    made_by = serializers.CharField(allow_null=True)
    made_at = serializers.DateTimeField(allow_null=True)
    note = serializers.CharField(allow_null=True)


class UserSerializer(serializers.ModelSerializer[Any]):
    pcs = serializers.SlugRelatedField[Client](
        slug_field="name", many=True, read_only=True, source="assigned_clients"
    )

    class Meta:
        model = get_user_model()
        fields = ["username", "first_name", "last_name", "is_active", "pcs"]


class AssignSerializer(serializers.Serializer[Any]):
    user = serializers.SlugRelatedField[Any](
        slug_field="username", queryset=get_user_model()._default_manager.all(), allow_null=True
    )


def policy_json(draft: Draft, row: DevicePolicy | None, remarks: list[Remark]) -> dict[str, Any]:
    """A policy as `DevicePolicySerializer` describes it."""
    makers: dict[int, DeviceRule] = {rule.pk: rule for rule in row.rules.all()} if row else {}
    rules = []
    for rule in draft.rules:
        said = rule_json(rule)
        if maker := makers.get(rule.id):
            said |= {"created_by": maker.created_by, "created_at": maker.created_at}
        rules.append(said)
    return {
        "revision": row.revision if row else 0,
        "usb_mode": draft.usb_mode,
        "suspend": draft.suspend,
        "suspend_by_model": [msgspec.to_builtins(entry) for entry in draft.suspend_by_model],
        "rules": rules,
        "remarks": [remark_json(remark, draft) for remark in remarks],
    }


def rule_json(rule: wire.Rule) -> dict[str, Any]:
    """A rule as `DeviceRuleSerializer` describes it."""
    names = [name for name in rule.__struct_fields__ if name != "scope"]
    return {name: getattr(rule, name) for name in names}


def remark_json(remark: Remark, draft: Draft) -> dict[str, Any]:
    """A remark as `RemarkSerializer` describes it."""
    places = {rule.id: place for place, rule in enumerate(policing.numbered(draft).rules, 1)}
    return {
        "code": remark.code,
        "rule": places.get(remark.rule_id),
        "other": places.get(remark.other_id or 0),
        "words": remark_words(remark),
    }


def remark_words(remark: Remark) -> str:
    """A remark as a sentence."""
    details = {**remark.details, "rule": str(remark.rule_id)}
    if remark.other_id is not None:
        details["other"] = str(remark.other_id)
    return policing.said(remark.code, details, language())


def preview_json(preview: Preview, draft: Draft, remarks: list[Remark]) -> dict[str, Any]:
    return {
        "looked_at": preview.looked_at,
        "unknown": preview.unknown,
        "left_out": preview.left_out,
        "pcs": [_pc_json(pc) for pc in preview.changing],
        "remarks": [remark_json(remark, draft) for remark in remarks],
    }


def device_json(standing: Standing) -> dict[str, Any]:
    """A device as `DeviceSerializer` describes it."""
    return {
        "bus": standing.planned.bus,
        "key": standing.planned.key,
        "name": standing.planned.name,
        "device_id": standing.ids,
        "serial": standing.serial,
        "fate": standing.fate,
        "code": standing.code,
        "words": standing.words(language()),
        "rule": standing.planned.rule.id if standing.planned.rule else None,
        "present": standing.told.present if standing.told else None,
        "failed": standing.failed,
    }


def sleep_json(sleep: Sleep) -> dict[str, Any]:
    """A PC's sleep as `SleepSerializer` describes it."""
    return {
        "suspend": sleep.suspend,
        "decided_by": sleep.decider,
        "entry": sleep.entry,
        "words": sleep.words,
    }


def why_json(why: Why) -> dict[str, Any]:
    rule = why.rule
    return device_json(why.standing) | {
        "scope": rule.policy.scope if rule else None,
        "owner": str(rule.policy) if rule else None,
        "made_by": rule.created_by if rule else None,
        "made_at": rule.created_at if rule else None,
        "note": rule.note if rule else None,
    }


def _pc_json(pc: PcChanges) -> dict[str, Any]:
    changes = []
    for before, after in pc.changes:
        either = after or before
        assert either is not None  # noqa: S101  (a change has one of them)
        changes.append(
            {
                "bus": either.bus,
                "key": either.key,
                "name": either.name,
                "before": _fate_json(before),
                "after": _fate_json(after),
            }
        )
    vain = [remark_words(remark) for remark in pc.vain]
    sleep = {"before": sleep_json(pc.sleep[0]), "after": sleep_json(pc.sleep[1])} if pc.sleep else None
    return {"id": pc.client.pk, "name": pc.client.name, "changes": changes, "vain": vain, "sleep": sleep}


def _fate_json(planned: Planned | None) -> dict[str, Any] | None:
    if planned is None:
        return None
    return {
        "fate": planned.fate,
        "code": planned.code,
        "words": policing.said(planned.code, planned.details, language()),
    }


def _rule(said: dict[str, Any]) -> wire.Rule:
    return wire.Rule(
        id=said["id"],
        scope=wire.Scope.GROUP,  # whose it is says the owner of the list
        verdict=wire.Verdict(said["verdict"]),
        bus=wire.Bus(said["bus"]) if said["bus"] else None,
        device_class=said["device_class"],
        device_id=said["device_id"],
        serial=said["serial"],
        port=said["port"],
        interfaces=list(said["interfaces"]),
        valid_from=said["valid_from"],
        valid_until=said["valid_until"],
        note=said["note"],
    )

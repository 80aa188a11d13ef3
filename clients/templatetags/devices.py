"""What pages say of devices: verdicts and fates as icon and word, what a rule matches, a PC's cards."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django import template
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from clients.devices import planning, policing
from clients.devices.forms import BUSES, VERDICTS
from clients.devices.planning import Standing
from clients.devices.serializers import language, remark_words
from clients.devices.suspending import Sleep
from clients.models import Client, DevicePolicy
from clients.templatetags.portal import icon
from clients.wifi import networking
from vrasnode import words
from vrasnode.devicepolicy import Remark
from vrasnode.devicepolicy.planning import Planned
from vrasnode.preflight import Severity
from vrasnode.wire import devices as wire
from vrasnode.wire.network import WifiState

register = template.Library()

FATES = {
    wire.Fate.PASSED: ("box-arrow-in-down", "success"),
    wire.Fate.SHARED: ("share", "info"),
    wire.Fate.HIDDEN: ("eye-slash", "quiet"),
    wire.Fate.IMPOSSIBLE: ("exclamation-triangle", "warning"),
}
VERDICT_SIGNS = {
    wire.Verdict.PASS: ("box-arrow-in-down", "success"),
    wire.Verdict.READ_ONLY: ("eye", "info"),
    wire.Verdict.HIDE: ("eye-slash", "danger"),
}
BUS_ICONS = {wire.Bus.USB: "usb-symbol", wire.Bus.PCI: "pci-card", wire.Bus.OPTICAL: "disc"}
USB_CLASSES = {
    "01": _("sound"),
    "02": _("modem or network"),
    "03": _("keyboard, mouse and the like"),
    "06": _("scanner or camera"),
    "07": _("printer"),
    "08": _("storage"),
    "0b": _("smart card reader"),
    "0e": _("video"),
    "e0": _("wireless, such as Bluetooth"),
}
PCI_CLASSES = {
    "01": _("storage controller"),
    "02": _("network"),
    "03": _("display"),
    "04": _("sound and video"),
    "07": _("serial port or modem"),
    "0c03": _("USB controller"),
    "0d": _("wireless"),
}
SEVERITIES = {
    Severity.BLOCKER: ("x-octagon", "danger"),
    Severity.WARNING: ("exclamation-triangle", "warning"),
    Severity.NOTE: ("info-circle", "quiet"),
}


@register.simple_tag
def simulated(client: Any) -> SafeString:
    """Says that this PC is none."""
    if not client.simulated:
        return SafeString("")
    return format_html('<span class="badge-simulated">{} {}</span>', icon("flask"), _("simulated"))


@register.simple_tag
def fate(of: Planned | Standing | None) -> SafeString:
    """What becomes of a device: icon and word."""
    if of is None:
        return _sign(_("not there"), "slash-circle", "quiet")
    if isinstance(of, Standing) and of.failed:
        return _sign(_("failed"), "x-octagon", "danger")
    if of.fate is wire.Fate.PASSED and _verdict(of) is wire.Verdict.READ_ONLY:
        return _sign(VERDICTS[wire.Verdict.READ_ONLY], "eye", "info")
    return _sign(words.say(f"fate.{of.fate}", language()), *FATES[of.fate])


@register.simple_tag
def reason(of: Planned | Standing | None) -> str:
    """Why, in the words that are the same everywhere."""
    if of is None:
        return ""
    return (
        of.words(language()) if isinstance(of, Standing) else policing.said(of.code, of.details, language())
    )


@register.simple_tag
def verdict(of: wire.Verdict) -> SafeString:
    """What a rule says: icon and word."""
    return _sign(VERDICTS[of], *VERDICT_SIGNS[of])


@register.simple_tag
def bus(of: str) -> SafeString:
    """Where a device is found: icon and word."""
    kind = wire.Bus(of)
    return format_html('<span class="bus">{} {}</span>', icon(BUS_ICONS[kind]), BUSES[kind])


@register.simple_tag
def matches(rule: wire.Rule) -> SafeString:
    """Which devices a rule is for."""
    said = list(_conditions(rule))
    if not said:
        return format_html("<span>{}</span>", _("every device"))
    return format_html_join(" ", '<span class="condition"><small>{}</small> {}</span>', said)


@register.simple_tag
def validity(rule: wire.Rule, now: datetime) -> SafeString:
    """Whether a rule that has a period counts now."""
    if rule.valid_until is not None and rule.valid_until <= now:
        return _sign(_("ended"), "archive", "quiet")
    if rule.valid_from is not None and rule.valid_from > now:
        return _sign(_("not yet valid"), "hourglass-split", "quiet")
    return SafeString("")


@register.filter
def may_sleep(sleep: Sleep) -> str:
    """What closing the lid may do, and who decided it."""
    what = DevicePolicy.Suspend(sleep.suspend.value).label
    return gettext("%(what)s: %(why)s") % {"what": what, "why": sleep.words}


@register.simple_tag
def wifi_of(client: Client) -> str:
    """How a PC's Wi-Fi stands, and why it is not connected; "" of one that has none."""
    told = networking.standing_of(client)
    if told is None or told.wifi is WifiState.NONE:
        return ""
    return networking.words_of(told)


@register.filter
def rule_number(ident: int) -> str:
    """What people call a rule."""
    return policing.number_words(ident)


@register.filter
def remark(of: Remark) -> str:
    """What is worth a second look, in words."""
    return remark_words(of)


@register.simple_tag
def classes() -> list[tuple[str, str]]:
    """Common classes, for a list to choose from."""
    usb = [(code, f"{code} · USB · {word}") for code, word in USB_CLASSES.items()]
    return usb + [(code, f"{code} · PCI · {word}") for code, word in PCI_CLASSES.items()]


@register.inclusion_tag("clients/devices_card.html")
def devices_card(client: Client, now: datetime) -> dict[str, Any]:
    """What became of each device of this PC; failures first."""
    found = planning.standings(client, now=now)
    shared = [one for one in found if one.fate is wire.Fate.SHARED and one.planned.bus is wire.Bus.PCI]
    return {
        "client": client,
        "failed": [one for one in found if one.failed],
        "devices": sorted((one for one in found if one not in shared), key=_interest),
        "board": shared,
    }


@register.inclusion_tag("clients/hardware_card.html")
def hardware_card(client: Client, now: datetime) -> dict[str, Any]:
    """What the PC's board and firmware offer, and what they lack."""
    facts = client.host_facts()
    findings = []
    for finding in planning.findings(client, now=now):
        code = f"{finding.code}.remedy"
        remedy = words.say(code, language(), finding.details)
        findings.append(
            {
                "sign": _sign(
                    words.say(f"severity.{finding.severity}", language()), *SEVERITIES[finding.severity]
                ),
                "words": words.say(finding.code, language(), finding.details),
                "remedy": "" if remedy == code else remedy,
            }
        )
    policy = planning.effective(client, now=now)
    return {
        "client": client,
        "platform": facts.platform if facts else None,
        "findings": findings,
        "usb_mode": DevicePolicy.UsbMode(policy.usb_mode.value).label,
        "sleep": planning.sleep(client),
    }


def _interest(standing: Standing) -> tuple[bool, int, str]:
    """Failures first; then what people plug in, before what is built in."""
    order = [wire.Bus.USB, wire.Bus.OPTICAL, wire.Bus.PCI]
    return not standing.failed, order.index(wire.Bus(standing.planned.bus)), standing.planned.key


def _verdict(of: Planned | Standing) -> wire.Verdict:
    return of.planned.verdict if isinstance(of, Standing) else of.verdict


def _sign(word: Any, name: str, tone: str) -> SafeString:
    return format_html('<span class="state state-{}">{} {}</span>', tone, icon(name), word)


def _conditions(rule: wire.Rule) -> Iterable[tuple[Any, Any]]:
    if rule.bus is not None:
        yield _("bus"), BUSES[rule.bus]
    if rule.device_class:
        known = (PCI_CLASSES if rule.bus is wire.Bus.PCI else USB_CLASSES).get(rule.device_class.lower())
        yield _("class"), f"{rule.device_class} {known}" if known else rule.device_class
    if rule.device_id:
        yield _("vendor and product"), rule.device_id
    if rule.serial is not None:
        yield _("serial number"), rule.serial or _("none")
    if rule.port:
        yield _("port"), rule.port
    if rule.interfaces:
        yield _("interfaces"), " ".join(rule.interfaces)

"""Options of commands that say how versions are brought to PCs: pace, pilots, hours."""

import re
from collections.abc import Callable
from typing import Any

import click

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "ki": 1 << 10, "mi": 1 << 20, "gi": 1 << 30}


class Rate(click.ParamType[int]):
    """Bytes per second: 500000, 10M (10^6), 10Mi (2^20)."""

    name = "rate"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        found = re.fullmatch(r"(\d{1,12})([kmg]i?)?", str(value).lower())
        if found is None or int(found[1]) * _UNITS[found[2] or ""] < 1024:
            self.fail("Write bytes per second, at least 1024, such as 500000, 10M or 10Mi.", param, ctx)
        return int(found[1]) * _UNITS[found[2] or ""]


def options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The command with these options; `wish` takes what they said."""
    for option in (
        click.option("--rate", type=Rate(), help="Bytes per second and PC, such as 10M."),
        click.option("--wave", type=click.IntRange(1), metavar="N", help="PCs that fetch at a time."),
        click.option(
            "--now", "at_once", is_flag=True, help="Restart client VMs into it; else at their next start."
        ),
        click.option("--pilot", "pilots", multiple=True, metavar="PC", help="Gets it first; repeatable."),
        click.option("--pilots", "pilot_count", type=click.IntRange(0), help="Or how many PCs get it first."),
        click.option("--approval", is_flag=True, help="Another person lets the others follow."),
        click.option("--halt-failures", type=click.IntRange(1), metavar="N", help="Halt at N failed PCs."),
        click.option("--halt-percent", type=click.IntRange(1, 100), help="Halt at this share of failed PCs."),
        click.option("--fetch-hours", metavar="HOURS", help="Such as 'mon-fri 20-6; sat,sun 0-24'."),
        click.option("--switch-hours", metavar="HOURS", help="When PCs may switch."),
        click.option("--postponements", type=click.IntRange(0, 100), help="How often users may put it off."),
    ):
        command = option(command)
    return command


def wish(at_once: bool, wave: int | None, rate: int | None, more: dict[str, Any]) -> dict[str, Any]:
    """What REST is told."""
    told: dict[str, Any] = {"apply": "now" if at_once else "next_start"}
    told |= {name: list(value) if name == "pilots" else value for name, value in more.items() if value}
    if wave is not None:
        told["wave_size"] = wave
    if rate is not None:
        told["rate_bytes_s"] = rate
    return told

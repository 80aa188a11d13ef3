"""`vrasnode plan`: what becomes of each device of this PC, and which rule says so. Changes nothing.

The policy is the one that the server last told, or a file: for trying one before anybody saves it.
"""

import argparse
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vrasnode.cli.given import add_options, read_facts, read_policy, told_policy
from vrasnode.devicepolicy import check_rules, lint
from vrasnode.devicepolicy.planning import Plan, Planned, findings, make_plan
from vrasnode.errors import Refused
from vrasnode.host import hardware, thispc
from vrasnode.places import State
from vrasnode.wire.devices import DeviceFacts, DevicePolicy
from vrasnode.words import say


def add_to(commands: Any) -> None:
    """Adds the command to the program."""
    planning = commands.add_parser("plan", help="show what becomes of each device of this PC, and why")
    planning.set_defaults(run=run)
    planning.add_argument("--state", type=Path, required=True, metavar="DIR", help="the state directory")
    add_options(planning, words="reasons")


def run(options: argparse.Namespace) -> int:
    """Prints the plan. Raises Refused for a policy or facts that cannot be."""
    told = read_policy(options.policy) if options.policy else told_policy(State(options.state))
    policy = told or DevicePolicy(rules=[])  # before the server said anything, nothing is granted
    check_rules(policy.rules)
    facts, iommu = _described(options.facts) if options.facts else _facts(options.state)
    now = datetime.now(UTC)
    plan = make_plan(facts, policy, now=now, iommu=iommu)
    remarks = [*lint(policy.rules, now=now), *findings(plan, facts, policy)]
    said = [
        {
            "code": remark.code,
            "rule": remark.rule_id,
            "other": remark.other_id,
            "words": say(
                remark.code,
                options.language,
                {"rule": str(remark.rule_id), "other": str(remark.other_id or ""), **remark.details},
            ),
        }
        for remark in remarks
    ]
    print(_as_json(plan, said, options.language) if options.json else _as_text(plan, said, options.language))
    return 0


def _facts(state: Path) -> tuple[DeviceFacts, bool]:
    return hardware.devices(state_dir=state), thispc.platform(state).iommu is not None


def _described(path: Path) -> tuple[DeviceFacts, bool]:
    facts = read_facts(path)
    if facts.devices is None:
        raise Refused(
            "no_facts_file", f"{path} tells no devices: make it on a PC with this version or later."
        )
    return facts.devices, facts.platform is not None and facts.platform.iommu is not None


def _as_json(plan: Plan, remarks: list[dict[str, Any]], language: str) -> str:
    devices = [
        {
            "bus": one.bus,
            "key": one.key,
            "name": one.name,
            "fate": one.fate,
            "verdict": one.verdict,
            "code": one.code,
            "words": say(one.code, language, one.details),
            "rule": one.rule.id if one.rule else None,
        }
        for one in plan.devices
    ]
    return json.dumps({"devices": devices, "remarks": remarks}, ensure_ascii=False, sort_keys=True)


def _as_text(plan: Plan, remarks: list[dict[str, Any]], language: str) -> str:
    lines = [line for one in plan.devices for line in _lines(one, language)]
    return "\n".join([*lines, *(f"! {remark['words']}" for remark in remarks)])


def _lines(one: Planned, language: str) -> list[str]:
    """A device in two lines: no column is so wide that its reason runs out of the screen."""
    fate, why = say(f"fate.{one.fate}", language), say(one.code, language, one.details)
    return [f"{one.bus} {one.key}  {fate}  {one.name}".rstrip(), f"    {why} [{one.code}]"]

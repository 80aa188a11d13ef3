"""`vrasnode preflight`: what this PC lacks for being an OpenVRAS PC, and the remedies. Changes nothing.

Works before the PC is enrolled and before its state directory exists: then for the disk that this would lie
on, and without a policy. Exit code 0 without a blocker, 5 with one: the PC has to be seen to.
"""

import argparse
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vrasnode.cli.given import add_options, read_facts, read_policy, told_policy
from vrasnode.host import thispc
from vrasnode.places import State
from vrasnode.preflight import Finding, Severity, examine
from vrasnode.wire.clients import HostFacts
from vrasnode.words import say

BLOCKED = 5
STATE = Path("/var/lib/vrasnode")
NOTHING = {"en": "Nothing is lacking.", "ja": "不足はありません。"}


def add_to(commands: Any) -> None:
    """Adds the command to the program."""
    examining = commands.add_parser("preflight", help="examine whether this PC can be one; 5 with a blocker")
    examining.set_defaults(run=run)
    examining.add_argument(
        "--state", type=Path, default=STATE, metavar="DIR", help=f"the state directory (default: {STATE})"
    )
    add_options(examining, words="findings")


def run(options: argparse.Namespace) -> int:
    """Prints what was found. Raises Refused for a policy or facts that cannot be, HostBroken."""
    policy = read_policy(options.policy) if options.policy else told_policy(State(options.state))
    facts = read_facts(options.facts) if options.facts else _facts(options.state)
    findings = examine(facts, policy=policy, now=datetime.now(UTC))
    print((_as_json if options.json else _as_text)(findings, options.language))
    return BLOCKED if any(finding.severity is Severity.BLOCKER for finding in findings) else 0


def _facts(state: Path) -> HostFacts:
    """Of this PC, with the disk that `state` lies on or would lie on."""
    place = next(path for path in (state.absolute(), *state.absolute().parents) if path.is_dir())
    return thispc.facts(place, accelerator=thispc.probe_accelerator())


def _as_json(findings: list[Finding], language: str) -> str:
    found = [
        {
            "code": one.code,
            "severity": one.severity,
            "details": dict(one.details),
            "words": say(one.code, language, one.details),
            "remedy": say(f"{one.code}.remedy", language, one.details),
        }
        for one in findings
    ]
    return json.dumps({"findings": found}, ensure_ascii=False, sort_keys=True)


def _as_text(findings: list[Finding], language: str) -> str:
    """A finding in two lines, as in `plan`: no column is so wide that its words run out of the screen."""
    lines = [
        f"{say(f'severity.{one.severity}', language)}: {say(one.code, language, one.details)} [{one.code}]\n"
        f"    → {say(f'{one.code}.remedy', language, one.details)}"
        for one in findings
    ]
    return "\n".join(lines) or NOTHING[language]

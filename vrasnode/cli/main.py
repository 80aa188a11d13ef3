"""The command `vrasnode`: enrol this PC, run the agent, show how it stands.

Exit codes: 0 done · 1 a bug of ours · 2 wrong usage · 3 refused, an administrator has to act · 4 the server
or libvirt was not reachable, try again · 5 this PC has to be seen to · 6 still waiting for approval (--wait).
"""

import argparse
import json
import logging
import random
import signal
import socket
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vrasnode import __version__, statelock, world
from vrasnode.building import build
from vrasnode.cli import bench, plan, preflight, simulate
from vrasnode.cli import stop as cli_stop
from vrasnode.contact.identity import Identity, Token, read_certificate, read_enrolment
from vrasnode.contact.part import CERTIFICATE_S
from vrasnode.contact.server import Server
from vrasnode.domainxml import Firmware, Profile
from vrasnode.errors import HostBroken, Refused, Unreachable, VrasError
from vrasnode.host import disk, thispc
from vrasnode.imaging.slots import Version, read_boot
from vrasnode.machines.desktop import NAME
from vrasnode.machines.hypervisor import Hypervisor
from vrasnode.machines.options import Options
from vrasnode.mydoc.record import Record, kept
from vrasnode.outputs import until_seen
from vrasnode.places import STATE_MODE, State
from vrasnode.simulation import pc, settings
from vrasnode.wire.clients import EnrolRequest, HostFacts
from vrasnode.world import World

EXIT_BUG, EXIT_REFUSED, EXIT_UNREACHABLE, EXIT_BROKEN, EXIT_PENDING = 1, 3, 4, 5, 6
HYPERVISOR = "qemu:///system"
MAX_TOKEN_BYTES = 4096


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    code = 0
    with until_seen():
        options = _parser().parse_args(arguments)
        try:
            code = options.run(options)
        except VrasError as error:
            print(f"vrasnode: {error}", file=sys.stderr)
            code = _exit_code(error)
        except KeyboardInterrupt:
            code = 128 + signal.SIGINT
    return code


def enroll(options: argparse.Namespace) -> int:
    """Makes this PC a member, or says how its enrolment stands."""
    state = _state(options.state)
    identity = Identity(state.identity)
    if not identity.enrolled:
        _ask_to_join(identity, state, options)
    if options.wait and not identity.approved:
        _await_approval(identity, timeout_s=options.timeout)
    enrolment = identity.enrolment
    if enrolment is None:
        raise ValueError("enrolled without an enrolment")
    print(f"{enrolment.name}: {enrolment.state} at {enrolment.server} as {enrolment.client_id}")
    return EXIT_PENDING if options.wait and not identity.approved else 0


def run(options: argparse.Namespace) -> int:
    """Runs the agent until SIGTERM or SIGINT; machines run on."""
    state = _state(options.state)
    stop, wake = threading.Event(), threading.Event()

    def end(_signal: int, _frame: object) -> None:
        stop.set()
        wake.set()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    with statelock.held(state.lock):
        enrolment = read_enrolment(state.identity)
        _log_to_stderr(enrolment.name if enrolment else socket.gethostname())
        machine = _options(options)
        found = _world(state, options.hypervisor)
        build(
            state,
            world=found,
            options=machine,
            stop=stop,
            wake=wake,
            allow_unencrypted=options.allow_unencrypted_state,
            power_off=options.power_off,
        ).run()
    return 0


def status(options: argparse.Namespace) -> int:
    """Says how this PC stands, by its state directory and its hypervisor alone."""
    found = _status(State(options.state), options.hypervisor)
    if options.json:
        print(json.dumps(found, sort_keys=True))
        return 0
    for key, value in found.items():
        shown = (
            " ".join(f"{name}={part}" for name, part in value.items()) if isinstance(value, dict) else value
        )
        print(f"{key}: {'-' if shown is None else shown}")
    return 0


def _options(options: argparse.Namespace) -> Options:
    return Options(
        memory_mib=options.memory_mib,
        vcpus=options.vcpus,
        firmware=options.firmware,
        profile=options.profile,
        tpm=options.tpm,
        secure_boot=options.secure_boot,
        lan_bridge=options.lan_bridge,
    )


def _ask_to_join(identity: Identity, state: State, options: argparse.Namespace) -> None:
    if not options.server or not options.token_file:
        raise Refused("not_enrolled", "This PC is not enrolled yet: give --server and --token-file.")
    token = Token(_read_token(options.token_file))
    installation = Server(options.server).installation()
    token.check(installation)
    name = options.name or socket.gethostname().partition(".")[0]
    identity.begin(server=options.server, name=name, installation=installation)
    request = EnrolRequest(
        token=token.text,
        name=name,
        csr=identity.certificate_request(),
        hpke_key=identity.hpke_key,
        facts=_facts(state, options.hypervisor),
    )
    identity.take(Server(options.server, identity=identity).enrol(request))


def _facts(state: State, uri: str) -> HostFacts:
    if settings.is_simulated(uri):
        return pc.facts(state, settings=settings.parse(uri))
    return thispc.facts(state.root, accelerator=thispc.probe_accelerator())


def _world(state: State, uri: str) -> World:
    if settings.is_simulated(uri):
        logging.getLogger("vrasnode.simulation").warning("this PC is simulated")
        return pc.world(state, settings=settings.parse(uri))
    return world.pc(state.root, images=state.images, desktop=state.desktop, hypervisor_uri=uri)


def _await_approval(identity: Identity, *, timeout_s: float) -> None:
    """Asks until an administrator decided, or the time is over."""
    if identity.enrolment is None:
        raise ValueError("not enrolled")
    server = Server(identity.enrolment.server, identity=identity)
    deadline = time.monotonic() + timeout_s
    while not identity.approved and time.monotonic() < deadline:
        again_s: float | None = None
        try:
            answer, again_s = server.certificate()
            identity.take(answer)
        except Unreachable as error:
            print(f"vrasnode: {error}", file=sys.stderr)
        if not identity.approved:
            wait_s = (again_s or CERTIFICATE_S) * random.uniform(0.8, 1.2)  # noqa: S311 - not a secret
            time.sleep(max(0.0, min(wait_s, deadline - time.monotonic())))


def _status(state: State, uri: str) -> dict[str, Any]:
    enrolment, certificate = read_enrolment(state.identity), read_certificate(state.identity)
    boot = read_boot(state.images)
    return {
        "name": enrolment.name if enrolment else None,
        "server": enrolment.server if enrolment else None,
        "client_id": enrolment.client_id if enrolment else None,
        "enrolment": str(enrolment.state) if enrolment and enrolment.client_id else "none",
        "certificate_expires": certificate.not_valid_after_utc.isoformat() if certificate else None,
        "agent": "running" if statelock.is_held(state.lock) else "stopped",
        "serial": boot.serial,
        "current": _version(boot.current),
        "next": _version(boot.next),
        "previous": _version(boot.previous),
        "starts": boot.starts,
        "failed": {"serial": boot.failed.serial, "code": boot.failed.code} if boot.failed else None,
        "desktop": _desktop(state, uri),
        "volumes": {volume: _volume_state(record) for volume, record in kept(state.mydoc)},
    }


def _volume_state(record: Record) -> str:
    """As it was kept last; an open one stays open while no agent runs."""
    state = "locking" if record.locking else "locked"
    if record.session and not record.locking:
        state = "open" if record.program else "opening"
    return f"{'broken' if record.broken and not record.session else state}{record.code and f':{record.code}'}"


def _version(version: Version | None) -> dict[str, Any] | None:
    if version is None:
        return None
    return {
        "slot": str(version.slot),
        "manifest": version.manifest,
        "serial": version.serial,
        "proven": version.proven,
    }


def _desktop(state: State, uri: str) -> dict[str, Any]:
    hypervisor: world.Machines
    if settings.is_simulated(uri):
        hypervisor = pc.machines(state, settings=settings.parse(uri))
    else:
        hypervisor = Hypervisor(uri)
    try:
        now, mark = hypervisor.state(NAME), hypervisor.metadata(NAME)
    except HostBroken as error:
        return {"state": "unknown", "manifest": None, "serial": None, "words": error.words}
    finally:
        hypervisor.close()
    return {
        "state": str(now),
        "manifest": mark.manifest if mark else None,
        "serial": mark.serial if mark else None,
    }


def _read_token(file: str) -> str:
    """From a file or, as `-`, from stdin: never an argument, which every user of this PC could read."""
    try:
        if file == "-":
            return sys.stdin.read(MAX_TOKEN_BYTES)
        with Path(file).open(encoding="ascii") as opened:
            return opened.read(MAX_TOKEN_BYTES)
    except (OSError, UnicodeDecodeError) as error:
        raise Refused("bad_token", f"The token file {file} cannot be read: {error}.") from error


def _state(directory: Path) -> State:
    disk.make_directory(directory, mode=STATE_MODE)
    return State(directory.resolve())


class _Line(logging.Formatter):
    """`time pc-sales-01 imaging: staged …`"""

    def __init__(self, pc: str) -> None:
        super().__init__("%(asctime)s %(pc)s %(part)s: %(message)s", "%Y-%m-%d %H:%M:%S")
        self._pc = pc

    def format(self, record: logging.LogRecord) -> str:
        record.pc = self._pc
        record.part = record.name.removesuffix(".part").rpartition(".")[2]
        return super().format(record)


def _log_to_stderr(pc: str) -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(_Line(pc))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("websockets").setLevel(logging.CRITICAL)  # what ends a socket, `contact` knows
    logging.getLogger("urllib3").setLevel(logging.ERROR)


def _exit_code(error: VrasError) -> int:
    if isinstance(error, Refused):
        return EXIT_REFUSED
    if isinstance(error, Unreachable) or error.code == "libvirt_gone":
        return EXIT_UNREACHABLE
    return EXIT_BROKEN if isinstance(error, HostBroken) else EXIT_BUG


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="vrasnode", description=__doc__, formatter_class=_Plain)
    parser.add_argument("--version", action="version", version=f"vrasnode {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    joining = commands.add_parser("enroll", help="make this PC a member of an installation")
    joining.set_defaults(run=enroll)
    joining.add_argument("--server", metavar="URL", help="the management server's address")
    joining.add_argument("--token-file", metavar="F", help="file with the enrolment token; - for stdin")
    joining.add_argument("--name", metavar="N", help="this PC's name (default: its host name)")
    joining.add_argument("--wait", action="store_true", help="until an administrator has decided")
    joining.add_argument("--timeout", type=float, default=600.0, metavar="S", help="for --wait, in seconds")

    running = commands.add_parser("run", help="run the agent in the foreground")
    running.set_defaults(run=run)
    running.add_argument("--memory-mib", type=int, metavar="N", help="memory of the client VM")
    running.add_argument("--vcpus", type=int, metavar="N", help="processors of the client VM")
    running.add_argument("--firmware", type=Firmware, choices=list(Firmware), help="of the client VM")

    running.add_argument("--profile", type=Profile, choices=list(Profile), help="what it is shaped for")
    yes_no = argparse.BooleanOptionalAction
    running.add_argument("--tpm", action=yes_no, default=None, help="whether it has a TPM 2.0 of its own")
    running.add_argument("--secure-boot", action=yes_no, default=None, help="with --firmware efi")
    running.add_argument("--lan-bridge", metavar="NAME", help="bridge of this PC that leads to the LAN")

    running.add_argument(
        "--power-off",
        action="store_true",
        help="when the user shuts the desktop down: copy what was changed, then switch the PC off",
    )
    running.add_argument(
        "--allow-unencrypted-state",
        action="store_true",
        help="open user data although the state directory is not encrypted: for trials; all screens say so",
    )

    showing = commands.add_parser("status", help="show how this PC stands")
    showing.set_defaults(run=status)
    showing.add_argument("--json", action="store_true", help="one JSON object")

    bench.add_to(commands)
    plan.add_to(commands)
    preflight.add_to(commands)
    simulate.add_to(commands)
    cli_stop.add_to(commands)

    for command in (joining, running, showing):
        command.add_argument("--state", type=Path, required=True, metavar="DIR", help="the state directory")
    for command in (joining, running, showing):
        command.add_argument(
            "--hypervisor",
            default=HYPERVISOR,
            metavar="URI",
            help="libvirt's address; sim: for a simulated PC",
        )
    return parser


class _Plain(argparse.RawDescriptionHelpFormatter):
    """Keeps the lines of the list of exit codes."""

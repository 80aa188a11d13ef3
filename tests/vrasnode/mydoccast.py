"""User data on a PC: the office with its doors for keys, a virtual server that keeps files in a folder.

Volumes are real (cryptsetup, qemu-storage-daemon) and so is HTTP. The virtual server is the simulation's: it
reads through the volume's socket before it shows anything, so that what is locked shows nothing.
"""

import os
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from tests.vrasnode.office import Office, Response
from vrasnode import sealing
from vrasnode.contact.identity import Identity
from vrasnode.contact.server import Server
from vrasnode.errors import Refused, Unreachable
from vrasnode.host.tpm import Tpm
from vrasnode.machines.controlchannel import Answer
from vrasnode.mydoc import lockproof
from vrasnode.mydoc.housing import Housing
from vrasnode.mydoc.lent import NOTHING_LENT, Lent
from vrasnode.mydoc.logon import Nonces
from vrasnode.mydoc.means import Means
from vrasnode.mydoc.part import Mydoc
from vrasnode.mydoc.pchalf import Halves
from vrasnode.mydoc.uservolume import UserVolume
from vrasnode.mydoc.volumes import Volumes
from vrasnode.network.controllers import Controllers
from vrasnode.simulation.documents import SimulatedHousing
from vrasnode.wire import codec
from vrasnode.wire.mydoc import Answer as AnswerMessage
from vrasnode.wire.mydoc import (
    Custodian,
    KeyAnswer,
    KeyRequest,
    MydocReport,
    MydocSlice,
    Question,
    Questions,
    RecoveryDeposit,
    VolumeReport,
    VolumeState,
    VolumeWish,
)

LIMIT_S = 120.0
MIB = 1 << 20
ALICE, BOB = "d2719e4c-55b7-4f7e-9a9e-6f3c1c0b7a90", "3f2504e0-4f89-41d3-9a0c-0305e82c3301"
NO_TPM = Tpm("device:/dev/there-is-none")


@dataclass
class DataOffice(Office):
    """The server, with its doors for user data."""

    halves: dict[str, bytes] = field(default_factory=dict)
    deposits: list[RecoveryDeposit] = field(default_factory=list)
    keys_given: list[KeyRequest] = field(default_factory=list)
    questions: list[Question] = field(default_factory=list)
    answers: dict[str, bytes] = field(default_factory=dict)
    custodian_keys: list[X25519PrivateKey] = field(
        default_factory=lambda: [X25519PrivateKey.generate() for _ in range(2)]
    )

    @property
    def custodians(self) -> list[Custodian]:
        return [
            Custodian(fingerprint=str(place), public_key=key.public_key().public_bytes_raw())
            for place, key in enumerate(self.custodian_keys, 1)
        ]

    def recovered(self, deposit: RecoveryDeposit) -> bytes:
        """What both custodians together make of a deposit."""
        opened, purpose = deposit.wrapped, sealing.recovery_purpose(deposit.volume)
        for key in self.custodian_keys:
            opened = sealing.open_sealed(opened, key, purpose=purpose)
        return opened

    def _known(self, path: str, headers: Any, body: bytes) -> Response:
        if path == "/node/v1/mydoc/key":
            request = codec.decode(body, KeyRequest)
            self.keys_given.append(request)
            half = self.halves.setdefault(request.volume, os.urandom(32))
            purpose = sealing.half_purpose(request.volume, request.session)
            answer = KeyAnswer(sealed=sealing.seal(half, request.reply_key, purpose=purpose))
            return 200, codec.encode(answer), {}
        if path == "/node/v1/mydoc/recovery":
            self.deposits.append(codec.decode(body, RecoveryDeposit))
            return 204, b"", {}
        if path == "/node/v1/mydoc/questions":
            given, self.questions = self.questions, []
            return 200, codec.encode(Questions(questions=given)), {}
        if path.startswith("/node/v1/mydoc/answers/"):
            self.answers[path.rpartition("/")[2]] = body
            return 204, b"", {}
        return super()._known(path, headers, body)


class Guest(SimulatedHousing):
    """The virtual server. `hangs`: it answers nothing; `holds_on`: it does not let go of a volume."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(exist_ok=True)
        super().__init__(directory)
        self.directory = directory
        self.calls: list[str] = []
        self.patience: dict[str, float] = {}
        self.args: dict[str, Mapping[str, Any]] = {}  # of the last call
        self.told: list[Mapping[str, object]] = []
        self.tries = 0  # to tell the client VM
        self.program = "first"
        self.hangs = self.holds_on = self.client_vm_off = self.read_only = False
        self.on_call: Callable[[str], None] = lambda op: None

    def call(self, op: str, *, timeout_s: float, **args: Any) -> Answer:
        if op not in ("ping", "volume_usage"):
            self.calls.append(op)
        self.patience[op] = timeout_s
        self.args[op] = args
        self.on_call(op)
        if self.hangs:
            raise Unreachable("service_silent", "The virtual server does not answer.")
        if op == "ping":
            return {"session": self.program}
        if op == "volume_close" and self.holds_on:
            raise Refused("volume_busy", "Something holds the volume.")
        answer = super().call(op, timeout_s=timeout_s, **args)
        return {**answer, "read_only": self.read_only} if op == "volume_usage" else answer

    def begin(self, op: str, **args: Any) -> "Future[Answer]":
        return Future() if self.hangs else super().begin(op, **args)

    def plug(self, volume: str, socket: Path, *, read_only: bool = False) -> None:
        (self.directory / volume).mkdir(exist_ok=True)
        super().plug(volume, socket, read_only=read_only)
        (self.directory / volume / "plugged").write_text(str(socket))

    def overwrite(self) -> None:
        self.calls.append("overwritten")

    def pull_cable(self) -> bool:
        self.calls.append("cable out")
        return not self.hangs

    def push_cable(self) -> None:
        if self.calls[-1:] != ["cable in"]:
            self.calls.append("cable in")

    def unplug(self, volume: str, *, wait_s: float) -> None:
        self.calls.append("unplug")
        super().unplug(volume, wait_s=wait_s)

    def switch_off(self) -> None:
        self.calls.append("switch off")
        self.restart(program="after")

    def restart(self, *, program: str) -> None:
        super().switch_off()
        self.program, self.hangs, self.holds_on = program, False, False

    def tell(self, message: Mapping[str, object]) -> None:
        self.tries += 1
        if self.client_vm_off:
            raise Unreachable("guest_silent", "The client VM is off.")
        self.told.append(message)

    def _mounted(self, serial: str) -> Path:
        files = super()._mounted(serial)
        socket = Path((files.parent / "plugged").read_text())
        if not lockproof.reads_served(files.parent.name, socket):
            raise Refused("volume_gone", "The volume's disk does not answer.")
        return files


class Time:
    """Goes by itself, and further when a test says so."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME) + self.ahead


class StillCrank:
    """A test turns the part itself."""

    def __init__(self, part: UserVolume) -> None:
        self.part = part

    def wake(self) -> None: ...
    def stop(self) -> None:
        self.part.close()


class DataPc:
    """One PC's part for user data, on real volumes in `directory`."""

    client = "100.127.255.243"

    def __init__(
        self,
        directory: Path,
        *,
        office: DataOffice,
        identity: Identity,
        housing: Housing | None = None,
        limit_s: float = LIMIT_S,
        volumes: Volumes | None = None,
    ) -> None:
        self.directory, self.office, self.identity = directory, office, identity
        self._limit_s = limit_s
        self.time: Callable[[], float] = Time()
        self.boot_id = "this boot"
        self.lent: Lent = NOTHING_LENT
        self.welcome = True
        self.heard_at: float | None = None  # None: just now
        self.controller_at = float("-inf")
        self.doubts = 0
        self.blocked: tuple[str, str] | None = None
        self.guest = Guest(directory / "guest")
        self._housing = housing or self.guest
        self.volumes = volumes or Volumes(directory / "mydoc")
        self.reports: list[MydocReport] = []
        self.slice: bytes | None = None
        self.wishes: list[VolumeWish] = []
        self.start()

    def start(self) -> None:
        """An agent begins: what it knows is what lies on the disk."""
        self.nonces = Nonces(clock=self.time)
        self.server = Server(self.office.url, identity=self.identity)
        self.parts: list[UserVolume] = []
        means = Means(
            volumes=self.volumes,
            halves=Halves(self.directory / "mydoc", tpm=NO_TPM),
            keys=self.server,
            housing=self._housing,
            client=self.client,
            server="100.127.255.242",
            boot_id=self.boot_id,
            clock=self.time,
            now=lambda: datetime.now(UTC),
            heard_at=lambda: self.time() if self.heard_at is None else self.heard_at,
            controller_at=lambda: self.controller_at,
            in_doubt=self._doubt,
            is_welcome=lambda: self.welcome,
            knows=self.nonces.take,
            blocked=self.blocked,
            lent=self.lent,
        )
        self.mydoc = Mydoc(
            self.directory / "mydoc",
            means=means,
            server=self.server,
            controllers=Controllers(clock=self.time),
            get_slice=lambda app: self.slice,
            turn=self._turn,
            report=self.reports.append,
            wake=lambda: None,
        )

    def _turn(self, part: UserVolume) -> StillCrank:
        self.parts.append(part)
        return StillCrank(part)

    def _doubt(self) -> None:
        self.doubts += 1

    def restart(self) -> None:
        """The agent ends, as by a kill, and begins again."""
        self.mydoc.close()
        self.start()

    def say(self, *wishes: VolumeWish, asked: int = 0, custodians: Sequence[Custodian] | None = None) -> None:
        """What the server says from now on."""
        self.wishes = list(wishes)
        said = MydocSlice(
            volumes=list(wishes),
            custodians=list(self.office.custodians if custodians is None else custodians),
            asked=asked,
        )
        self.slice = codec.encode(said)

    def step(self) -> None:
        self.mydoc.step()
        for part in list(self.parts):
            while part.step():
                pass

    def until(self, reached: Callable[[], object]) -> None:
        """Turns until then."""
        deadline = time.monotonic() + self._limit_s
        while not reached():
            assert time.monotonic() < deadline, [part.report() for part in self.parts]
            self.step()
            time.sleep(0.005)  # what is done aside needs a moment
        self.step()

    def until_state(self, state: VolumeState, volume: str | None = None) -> VolumeReport:
        self.until(lambda: self.report(volume) and self.report(volume).state is state)
        return self.report(volume)

    def report(self, volume: str | None = None) -> VolumeReport:
        """The newest of a volume, or of the only one."""
        found = self.mydoc.reports()
        return next((one for one in found if volume in (None, one.volume)), None)  # type: ignore[return-value]

    def log_on(self, volume: str = "", *, owner: str = ALICE, nonce: str = "", **changes: Any) -> VolumeWish:
        """A user logs on at this PC, and the server says so."""
        fields: dict[str, Any] = {
            "volume": volume or str(uuid4()),
            "owner": owner,
            "owner_name": "alice",
            "limit_bytes": 16 * MIB,
            "session": str(uuid4()),
            "nonce": nonce or self.nonces.give(),
            **changes,
        }
        wish = VolumeWish(**fields)
        others = [other for other in self.wishes if other.volume != wish.volume]
        self.say(*others, wish)
        return wish

    def opened(self, **changes: Any) -> VolumeWish:
        """A user has logged on, and their volume is open."""
        wish = self.log_on(**changes)
        self.until_state(VolumeState.OPEN, wish.volume)
        self.until(lambda: self.guest.told)
        return wish

    def readable(self, volume: str) -> bool:
        """Whether anybody could read it now."""
        return not self.volumes.prove_locked(volume)

    def ask(self, question: Question, key: X25519PrivateKey) -> AnswerMessage:
        """What somebody at the portal gets."""
        self.office.questions = [question]
        self.say(*self.wishes, asked=secrets.randbelow(1 << 30) + 1)
        self.until(lambda: question.id in self.office.answers)
        purpose = sealing.answer_purpose(question.id)
        opened = sealing.open_sealed(self.office.answers[question.id], key, purpose=purpose)
        return codec.decode(opened, AnswerMessage)

    def close(self) -> None:
        self.mydoc.close()
        self.server.close()
        for path in (self.directory / "mydoc").iterdir():
            if len(path.name) == 36:
                self.volumes.stop(path.name)

"""What starts of the client VM may have passed through, and what was learnt from starts that failed.

wanted by the plan -> started, healthy: proven
                   -> refused by libvirt, or never healthy: failed -> the proven ones -> none at all

So a PC whose graphics card stopped working behind VFIO comes up as it did before, or without; it is said on
its screen and at the server, never a black screen that nobody was told of. A failed set is tried again when
the policy changes, and what libvirt refused also after the PC was restarted: that costs seconds.
"""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from msgspec.structs import replace

from vrasnode.errors import Refused, VrasError
from vrasnode.host import disk
from vrasnode.machines.grants import Grants
from vrasnode.wire import codec
from vrasnode.wire.codec import Message

log = logging.getLogger("vrasnode.devices")

UNHEALTHY = "pass_through_unhealthy"
MAX_FAILED = 8


class Failure(Message, frozen=True):
    """Addresses that were passed through together in a start that failed."""

    pci: list[str]
    code: str
    words: str
    boot_id: str


class Memory(Message, frozen=True):
    """What is kept over a kill. `policy` is the revision under which the failures were seen."""

    policy: str = ""
    proven: list[str] = []
    failures: list[Failure] = []


class Passing:
    """A Grantor. `plan` looks at the devices anew and gives the wanted addresses, the opticals and the
    suspend policy; `get_policy` the revision in force; `tell` hears of each failure."""

    def __init__(
        self,
        path: Path,
        *,
        plan: Callable[[], Grants],
        get_policy: Callable[[], str],
        tell: Callable[[Failure], None],
        boot_id: str,
    ) -> None:
        """Raises HostBroken(disk_failed)."""
        self._path = path
        self._plan = plan
        self._get_policy = get_policy
        self._tell = tell
        self._boot_id = boot_id
        self._memory = _read(path)
        self._tried: tuple[str, ...] | None = None
        self._wanted: tuple[str, ...] = ()

    @property
    def withheld(self) -> dict[str, Failure]:
        """The addresses that the plan passes through and the last start did not get, with the reason."""
        if self._tried is None:
            return {}
        missing = [address for address in self._wanted if address not in self._tried]
        failure = self._failure(self._wanted)
        return dict.fromkeys(missing, failure) if failure else {}

    @property
    def on_trial(self) -> bool:
        return bool(self._tried) and list(self._tried or ()) != self._memory.proven

    def for_start(self) -> Grants:
        grants = self._plan()
        self._wanted = grants.pci
        self._forget_old()
        self._tried = self._choose(grants.pci)
        display = grants.display and self._tried == grants.pci
        return Grants(self._tried, grants.opticals, grants.suspend, display)

    def failed(self, error: VrasError) -> bool:
        if not self._tried or error.code != "pass_through_failed":
            return False
        self._remember_failure(error.code, error.words)
        return True

    def unproven(self) -> None:
        if self.on_trial:
            words = "The client VM did not become healthy with these devices and starts without them."
            self._remember_failure(UNHEALTHY, words)

    def proven(self) -> None:
        if self._tried is not None and list(self._tried) != self._memory.proven:
            self._keep(replace(self._memory, proven=list(self._tried)))

    def _choose(self, wanted: tuple[str, ...]) -> tuple[str, ...]:
        """What is wanted, else what went well before of it, else nothing."""
        before = tuple(address for address in wanted if address in self._memory.proven)
        return next((choice for choice in (wanted, before) if self._failure(choice) is None), ())

    def _failure(self, pci: Sequence[str]) -> Failure | None:
        return next((failure for failure in self._memory.failures if failure.pci == list(pci)), None)

    def _forget_old(self) -> None:
        policy, memory = self._get_policy(), self._memory
        kept = [one for one in memory.failures if one.code == UNHEALTHY or one.boot_id == self._boot_id]
        if policy != memory.policy:
            kept = []
        if (policy, kept) != (memory.policy, memory.failures):
            self._keep(replace(memory, policy=policy, failures=kept))

    def _remember_failure(self, code: str, words: str) -> None:
        failure = Failure(pci=list(self._tried or ()), code=code, words=words, boot_id=self._boot_id)
        log.warning("not started with %s: %s", ", ".join(failure.pci), words)
        failures = [one for one in self._memory.failures if one.pci != failure.pci][-MAX_FAILED:]
        self._keep(replace(self._memory, failures=[*failures, failure]))
        self._tell(failure)

    def _keep(self, memory: Memory) -> None:
        self._memory = memory
        disk.write_file(self._path, codec.encode(memory))


def _read(path: Path) -> Memory:
    data = disk.read_file(path)
    try:
        return codec.decode(data, Memory) if data else Memory()
    except Refused as error:
        log.warning("what was learnt from earlier starts is lost: %s", error.words)
        return Memory()

"""Many simulated PCs in one process: each with its own state directory, keys, agent and machines.

They join with one-time tokens as any PC does, and go on as the same PCs when started again on the same
directory.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from vrasnode.agent import Agent
from vrasnode.building import build
from vrasnode.contact.identity import Identity, Token
from vrasnode.contact.server import Server
from vrasnode.errors import Refused
from vrasnode.host import disk
from vrasnode.machines.options import Options
from vrasnode.places import STATE_MODE, State
from vrasnode.simulation import hardware, pc
from vrasnode.simulation.crank import Crank, Wake
from vrasnode.simulation.metrics import Metrics
from vrasnode.simulation.settings import Settings
from vrasnode.wire.clients import EnrolRequest

log = logging.getLogger("vrasnode.simulation")

THREADS = 8


class Crowd:
    """PCs `<prefix>-001` to `count`, each in a directory of its own below `directory`."""

    def __init__(
        self,
        directory: Path,
        *,
        count: int,
        server: str,
        settings: Settings,
        prefix: str = "sim",
        threads: int = THREADS,
        metrics: Metrics | None = None,
    ) -> None:
        disk.make_directory(directory, mode=STATE_MODE)
        self.metrics = metrics or Metrics()
        self._server = server
        self._settings = settings
        self._threads = threads
        self._crank = Crank(threads=threads)
        names = [f"{prefix}-{number:03}" for number in range(1, count + 1)]
        self._states = {name: State(directory.resolve() / name) for name in names}

    def enrol(self, tokens: Sequence[str], *, stop: Callable[[], bool] = lambda: False) -> None:
        """Makes members of those that are not yet, each with a token of its own.

        Raises Refused(too_few_tokens, …) and Unreachable. Those that joined stay joined.
        """
        new = [name for name, state in self._states.items() if not Identity(state.identity).enrolled]
        if len(tokens) < len(new):
            words = (
                f"{len(new)} PCs are to be enrolled with {len(tokens)} tokens: give one a PC, each on a line."
            )
            raise Refused("too_few_tokens", words)
        for _ in range(len(self._states) - len(new)):
            self.metrics.joined()
        installation = Server(self._server).installation() if new else b""
        with ThreadPoolExecutor(self._threads, "enrol") as pool:
            jobs = [
                pool.submit(self._join, name, Token(text), installation, stop)
                for name, text in zip(new, tokens, strict=False)
            ]
        for job in jobs:
            job.result()

    def run(self) -> None:
        """All agents, until `stop`. Machines run on, as far as they run."""
        self._crank.run([(name, *self._agent(name, state)) for name, state in self._states.items()])

    def stop(self) -> None:
        self._crank.stop()

    def summary(self) -> dict[str, Any]:
        """What they did so far."""
        return {"pcs": len(self._states), **self.metrics.summary()}

    def _join(self, name: str, token: Token, installation: bytes, stop: Callable[[], bool]) -> None:
        if stop():
            return
        state = self._states[name]
        disk.make_directory(state.root, mode=STATE_MODE)
        identity = Identity(state.identity)
        token.check(installation)
        identity.begin(server=self._server, name=name, installation=installation)
        facts = hardware.facts_of(name, model=self._settings.model, seed=self._settings.seed)
        request = EnrolRequest(
            token=token.text,
            name=name,
            csr=identity.certificate_request(),
            hpke_key=identity.hpke_key,
            facts=facts,
        )
        server = Server(self._server, identity=identity)
        identity.take(server.enrol(request))
        server.close()
        self.metrics.joined()

    def _agent(self, name: str, state: State) -> tuple[Agent, Wake]:
        wake = Wake()
        world = pc.world(state, settings=self._settings, watch=partial(self.metrics.note, name))
        agent = build(state, world=world, options=Options(), stop=threading.Event(), wake=wake)
        return agent, wake

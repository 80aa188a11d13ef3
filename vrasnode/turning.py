"""A crank of its own for a part that may have to wait: `agent`'s, in a thread, with a wake of its own."""

import threading

from vrasnode.agent import Agent, Part

END_S = 3.0


class Turning:
    """Turns the part from now until `stop`. What it is in the middle of then ends with the process."""

    def __init__(self, part: Part) -> None:
        self._wake, self._stop = threading.Event(), threading.Event()
        agent = Agent([part], wake=self._wake, stop=self._stop)
        self._thread = threading.Thread(target=agent.run, name=part.name, daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """There is something to do. From any thread."""
        self._wake.set()

    def stop(self) -> None:
        """It gets no further turn."""
        self._stop.set()
        self._wake.set()
        self._thread.join(END_S)

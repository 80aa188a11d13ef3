"""Acts of several people at one instant."""

import threading
from collections.abc import Callable

from django.db import connection

from clients.errors import Refusal


def at_once(*acts: Callable[[], object]) -> list[str]:
    """Runs the acts in threads that start together; how each ended: "", or its refusal's code."""
    gate = threading.Barrier(len(acts))
    ends = ["never ended"] * len(acts)

    def run(place: int, act: Callable[[], object]) -> None:
        gate.wait()
        try:
            act()
            ends[place] = ""
        except Refusal as refusal:
            ends[place] = refusal.code
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(acts)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return ends

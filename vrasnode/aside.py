"""Something done in a thread of its own, so that a crank need not wait for it. It ends with the process."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


def aside(act: Callable[[], T], *, name: str, done: Callable[[], None] = lambda: None) -> "Future[T]":
    """What `act` returns or raises, later; `done` is called then, from that thread."""
    promised: Future[T] = Future()
    promised.set_running_or_notify_cancel()
    promised.add_done_callback(lambda _: done())

    def run() -> None:
        try:
            found = act()
        except BaseException as error:
            promised.set_exception(error)  # whoever looks at the result deals with it
        else:
            promised.set_result(found)

    threading.Thread(target=run, name=name, daemon=True).start()
    return promised

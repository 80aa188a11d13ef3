"""What a command prints, for whoever reads it: `| head -1` is no fault of anybody's."""

import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def until_seen() -> Iterator[None]:
    """Inside, what is printed may have no reader any more: they have seen enough, and the rest is dropped
    without a word. Other connections that break are passed on."""
    try:
        try:
            yield
        finally:
            _flush()
    except BrokenPipeError:
        if not reader_gone():
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is flushed at the end


def reader_gone() -> bool:
    """Whether nobody can read any more what is printed."""
    asked = select.poll()
    asked.register(sys.stdout, 0)  # that the other end is closed is told unasked
    return bool(asked.poll(0))


def _flush() -> None:
    if sys.stdout is not None:
        sys.stdout.flush()

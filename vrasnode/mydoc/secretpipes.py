"""Secrets handed to a program: through pipes that it inherits, so never as arguments, never in a file."""

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

_MOST_BYTES = 4096  # a pipe takes so much at once, whoever reads it and when: pipe(7), PIPE_BUF


@contextmanager
def handed(*secrets: bytes) -> Iterator[list[int]]:
    """One descriptor for each secret, to be given as `pass_fds` and named /dev/fd/N. It can be read once."""
    handles = []
    try:
        for secret in secrets:
            if len(secret) > _MOST_BYTES:
                raise ValueError("a secret is longer than a pipe takes at once")
            read, write = os.pipe()
            handles.append(read)
            try:
                os.write(write, secret)
            finally:
                os.close(write)
        yield handles
    finally:
        for handle in handles:
            os.close(handle)


def run(
    command: Sequence[str], handles: Sequence[int], *, timeout_s: float
) -> "subprocess.CompletedProcess[str]":
    """Runs a program that inherits these and nothing else of ours. Raises OSError, TimeoutExpired."""
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        pass_fds=handles,
        timeout=timeout_s,
        check=False,
    )

"""TPMs by swtpm: each a process with a seed of its own, kept in a directory."""

import socket
import subprocess
import time
from pathlib import Path

from vrasnode.host.tpm import Tpm

START_S = 20.0


def _two_free_ports() -> int:
    """The control port is expected right after the other one."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = int(first.getsockname()[1])
            try:
                second.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port


class Chip:
    """A TPM with its own seed, kept in a directory."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(exist_ok=True)
        port = _two_free_ports()
        address = "type=tcp,bindaddr=127.0.0.1,port"
        self.process = subprocess.Popen(
            [
                *("swtpm", "socket", "--tpm2", "--tpmstate", f"dir={directory}"),
                *("--server", f"{address}={port}", "--ctrl", f"{address}={port + 1}"),
                *("--flags", "not-need-init,startup-clear"),
            ]
        )
        self.tpm = Tpm(f"swtpm:host=127.0.0.1,port={port}")
        deadline = time.monotonic() + START_S
        while not self.tpm.present():
            assert self.process.poll() is None
            assert time.monotonic() < deadline

    def end(self) -> None:
        self.process.terminate()
        self.process.wait()

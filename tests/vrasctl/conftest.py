"""Administrators who use the command line as a program of its own, and disks for them to publish."""

import json
import os
import random
import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.lab.server import Server


@dataclass
class Administrator:
    """Somebody with a home directory, at a shell."""

    home: Path
    server: str = ""
    token: Path | None = None

    def start(self, *arguments: str, **more: Any) -> "subprocess.Popen[str]":
        """Starts `vrasctl`; the caller ends it."""
        env = {name: value for name, value in os.environ.items() if not name.startswith("OPENVRAS_")}
        env |= {"XDG_CONFIG_HOME": str(self.home), "PYTHONPATH": "", "TZ": "UTC"}
        if self.server:
            env["OPENVRAS_SERVER"] = self.server
        if self.token:
            env["OPENVRAS_TOKEN_FILE"] = str(self.token)
        pipe = subprocess.PIPE
        return subprocess.Popen(
            [sys.executable, "-m", "vrasctl", *arguments],
            env=env,
            stdin=more.get("stdin", subprocess.DEVNULL),
            stdout=pipe,
            stderr=pipe,
            text=True,
        )

    def run(self, *arguments: str, said: str | None = None) -> "Ended":
        """Runs `vrasctl` to its end; `said` goes to its standard input."""
        process = self.start(*arguments, stdin=subprocess.DEVNULL if said is None else subprocess.PIPE)
        out, err = process.communicate(said, timeout=60)
        return Ended(process.returncode, out, err)

    def must(self, *arguments: str, said: str | None = None) -> "Ended":
        """Runs `vrasctl`, which is expected to end well."""
        ended = self.run(*arguments, said=said)
        assert ended.code == 0, ended
        return ended

    def json(self, *arguments: str) -> Any:
        return json.loads(self.must(*arguments, "-o", "json").out)


@dataclass
class Ended:
    code: int
    out: str
    err: str


@pytest.fixture(scope="session")
def token_file(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("token") / "token"
    path.write_text(server.new_token())
    return path


@pytest.fixture(scope="session")
def administrator(
    server: Server, token_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> Administrator:
    """Logged in at the lab's server, with a key that the root vouches for."""
    somebody = Administrator(tmp_path_factory.mktemp("home"), server.url, token_file)
    fingerprint = somebody.json("key", "register")["fingerprint"]
    server.manage("keys", "endorse", fingerprint)
    return somebody


@pytest.fixture
def stranger(tmp_path: Path) -> Administrator:
    """Somebody who never logged in anywhere."""
    return Administrator(tmp_path / "stranger")


@pytest.fixture
def disk(tmp_path: Path) -> Callable[..., Path]:
    """Makes disk images: `disk("v1", mib=4, seed=1)` has one partition full of bytes that do not compress."""

    def make(name: str, *, mib: int = 4, seed: int = 0, changed: int | None = None) -> Path:
        path = tmp_path / f"{name}.raw"
        data = bytearray(random.Random(seed).randbytes(mib << 20))
        if changed is not None:
            data[changed << 20 : (changed << 20) + 100] = bytes(100)
        path.write_bytes(boot_sector(sectors=(mib << 11) - 1) + data[512:])
        return path

    return make


def boot_sector(*, sectors: int) -> bytes:
    """An MBR with one Linux partition behind it."""
    entry = struct.pack("<B3sB3sII", 0x80, bytes(3), 0x83, bytes(3), 1, sectors)
    return bytes(446) + entry + bytes(48) + b"\x55\xaa"

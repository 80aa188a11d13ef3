"""Administrators who use the command line as a program of its own, and disks for them to publish."""

import io
import json
import os
import random
import struct
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from tests.lab.server import Server
from tests.pcs import FACTS
from vrasctl import cli
from vrasnode.contact.identity import Identity, Token
from vrasnode.contact.server import Server as NodeServer
from vrasnode.wire.clients import EnrolRequest, FactsReport, HostFacts
from vrasnode.wire.codec import decode, encode
from vrasnode.wire.imaging import Assignment, DeliveryReport, DeliveryStage, ImagingSlice


@dataclass
class Administrator:
    """Somebody with a home directory, at a shell."""

    home: Path
    server: str = ""
    token: Path | None = None

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        """Starts `vrasctl` as a process, to be watched and killed; the caller ends it."""
        return subprocess.Popen(
            [sys.executable, "-m", "vrasctl", *arguments],
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, said: str = "") -> "Ended":
        """Runs `vrasctl` to its end, in this process; `said` is its standard input."""
        out, err = io.StringIO(), io.StringIO()
        with (
            redirect_stdout(out),
            redirect_stderr(err),
            mock.patch.dict(os.environ, self._environment(), clear=True),
            mock.patch.object(sys, "stdin", io.StringIO(said)),
        ):
            code = cli.run(arguments)
        return Ended(code, out.getvalue(), err.getvalue())

    def _environment(self) -> dict[str, str]:
        env = {name: value for name, value in os.environ.items() if not name.startswith("OPENVRAS_")}
        env["XDG_CONFIG_HOME"] = str(self.home)
        if self.server:
            env["OPENVRAS_SERVER"] = self.server
        if self.token:
            env["OPENVRAS_TOKEN_FILE"] = str(self.token)
        return env

    def must(self, *arguments: str, said: str = "") -> "Ended":
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


def administrator_of(server: Server, directory: Path) -> Administrator:
    """Somebody with a token for this server, and with a key that its root vouches for."""
    token = directory / "token"
    token.write_text(server.new_token())
    somebody = Administrator(directory / "home", server.url, token)
    fingerprint = somebody.json("key", "register")["fingerprint"]
    server.manage("keys", "endorse", fingerprint)
    return somebody


@pytest.fixture(scope="session")
def administrator(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Administrator:
    """An administrator of the lab's server."""
    return administrator_of(server, tmp_path_factory.mktemp("administrator"))


@pytest.fixture
def stranger(tmp_path: Path) -> Administrator:
    """Somebody who never logged in anywhere."""
    return Administrator(tmp_path / "stranger")


@pytest.fixture
def enrol(administrator: Administrator, tmp_path: Path) -> Callable[..., "Pc"]:
    """Makes PCs: `enrol("pc-1", group="sales")` waits for approval, unless `approved=True`."""

    def make(name: str, *, group: str, approved: bool = False) -> Pc:
        file = tmp_path / f"{name}.token"
        more = ["--approved"] if approved else []
        administrator.must("pc", "token", "--group", group, "--output", str(file), *more)
        return Pc(administrator.server, file.read_text().strip(), name=name, directory=tmp_path / name)

    return make


class Pc:
    """The part of a PC's agent that speaks with the server, without machines."""

    def __init__(self, url: str, token: str, *, name: str, directory: Path) -> None:
        self._identity = Identity(directory)
        installation = NodeServer(url).installation()
        Token(token).check(installation)
        self._identity.begin(server=url, name=name, installation=installation)
        self._server = NodeServer(url, identity=self._identity)
        request = EnrolRequest(
            token=token,
            name=name,
            csr=self._identity.certificate_request(),
            hpke_key=self._identity.hpke_key,
            facts=FACTS,
        )
        self._identity.take(self._server.enrol(request))

    def describe(self, facts: HostFacts) -> None:
        """Says what it is now."""
        self._server.report("clients", encode(FactsReport(facts=facts)))

    def report(self, stage: DeliveryStage, *, code: str = "", words: str = "") -> None:
        """Says how far it has come with what it is assigned; there has to be something."""
        found = self._server.desired(None)
        assert found is not None
        assigned = decode(found[0].slices["imaging"], ImagingSlice).assignment
        assert assigned is not None
        serial = decode(assigned.payload, Assignment).serial
        self._server.report(
            "imaging", encode(DeliveryReport(serial=serial, stage=stage, code=code, words=words))
        )


@pytest.fixture
def disk(tmp_path: Path) -> Callable[..., Path]:
    """Makes disk images: `disk("v1", mib=4)` has one partition full of bytes that do not compress, the same
    for the same seed (default: the name)."""

    def make(name: str, *, mib: int = 4, seed: str = "", changed: int | None = None) -> Path:
        path = tmp_path / f"{name}.raw"
        data = bytearray(random.Random(seed or name).randbytes(mib << 20))
        if changed is not None:
            data[changed << 20 : (changed << 20) + 100] = bytes(100)
        path.write_bytes(boot_sector(sectors=(mib << 11) - 1) + data[512:])
        return path

    return make


def boot_sector(*, sectors: int) -> bytes:
    """An MBR with one Linux partition behind it."""
    entry = struct.pack("<B3sB3sII", 0x80, bytes(3), 0x83, bytes(3), 1, sectors)
    return bytes(446) + entry + bytes(48) + b"\x55\xaa"

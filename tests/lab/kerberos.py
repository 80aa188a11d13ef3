"""A user's session on a PC of the domain: logs on with a password, then shows tickets and types nothing.

A real Kerberos client (MIT), whose one domain controller is reached through the lab's relay.
"""

import base64
import os
import struct
import subprocess
from contextlib import AbstractContextManager
from pathlib import Path
from unittest import mock

import gssapi
from gssapi.raw import ChannelBindings

from config.demo.directory import REALM, WEB_NAME, Directory

SPNEGO = gssapi.OID.from_int_seq("1.3.6.1.5.5.2")


class Session:
    """`directory` holds its configuration and tickets; several sessions live side by side."""

    def __init__(self, directory: Path, company: Directory, name: str) -> None:
        self.name = name
        self._company = company
        self._config = directory / "krb5.conf"
        self._tickets = directory / f"{name}.tickets"
        port = company.controller.kdc.port
        self._config.write_text(
            f"[libdefaults]\ndefault_realm = {REALM}\ndns_lookup_kdc = false\ndns_lookup_realm = false\n"
            "dns_canonicalize_hostname = false\nrdns = false\nudp_preference_limit = 1\n"
            f"[realms]\n{REALM} = {{\n kdc = 127.0.0.1:{port}\n}}\n"
        )

    def log_on(self, password: str | None = None) -> "Session":
        """Gets a ticket-granting ticket, as Windows does at logon."""
        done = subprocess.run(
            ["kinit", "-c", str(self._tickets), f"{self.name}@{REALM}"],
            input=f"{password or Directory.password_of(self.name)}\n",
            env={**os.environ, "KRB5_CONFIG": str(self._config)},
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return self

    def token(self, *, bound_to: bytes | None = None) -> bytes:
        """A fresh proof for the server. The first fetches a ticket, later ones need no controller."""
        with self._environment():
            self._context = gssapi.SecurityContext(
                name=gssapi.Name(f"{WEB_NAME}@{REALM}", gssapi.NameType.kerberos_principal),
                creds=gssapi.Credentials(usage="initiate", store={"ccache": f"FILE:{self._tickets}"}),
                mech=SPNEGO,
                usage="initiate",
                flags=gssapi.RequirementFlag.mutual_authentication,
                channel_bindings=None if bound_to is None else ChannelBindings(application_data=bound_to),
            )
            return self._context.step() or b""

    def header(self, *, bound_to: bytes | None = None) -> str:
        """The same, as an Authorization header."""
        return f"Negotiate {base64.b64encode(self.token(bound_to=bound_to)).decode()}"

    def believes(self, answer: str) -> bool:
        """Whether the server's WWW-Authenticate header proves that it is the server."""
        with self._environment():
            self._context.step(base64.b64decode(answer.removeprefix("Negotiate ")))
        return self._context.complete

    def set_clock(self, seconds: int) -> None:
        """This PC's clock is so far ahead, as its tickets remember (MIT's ccache format, tag DeltaTime)."""
        data = self._tickets.read_bytes()
        version, length = struct.unpack_from(">HH", data)
        assert version == 0x0504
        tag = struct.pack(">HHii", 1, 8, seconds, 0)
        self._tickets.write_bytes(struct.pack(">HH", version, len(tag)) + tag + data[4 + length :])

    def _environment(self) -> AbstractContextManager[object]:
        return mock.patch.dict(os.environ, KRB5_CONFIG=str(self._config))

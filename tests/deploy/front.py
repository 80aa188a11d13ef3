"""The real nginx with deploy/nginx.conf in front of a real server, with addresses and paths of one test."""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from tests.lab.server import ROOT, Part, Server, loopback

SECRET = "known to nginx and the server"


class Front:
    """nginx on `url`; `sockets` is the server's own web process, `web` a gunicorn beside it."""

    def __init__(self, directory: Path, server: Server) -> None:
        directory.mkdir()
        self.server = server
        self.store = server.directory / "data" / "store"
        self.keys = server.directory / "data" / "keys"
        self._directory = directory
        port, plain, web = (_free_port() for _ in range(3))
        self.url = f"https://127.0.0.1:{port}"
        (directory / "nginx.conf").write_text(self._configuration(port, plain, web))
        gunicorn = [sys.executable, "-m", "gunicorn", "config.wsgi:application", "--threads", "4"]
        limit = re.findall(r"--limit-request-field_size \d+", (ROOT / "deploy" / "serve.sh").read_text())
        gunicorn += [word for said in limit for word in said.split()]
        self.web = Part("gunicorn", [*gunicorn, "--bind", f"127.0.0.1:{web}"], server.env, directory)
        configured = ["-c", str(directory / "nginx.conf"), "-p", str(directory)]
        command = ["nginx", *configured, "-g", "daemon off; user root;"]
        self.nginx = Part("nginx", command, os.environ, directory)
        self._ports = (port, web)

    @contextmanager
    def running(self) -> Iterator["Front"]:
        """Both processes, until the block ends."""
        self._issue()
        try:
            self.web.start()
            self.nginx.start()
            self.nginx.await_ready(lambda: _listens(self._ports[0]))
            self.web.await_ready(lambda: _listens(self._ports[1]))
            yield self
        finally:
            self.nginx.end()
            self.web.end()

    def _configuration(self, port: int, plain: int, web: int) -> str:
        """The file that is deployed, with nothing changed but addresses and paths."""
        here = {
            "listen 80;": f"listen 127.0.0.1:{plain};",
            "listen 443 ssl": f"listen 127.0.0.1:{port} ssl",
            "server web:8000;": f"server 127.0.0.1:{web};",
            "server sockets:8001;": f"server {self.server.url.removeprefix('http://')};",
            "/etc/openvras/front": str(self._directory),
            "/var/lib/openvras/store": str(self.store),
            "/var/lib/openvras/static": str(ROOT / "static"),
            "/var/cache/nginx": str(self._directory),
            "/run/nginx.pid": str(self._directory / "nginx.pid"),
        }
        text = (ROOT / "deploy" / "nginx.conf").read_text()
        for there, replaced in here.items():
            assert there in text, f"deploy/nginx.conf does not say {there!r} any more"
            text = text.replace(there, replaced)
        return text

    def _issue(self) -> None:
        """A certificate for this address, of the authority that PCs pin."""
        (self._directory / "front-secret.conf").write_text(
            f'map $host $front_secret {{ default "{SECRET}"; }}\n'
        )
        (self._directory / "ca.pem").write_bytes((self.keys / "ca.pem").read_bytes())
        authority = x509.load_pem_x509_certificate((self.keys / "ca.pem").read_bytes())
        key_of_authority = load_pem_private_key((self.keys / "ca.key").read_bytes(), password=None)
        assert isinstance(key_of_authority, ec.EllipticCurvePrivateKey)
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "front")]))
            .issuer_name(authority.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(minutes=5))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(
                x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
            )
            .sign(key_of_authority, hashes.SHA256())
        )
        (self._directory / "server.crt").write_bytes(certificate.public_bytes(Encoding.PEM))
        (self._directory / "server.key").write_bytes(
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        )


def _free_port() -> int:
    with loopback(0) as free:
        port: int = free.getsockname()[1]
    return port


def _listens(port: int) -> bool:
    import socket

    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True

"""What this program keeps for its user: where it is logged in, and the publisher's key.

Both lie in `$XDG_CONFIG_HOME/openvras` (default ~/.config/openvras), readable by the user alone.
"""

import json
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from vrasnode.errors import HostBroken, Refused

if TYPE_CHECKING:
    from vrasnode.wire.signatures import Signed


@dataclass(frozen=True)
class Login:
    """A server and the token for it."""

    server: str
    token: str = field(repr=False)
    ca_file: str | None = None


class Account:
    """The files of one user."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "Account":
        """The account that the environment points at (XDG Base Directory Specification)."""
        base = environment.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
        return cls(Path(base) / "openvras")

    @property
    def login_file(self) -> Path:
        return self.directory / "vrasctl.json"

    @property
    def key_file(self) -> Path:
        return self.directory / "publisher.key"

    def login(self) -> Login | None:
        """Where the user is logged in, or None. Raises Refused(bad_config)."""
        try:
            return Login(**json.loads(self.login_file.read_text()))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError) as error:
            raise Refused(
                "bad_config", f"{self.login_file} cannot be read. Delete it and log in again."
            ) from error

    def save(self, login: Login) -> None:
        """Keeps a login, in place of any before. Raises HostBroken(config_not_written)."""
        told = {"server": login.server, "token": login.token, "ca_file": login.ca_file}
        temporary = self._write_temporary(self.login_file, json.dumps(told).encode())
        temporary.rename(self.login_file)
        self._sync()

    def forget(self) -> None:
        """Drops the login."""
        self.login_file.unlink(missing_ok=True)

    def publisher_key(self) -> "PublisherKey":
        """The key that this user signs images with; made on first use. Raises Refused(bad_key)."""
        if not self.key_file.exists():
            self._make_key()
        return PublisherKey(self.key_file)

    def _make_key(self) -> None:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

        pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        temporary = self._write_temporary(self.key_file, pem)
        with suppress(FileExistsError):  # another vrasctl was faster: its key is the user's
            self.key_file.hardlink_to(temporary)
        temporary.unlink()
        self._sync()

    def _write_temporary(self, final: Path, data: bytes) -> Path:
        temporary = final.with_name(f".{final.name}.{secrets.token_hex(4)}")
        try:
            self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise HostBroken("config_not_written", f"{final} cannot be written: {error.strerror}.") from error
        return temporary

    def _sync(self) -> None:
        handle = os.open(self.directory, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


class PublisherKey:
    """An Ed25519 key in a PEM file. PCs accept what it signs once the installation's root vouches for it."""

    def __init__(self, path: Path) -> None:
        """Raises Refused(bad_key) when the file is no such key, or others may read it."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        self.path = path
        if path.stat().st_mode & 0o077:
            raise Refused("bad_key", f"Others may read {path}. If nobody did, run: chmod 600 {path}")
        try:
            key = load_pem_private_key(path.read_bytes(), password=None)
        except (OSError, ValueError, TypeError) as error:
            raise Refused("bad_key", f"{path} is not an Ed25519 key in PEM.") from error
        if not isinstance(key, Ed25519PrivateKey):
            raise Refused("bad_key", f"{path} is not an Ed25519 key in PEM.")
        self._key: Ed25519PrivateKey = key

    @property
    def public(self) -> bytes:
        """The public key, raw."""
        return self._key.public_key().public_bytes_raw()

    @property
    def fingerprint(self) -> str:
        from vrasnode.wire.signatures import fingerprint

        return fingerprint(self.public)

    def sign(self, payload: bytes) -> "Signed":
        """Signs the header of an image's manifest."""
        from vrasnode.wire.signatures import Role, seal

        return seal(payload, Role.IMAGE, self._key)

"""Where replicas lie and how PCs' virtual servers reach the gateway to them. Nothing is asked here."""

from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

SMB_PORT = 445
GATEWAY_PORT = 8443


@dataclass(frozen=True)
class NasSettings:
    """A file server (`smb://host/share/path`) or a folder of this machine (`file:///path`)."""

    url: str
    user: str = ""  # as the file server knows it; `DOMAIN\\name` where it belongs to one
    password: str = field(default="", repr=False)
    keytab: Path | None = None  # of `user`, who is then `name@REALM`: Kerberos, and no password
    tickets: Path | None = None  # where its tickets are kept
    timeout_s: float = 5.0  # to connect

    @property
    def is_folder(self) -> bool:
        return urlsplit(self.url).scheme == "file"

    @property
    def folder(self) -> Path:
        return Path(unquote(urlsplit(self.url).path))

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        return urlsplit(self.url).port or SMB_PORT

    @property
    def share(self) -> str:
        return self._parts[0]

    @property
    def path(self) -> str:
        """Inside the share; empty: its root."""
        return "/".join(self._parts[1:])

    @property
    def _parts(self) -> tuple[str, ...]:
        return PurePosixPath(unquote(urlsplit(self.url).path).strip("/")).parts


@dataclass(frozen=True)
class GatewaySettings:
    """The door to the NAS: it takes, and never gives up what it took."""

    url: str  # as virtual servers reach it
    certificate: Path | None = None
    key: Path | None = None
    authority: Path | None = None  # whom virtual servers believe; None: the system's

    @property
    def port(self) -> int:
        return urlsplit(self.url).port or GATEWAY_PORT

    @property
    def encrypted(self) -> bool:
        return urlsplit(self.url).scheme == "https"


def sound(url: str) -> bool:
    """Whether this names a NAS."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    if parts.query or parts.fragment or parts.username or parts.password:
        return False
    if parts.scheme == "file":
        return not parts.netloc and parts.path.startswith("/") and ".." not in parts.path.split("/")
    share = bool(parts.path.strip("/")) and ".." not in parts.path.split("/")
    return parts.scheme == "smb" and bool(parts.hostname) and share and port != 0

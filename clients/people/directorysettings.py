"""How the company's directory is reached, and which of its groups means which role. Nothing is asked here."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

LDAPS_PORT = 636


@dataclass(frozen=True)
class DirectorySettings:
    """An Active Directory, asked over LDAPS as `bind_dn`; `roles` says the DN of the group for each role."""

    url: str
    authority: Path
    bind_dn: str
    base: str
    roles: Mapping[str, str]
    bind_password: str = field(repr=False)
    timeout_s: float = 5.0  # to connect, and for each answer

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        return urlsplit(self.url).port or LDAPS_PORT

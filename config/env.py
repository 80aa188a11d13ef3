"""The installation's environment variables, read and checked in one place.

Every variable is named here once, with what it is for; `docs/settings.md` is tested against this list.
A fresh clone runs with none set. With OPENVRAS_ENV=production, what has no safe default must be set, and
the server fails at start, naming all that is missing.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

from clients import networks
from clients.networks import Network, ranges
from clients.people.directorysettings import DirectorySettings
from clients.people.rolenames import Role
from mydoc.nas.settings import GatewaySettings, NasSettings, sound

VARIABLES = {
    "OPENVRAS_ENV": "`development` (default) or `production`",
    "OPENVRAS_SECRET_KEY": "Django's secret key; production: required",
    "OPENVRAS_HOSTS": "host names that browsers and PCs use, separated by commas; production: required",
    "OPENVRAS_DATABASE": "`postgres://user@host/name`; unset: SQLite in the data directory",
    "OPENVRAS_DATABASE_PASSWORD_FILE": "file with the database password",
    "OPENVRAS_REDIS": "URL of Redis; default `redis://127.0.0.1:6379/0`; production: required",
    "OPENVRAS_DATA": "directory of the database (SQLite), chunk store and keys; default `./data`",
    "OPENVRAS_KEYS": "directory of the signing keys; default `keys` in the data directory",
    "OPENVRAS_STORE": "directory of the chunk store; default `store` in the data directory",
    "OPENVRAS_IDENTITY": "how PCs prove who they are: `signature` (development) or `mtls` (production)",
    "OPENVRAS_FRONT_SECRET_FILE": "file with the secret by which nginx proves itself; needed for `mtls`",
    "OPENVRAS_DIRECTORY_URL": "the company's Active Directory, `ldaps://host`; unset: local accounts only",
    "OPENVRAS_DIRECTORY_CA": "file with the authority that vouches for the directory's certificate",
    "OPENVRAS_DIRECTORY_BIND_DN": "the server's own account there, which may read",
    "OPENVRAS_DIRECTORY_BIND_PASSWORD_FILE": "file with that account's password",
    "OPENVRAS_DIRECTORY_BASE": "DN below which people are looked for",
    **{
        f"OPENVRAS_DIRECTORY_ROLE_{role.name}": f"DN of the group whose members are {role.value}"
        for role in Role
    },
    "OPENVRAS_COMPANY_NETWORKS": "address ranges of the company's LAN, by commas; production: required",
    "OPENVRAS_KEYTAB_FILE": "keytab of HTTP/host, by which logons of the client VMs are proven (Kerberos)",
    "OPENVRAS_TLS_CERTIFICATE_FILE": "the front's TLS certificate, to which those logons are bound",
    "OPENVRAS_VOLUME_LIMIT_GIB": "how far a user's data volume may grow; default 20",
    "OPENVRAS_LOST_UNDO_HOURS": "how long the server keeps its halves of a lost PC's keys; default 4",
    "OPENVRAS_LOCKOUT_DAYS": "days without contact after which a PC gets no keys; default 30, 0 is never",
    "OPENVRAS_CHECKOUT_REPLICA_HOURS": "how old a replica may be for a usage key to be made; default 48",
    "OPENVRAS_MAIL_HOST": "the mail server, `host` or `host:port`; unset: no mail is sent",
    "OPENVRAS_MAIL_FROM": "whose address mails bear; default `openvras@` and the first of the hosts",
    "OPENVRAS_MAIL_USER": "the server's account there; with one, STARTTLS is demanded",
    "OPENVRAS_MAIL_PASSWORD_FILE": "file with that account's password",
    "OPENVRAS_NAS_URL": "where replicas of user data lie: `smb://host/share/path` or `file:///path`",
    "OPENVRAS_NAS_USER": "the server's account on that file server",
    "OPENVRAS_NAS_PASSWORD_FILE": "file with that account's password",
    "OPENVRAS_NAS_KEYTAB_FILE": "instead of a password: its keytab, for Kerberos",
    "OPENVRAS_GATEWAY_URL": "the gateway to it, as PCs' virtual servers reach it: `https://host:8443`",
    "OPENVRAS_GATEWAY_CERTIFICATE_FILE": "the gateway's TLS certificate; without, it makes one",
    "OPENVRAS_GATEWAY_KEY_FILE": "the key of that certificate",
    "OPENVRAS_GATEWAY_CA": "file with the authority that vouches for that certificate",
    "OPENVRAS_NAME": "name of the installation, shown to people and pinned by PCs; default `OpenVRAS`",
    "OPENVRAS_SWARM": "whether PCs of one place give each other a version's bytes: `on` (default) or `off`",
    "OPENVRAS_IMAGE_DSCP": "DSCP of packets with image bytes; default 1 (lower effort), 8: CS1, 0: none",
    "OPENVRAS_DELTA_BASES": "versions before a new one for which delta frames are made; default 2, 0: none",
    "OPENVRAS_HEARTBEAT_S": "seconds between a PC's heartbeats; default 30",
    "OPENVRAS_REPLICA_EVERY_H": "hours between replicas of a volume, beside those at shutdown; default 24",
    "OPENVRAS_REPLICA_SPREAD_MIN": "minutes over which PCs begin with their replicas; default 30",
    "OPENVRAS_REPLICA_HOLD_S": "seconds that a PC waits for its replica at shutdown; default 120, 0: not",
    "OPENVRAS_REPLICAS_AT_ONCE": "slots: how many PCs copy at once; default 32",
    "OPENVRAS_REPLICA_PATIENCE_DAYS": "working days without a good replica until that is said; default 3",
    "OPENVRAS_POLL_S": "seconds between a PC's looks when no socket nudges it; default 60",
}


@dataclass(frozen=True)
class Environment:
    """What the variables say."""

    production: bool
    values: dict[str, str]

    @classmethod
    def read(cls) -> "Environment":
        values = {name: os.environ[name] for name in VARIABLES if os.environ.get(name)}
        kind = values.get("OPENVRAS_ENV", "development")
        if kind not in ("development", "production"):
            raise ImproperlyConfigured(f"OPENVRAS_ENV is {kind!r}: set it to development or production.")
        environment = cls(production=kind == "production", values=values)
        if environment.production:
            environment._require(
                "OPENVRAS_SECRET_KEY",
                "OPENVRAS_HOSTS",
                "OPENVRAS_DATABASE",
                "OPENVRAS_REDIS",
                "OPENVRAS_IDENTITY",
                "OPENVRAS_FRONT_SECRET_FILE",
                "OPENVRAS_COMPANY_NETWORKS",
            )
            if "OPENVRAS_KEYTAB_FILE" in values:
                environment._require("OPENVRAS_TLS_CERTIFICATE_FILE", who="A keytab in production")
            if values["OPENVRAS_IDENTITY"] != "mtls":
                raise ImproperlyConfigured(
                    "Production knows PCs by TLS certificates: set OPENVRAS_IDENTITY=mtls."
                )
        return environment

    def text(self, name: str, default: str = "") -> str:
        return self.values.get(name, default)

    def number(self, name: str, default: float, *, unit: str = "seconds", zero: bool = False) -> float:
        try:
            number = float(self.text(name, str(default)))
        except ValueError:
            number = -1.0
        if not 0 < number <= 86400 and not (zero and number == 0):
            above = "0, or above it" if zero else "above 0"
            raise ImproperlyConfigured(f"{name} must be a number of {unit} {above} and at most 86400.")
        return number

    def count(self, name: str, default: int) -> int:
        """A number of things, at least one."""
        text = self.text(name, str(default))
        if not (text.isascii() and text.isdecimal() and 0 < int(text) <= 86400):
            raise ImproperlyConfigured(f"{name} must be a whole number above 0 and at most 86400.")
        return int(text)

    def networks(self, name: str) -> list[Network]:
        """Ranges of addresses; in development, where none are set, private ones."""
        try:
            return ranges(self.text(name, networks.PRIVATE))
        except ValueError as error:
            raise ImproperlyConfigured(
                f"{name} must look like 10.20.0.0/16,2001:db8::/32: {error}."
            ) from error

    def file(self, name: str) -> Path | None:
        """The file that the variable names, where it is set. It is read when it is needed."""
        return Path(self.text(name)).resolve() if name in self.values else None

    def path(self, name: str, default: Path) -> Path:
        return Path(self.text(name) or default).resolve()

    def secret(self, name: str) -> str:
        """The content of the file that the variable names; empty when it is not set."""
        if not (path := self.text(name)):
            return ""
        try:
            return Path(path).read_text().strip()
        except OSError as error:
            raise ImproperlyConfigured(f"{name} names a file that cannot be read: {error}") from error

    def database(self, data: Path) -> dict[str, object]:
        """Django's DATABASES entry."""
        url = self.text("OPENVRAS_DATABASE")
        if not url:
            # Six concurrent writers without one lock error: WAL, IMMEDIATE, a patient timeout.
            return {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": data / "openvras.sqlite3",
                "OPTIONS": {
                    "transaction_mode": "IMMEDIATE",
                    "timeout": 20,
                    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
                },
            }
        parts = urlsplit(url)
        if parts.scheme not in ("postgres", "postgresql") or not parts.path.strip("/"):
            raise ImproperlyConfigured("OPENVRAS_DATABASE must look like postgres://user@host:5432/name.")
        return {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": parts.path.strip("/"),
            "USER": unquote(parts.username or ""),
            "PASSWORD": self.secret("OPENVRAS_DATABASE_PASSWORD_FILE"),
            "HOST": unquote(parts.hostname or ""),
            "PORT": parts.port or 5432,
            "CONN_MAX_AGE": 60,
        }

    def directory(self) -> DirectorySettings | None:
        """The company's directory; None when none is named."""
        prefix = "OPENVRAS_DIRECTORY_"
        given = [name for name in self.values if name.startswith(prefix)]
        if not given:
            return None
        needed = ("URL", "CA", "BIND_DN", "BIND_PASSWORD_FILE", "BASE", "ROLE_ADMINISTRATOR")
        self._require(*(prefix + name for name in needed), who="A directory")
        url = urlsplit(self.text(prefix + "URL"))
        if url.scheme != "ldaps" or not url.hostname:
            raise ImproperlyConfigured(f"{prefix}URL must look like ldaps://dc1.example.co.jp: nothing else.")
        roles = {role.value: self.text(f"{prefix}ROLE_{role.name}") for role in Role}
        return DirectorySettings(
            url=self.text(prefix + "URL"),
            authority=Path(self.text(prefix + "CA")).resolve(),
            bind_dn=self.text(prefix + "BIND_DN"),
            bind_password=self.secret(prefix + "BIND_PASSWORD_FILE"),
            base=self.text(prefix + "BASE"),
            roles={role: group for role, group in roles.items() if group},
        )

    def nas(self, data: Path) -> NasSettings | None:
        """Where replicas lie; None where none are made. `data`: where its tickets are kept."""
        url = self.text("OPENVRAS_NAS_URL")
        if not url:
            return None
        if not sound(url):
            raise ImproperlyConfigured(
                "OPENVRAS_NAS_URL must look like smb://nas.example.co.jp/share/folder or file:///folder."
            )
        user, keytab = self.text("OPENVRAS_NAS_USER"), self.file("OPENVRAS_NAS_KEYTAB_FILE")
        if url.startswith("smb:"):
            proof = "OPENVRAS_NAS_KEYTAB_FILE" if keytab else "OPENVRAS_NAS_PASSWORD_FILE"
            self._require("OPENVRAS_NAS_USER", proof, who="A NAS")
        if keytab and not all(user.partition("@")):
            raise ImproperlyConfigured("With OPENVRAS_NAS_KEYTAB_FILE, OPENVRAS_NAS_USER is name@REALM.")
        return NasSettings(
            url=url,
            user=user,
            password=self.secret("OPENVRAS_NAS_PASSWORD_FILE"),
            keytab=keytab,
            tickets=data / "nas-tickets" if keytab else None,
        )

    def gateway(self) -> GatewaySettings | None:
        """The door to the NAS; None where there is none."""
        url = self.text("OPENVRAS_GATEWAY_URL")
        if not url:
            return None
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/"):
            raise ImproperlyConfigured("OPENVRAS_GATEWAY_URL must look like https://replicas.example:8443.")
        files = ("OPENVRAS_GATEWAY_CERTIFICATE_FILE", "OPENVRAS_GATEWAY_KEY_FILE")
        if parts.scheme == "https":
            brought = files if any(name in self.values for name in files) else ()
            self._require("OPENVRAS_NAS_URL", *brought, who="A gateway")
        elif self.production:
            raise ImproperlyConfigured("In production OPENVRAS_GATEWAY_URL begins with https.")
        certificate, key = (self.file(name) for name in files)
        return GatewaySettings(
            url=url.rstrip("/"), certificate=certificate, key=key, authority=self.file("OPENVRAS_GATEWAY_CA")
        )

    def _require(self, *names: str, who: str = "Production") -> None:
        if missing := [name for name in names if name not in self.values]:
            told = "\n".join(f"  {name}: {VARIABLES[name]}" for name in missing)
            raise ImproperlyConfigured(f"{who} needs these environment variables:\n{told}")

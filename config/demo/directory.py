"""A company's directory for the tests: a real domain controller with a cast, and what happens to its people.

- alice: in east, in sales, in employees: nested three deep; bob: in no group of ours
- carol: administrator by a nested group, and employee; dave: approver; erin: auditor; frank: help desk;
  grace: image maker
- heidi: employee, and in 400 groups more; ivan: employee through two groups that contain each other
"""

import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import ldap
from ldap.ldapobject import LDAPObject

from clients.people.directorysettings import DirectorySettings
from clients.people.rolenames import Role
from config.demo import memberserver
from config.demo.authority import Authority
from config.demo.domaincontroller import (
    ADMINISTRATOR,
    ADMINISTRATOR_PASSWORD,
    BASE,
    REALM,
    DomainController,
    recipe,
)
from config.demo.lan import Lan
from config.demo.memberserver import ACCOUNT, MemberServer
from config.demo.processes import run
from vrasnode.servicevm.build import cache as cache_of

OFFICE = f"OU=Office,{BASE}"
SERVICE = "svc-openvras"  # the account with which the server looks
WEB = "svc-web"  # the account of the server's name, for which tickets are made out
WEB_NAME = f"HTTP/vras.{REALM.lower()}"
GROUPS = {
    "vras-administrators": ["headquarters"],
    "headquarters": ["carol"],
    "vras-image-makers": ["grace"],
    "vras-approvers": ["dave"],
    "vras-auditors": ["erin"],
    "vras-help-desk": ["frank"],
    "vras-employees": ["sales", "carol", "heidi", "ring"],
    "sales": ["east"],
    "east": ["alice"],
    "ring": ["rung"],
    "rung": ["ring", "ivan"],
}
PEOPLE = ["alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi", "ivan", SERVICE, WEB, ACCOUNT]
SECONDS_TO_1970 = 11644473600  # since 1601, as the directory counts
ENABLED, DISABLED = b"512", b"514"  # userAccountControl: a normal account, and one that is disabled


class Directory:
    """The directory as its administrators see it. Names are sAMAccountNames."""

    def __init__(self, controller: DomainController) -> None:
        self.controller = controller
        self.url = controller.url
        self.base = OFFICE
        self.authority = controller.authority.file

    def settings(self, **changed: Any) -> DirectorySettings:
        """What the server is told of it."""
        place = DirectorySettings(
            url=self.url,
            authority=self.authority,
            bind_dn=self.dn(SERVICE),
            bind_password=self.password_of(SERVICE),
            base=self.base,
            roles={role.value: self.dn(f"vras-{role.value}s".replace("desks", "desk")) for role in Role},
        )
        return replace(place, **changed)

    @staticmethod
    def password_of(name: str) -> str:
        return f"Logs-on-as-{name}-1"

    @staticmethod
    def dn(name: str) -> str:
        return f"CN={name},{OFFICE}"

    def add_user(self, name: str) -> str:
        """A new enabled user; returns their objectGUID."""
        with self._bound() as link:
            link.add_s(
                self.dn(name),
                [
                    ("objectClass", [b"user"]),
                    ("sAMAccountName", [name.encode()]),
                    ("userPrincipalName", [f"{name}@{REALM.lower()}".encode()]),
                    ("givenName", [name.capitalize().encode()]),
                    ("mail", [f"{name}@{REALM.lower()}".encode()]),
                    ("unicodePwd", [f'"{self.password_of(name)}"'.encode("utf-16-le")]),
                    ("userAccountControl", [ENABLED]),
                ],
            )
        return self.guid(name)

    def keytab(self, directory: Path) -> Path:
        """A file with the keys of the server's name."""
        file = directory / "openvras.keytab"
        if not file.exists():
            self.controller.export_keytab(file, f"{WEB_NAME}@{REALM}")
        return file

    def expire(self, name: str, at: datetime) -> None:
        """The account ends then."""
        filetime = (int(at.timestamp()) + SECONDS_TO_1970) * 10**7
        self._change(name, ldap.MOD_REPLACE, "accountExpires", str(filetime).encode())

    def lock_out(self, name: str) -> None:
        """Three wrong passwords, where three are one too many."""
        self._set_of_domain("lockoutThreshold", b"3")
        try:
            for _try in range(3):
                with suppress(ldap.INVALID_CREDENTIALS), self._bound(self.dn(name), "not theirs"):
                    pass
        finally:
            self._set_of_domain("lockoutThreshold", b"0")

    def add_group(self, name: str) -> None:
        with self._bound() as link:
            _add_group(link, name)

    def add_groups_for(self, member: str, count: int) -> None:
        """So many new groups, each with this member."""
        with self._bound() as link:
            for number in range(count):
                _add_group(link, f"{member}-{number:03}", member)

    def join(self, group: str, member: str) -> None:
        self._change(group, ldap.MOD_ADD, "member", self.dn(member).encode())

    def leave(self, group: str, member: str) -> None:
        self._change(group, ldap.MOD_DELETE, "member", self.dn(member).encode())

    def disable(self, name: str) -> None:
        self._change(name, ldap.MOD_REPLACE, "userAccountControl", DISABLED)

    def enable(self, name: str) -> None:
        self._change(name, ldap.MOD_REPLACE, "userAccountControl", ENABLED)

    def rename(self, name: str, to: str) -> None:
        """Another logon name and another DN, as after a wedding: the same person."""
        with self._bound() as link:
            link.rename_s(self.dn(name), f"CN={to}")
            names = {"sAMAccountName": to, "userPrincipalName": f"{to}@{REALM.lower()}"}
            link.modify_s(
                self.dn(to), [(ldap.MOD_REPLACE, name, [text.encode()]) for name, text in names.items()]
            )

    def remove(self, guid: str) -> None:
        """Whoever that is by now; nothing when they are gone already."""
        with self._bound() as link, suppress(ldap.NO_SUCH_OBJECT):
            link.delete_s(f"<GUID={guid}>")

    def guid(self, name: str) -> str:
        with self._bound() as link:
            found = link.search_s(self.dn(name), ldap.SCOPE_BASE, "(objectClass=*)", ["objectGUID"])
        return str(uuid.UUID(bytes_le=found[0][1]["objectGUID"][0]))

    def _change(self, name: str, kind: int, attribute: str, value: bytes) -> None:
        with self._bound() as link:
            link.modify_s(self.dn(name), [(kind, attribute, [value])])

    def _set_of_domain(self, attribute: str, value: bytes) -> None:
        with self._bound() as link:
            link.modify_s(BASE, [(ldap.MOD_REPLACE, attribute, [value])])

    @contextmanager
    def _bound(self, dn: str = ADMINISTRATOR, password: str = ADMINISTRATOR_PASSWORD) -> Iterator[LDAPObject]:
        link = ldap.initialize(self.url)
        link.set_option(ldap.OPT_X_TLS_CACERTFILE, str(self.authority))
        link.set_option(ldap.OPT_X_TLS_REQUIRE_CERT, ldap.OPT_X_TLS_DEMAND)
        link.set_option(ldap.OPT_X_TLS_NEWCTX, 0)
        link.set_option(ldap.OPT_REFERRALS, 0)
        link.simple_bind_s(dn, password)
        try:
            yield link
        finally:
            link.unbind_s()


def kept(cache: Path) -> Path:
    """The archive of a provisioned controller with the cast: made once, then kept. Beside it is that of its
    file server (`member`)."""
    folder = cache / f"directory-{recipe(Path(__file__), Path(memberserver.__file__))}"
    cache_of.made_once(folder, _make)
    return folder / "controller.tar.gz"


def member(archive: Path) -> Path:
    """The archive of the file server that has joined the kept controller."""
    return archive.with_name("member.tar.gz")


def _make(scratch: Path, into: Path) -> None:
    archive = into / "controller.tar.gz"
    # Samba's sockets have names of at most 107 bytes, and a source tree may lie deep.
    with tempfile.TemporaryDirectory(prefix="openvras-dc-") as name:
        short = Path(name)
        with (
            Lan() as lan,
            DomainController(lan, short / "dc", Authority(scratch), archive=None) as controller,
        ):
            _furnish(Directory(controller))
            place, share = short / "nas", scratch / "share"
            with MemberServer(controller, place, share=share, archive=None) as server:
                pass
        for state, kept_as in ((controller.state, archive), (server.state, member(archive))):
            run(["tar", "--create", "--gzip", "--xattrs", "--file", str(kept_as), "-C", str(state), "."])


def _furnish(directory: Directory) -> None:
    with directory._bound() as link:
        link.add_s(OFFICE, [("objectClass", [b"organizationalUnit"])])
    for name in PEOPLE:
        directory.add_user(name)
    for name in GROUPS:
        directory.add_group(name)
    for name, members in GROUPS.items():
        for member in members:
            directory.join(name, member)
    directory.add_groups_for("heidi", 400)
    directory._change(WEB, ldap.MOD_ADD, "servicePrincipalName", WEB_NAME.encode())
    directory._change(WEB, ldap.MOD_REPLACE, "msDS-SupportedEncryptionTypes", b"24")  # AES


def _add_group(link: LDAPObject, name: str, *members: str) -> None:
    attributes = [("objectClass", [b"group"]), ("sAMAccountName", [name.encode()])]
    if members:
        attributes.append(("member", [Directory.dn(member).encode() for member in members]))
    link.add_s(Directory.dn(name), attributes)

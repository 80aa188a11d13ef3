"""What is wrong with the connection to the company's directory: asked step by step, said in words.

A step is made only when the one before it went well, so that the first "no" is the cause. Nothing is changed.
"""

import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass

import ldap
from django.db import DatabaseError
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from ldap.ldapobject import LDAPObject

from clients.errors import Refusal
from clients.people import directory, roles
from clients.people.directorysettings import DirectorySettings
from clients.people.rolenames import Role

# OpenSSL's X509_V_ERR_…, verify(1ssl)
EXPIRED, NOT_YET, UNKNOWN = 10, 9, {2, 18, 19, 20, 21}
OTHER_NAME, OTHER_ADDRESS = 62, 64


@dataclass(frozen=True)
class Finding:
    """One step: whether it went well, and what was seen or what to do."""

    code: str
    good: bool
    words: str


class _Stopped(Exception):
    """A step said no: the next ones would only say so again."""

    def __init__(self, code: str, words: str | Promise) -> None:
        super().__init__(code)
        self.finding = Finding(code, False, str(words))


def findings(settings: DirectorySettings | None, *, user: str = "") -> Iterator[Finding]:
    """One finding after the other, up to one that makes the rest pointless. `user` is looked for too."""
    try:
        if settings is None:
            raise _Stopped("none", _("No directory is named: set OPENVRAS_DIRECTORY_URL."))
        yield _host(settings)
        yield _certificate(settings)
        with directory.asked(settings) as link:
            yield Finding("bind", True, _("%(dn)s is let in.") % {"dn": settings.bind_dn})
            yield _base(link, settings)
            yield _clock(link)
            yield from _groups(link, settings)
            if user:
                yield _user(link, settings, user)
    except _Stopped as stopped:
        yield stopped.finding
    except Refusal as refusal:
        yield Finding(refusal.code, False, str(refusal.words))
    yield _local()


def _host(settings: DirectorySettings) -> Finding:
    try:
        found = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)
    except OSError:
        raise _Stopped(
            "host", _("The name %(host)s is not known: look at DNS.") % {"host": settings.host}
        ) from None
    addresses = ", ".join(sorted({str(entry[4][0]) for entry in found}))
    return Finding(
        "host", True, _("%(host)s is %(addresses)s.") % {"host": settings.host, "addresses": addresses}
    )


def _certificate(settings: DirectorySettings) -> Finding:
    """TCP and TLS: the handshake that LDAPS begins with."""
    where = {"host": settings.host, "port": settings.port}
    try:
        context = ssl.create_default_context(cafile=str(settings.authority))
    except (OSError, ssl.SSLError):
        words = _("%(file)s holds no certificate that can be read: set OPENVRAS_DIRECTORY_CA.")
        raise _Stopped("authority", words % {"file": settings.authority}) from None
    try:
        link = socket.create_connection((settings.host, settings.port), timeout=settings.timeout_s)
    except TimeoutError:
        words = _("%(host)s does not answer at port %(port)s: look at the network.")
        raise _Stopped("tcp", words % where) from None
    except OSError:
        raise _Stopped("tcp", _("Nothing answers at %(host)s, port %(port)s.") % where) from None
    with link:
        try:
            with context.wrap_socket(link, server_hostname=settings.host):
                return Finding("certificate", True, _("The certificate of %(host)s is good.") % where)
        except ssl.SSLCertVerificationError as error:
            raise _Stopped("certificate", _certificate_words(error) % where) from None
        except TimeoutError:
            raise _Stopped(
                "slow", _("%(host)s takes the connection and then says nothing.") % where
            ) from None
        except OSError:
            raise _Stopped(
                "tls", _("What answers at %(host)s, port %(port)s speaks no TLS.") % where
            ) from None


def _certificate_words(error: ssl.SSLCertVerificationError) -> str:
    if error.verify_code == EXPIRED:
        return _("The certificate of %(host)s has expired: renew it there.")
    if error.verify_code == NOT_YET:
        return _("The certificate of %(host)s is not valid yet: compare the clocks.")
    if error.verify_code in UNKNOWN:
        return _("The certificate of %(host)s is of an authority that OPENVRAS_DIRECTORY_CA does not name.")
    if error.verify_code in (OTHER_NAME, OTHER_ADDRESS):
        return _("The certificate is for another name than %(host)s: use a name that it holds.")
    return _("The certificate of %(host)s is refused.")


def _base(link: LDAPObject, settings: DirectorySettings) -> Finding:
    try:
        link.search_s(settings.base, ldap.SCOPE_BASE, "(objectClass=*)", ["objectClass"])
    except (ldap.NO_SUCH_OBJECT, ldap.INVALID_DN_SYNTAX):
        words = _("%(dn)s is not in the directory: set OPENVRAS_DIRECTORY_BASE.") % {"dn": settings.base}
        raise _Stopped("base", words) from None
    return Finding("base", True, _("People are looked for below %(dn)s.") % {"dn": settings.base})


def _clock(link: LDAPObject) -> Finding:
    """Kerberos proves nothing where clocks differ by more than five minutes."""
    there = directory.position(link).time
    off_s = round((timezone.now() - there).total_seconds()) if there else 0
    if abs(off_s) <= 300:
        return Finding("clock", True, _("This server's clock is the directory's."))
    words = _(
        "This server's clock is %(seconds)s seconds away from the directory's, "
        "so no logon can be proven: set it."
    )
    return Finding("clock", False, words % {"seconds": off_s})


def _groups(link: LDAPObject, settings: DirectorySettings) -> Iterator[Finding]:
    for role in Role:
        group = settings.roles.get(role.value)
        if group is None:
            continue
        there = directory.group_sid(link, group) is not None
        words = (
            _("Who is in %(dn)s is %(role)s.")
            if there
            else _("%(dn)s is no security group of the directory, so nobody is %(role)s by it.")
        )
        yield Finding(f"role:{role.value}", there, words % {"dn": group, "role": role.label})


def _user(link: LDAPObject, settings: DirectorySettings, name: str) -> Finding:
    person = directory.find(link, settings, name)
    if person is None:
        words = _("Nobody below %(dn)s logs on as %(name)s.") % {"dn": settings.base, "name": name}
        return Finding("user", False, words)
    if not person.enabled:
        return Finding("user", False, _("%(name)s is disabled in the directory.") % {"name": name})
    has = directory.roles_of(link, settings, person.dn)
    if not has:
        return Finding("user", False, _("%(name)s is in none of these groups: no role.") % {"name": name})
    told = ", ".join(str(role.label) for role in Role if role in has)
    return Finding("user", True, _("%(name)s has these roles: %(roles)s.") % {"name": name, "roles": told})


def _local() -> Finding:
    """Whoever lets the others in when the directory is away."""
    try:
        there = roles.local_administrator()
    except DatabaseError:
        return Finding("database", False, _("The database does not answer, or is not migrated."))
    if there:
        return Finding("local", True, _("A local administrator can log in without the directory."))
    words = _("Nobody can log in while the directory is away: make one by `manage.py createsuperuser`.")
    return Finding("local", False, words)

"""The company's directory, over LDAPS: who somebody is, and what they are. The one module that speaks LDAP.

Groups are read as `tokenGroups` (MS-ADTS §3.1.1.4.5.19): the directory itself follows nested groups, also
through a loop, in one answer. Certificates are always checked; nothing waits longer than the settings say.
"""

import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import ldap
import ldap.filter
from django.utils.translation import gettext_lazy as _
from ldap.ldapobject import LDAPObject

from clients.directorysettings import DirectorySettings
from clients.errors import Refusal
from clients.rolenames import Role

ATTRIBUTES = ["objectGUID", "sAMAccountName", "givenName", "sn", "mail", "userAccountControl"]
# A user is found by the short name and by name@domain.
PERSON = (
    "(&(objectCategory=person)(objectClass=user)(|(sAMAccountName=%(user)s)(userPrincipalName=%(user)s)))"
)
DISABLED = 0x2  # userAccountControl ADS_UF_ACCOUNTDISABLE (MS-ADTS §2.2.16)


class DirectoryFailed(Refusal):
    """The directory could not be asked."""

    status = 503


@dataclass(frozen=True)
class Person:
    """Somebody of the directory. `guid` stays when all else changes."""

    dn: str
    guid: uuid.UUID
    name: str
    given_name: str
    family_name: str
    mail: str
    enabled: bool


def options(settings: DirectorySettings) -> dict[int, object]:
    """What every connection is set to. The context of TLS comes last: it takes over what stands before."""
    return {
        ldap.OPT_PROTOCOL_VERSION: ldap.VERSION3,
        ldap.OPT_REFERRALS: 0,
        ldap.OPT_NETWORK_TIMEOUT: settings.timeout_s,
        ldap.OPT_TIMEOUT: settings.timeout_s,
        # Without it, libldap 2.5 waits for ever (and busily) for a TLS handshake that does not go on.
        ldap.OPT_CONNECT_ASYNC: 1,
        ldap.OPT_X_TLS_CACERTFILE: str(settings.authority),
        ldap.OPT_X_TLS_REQUIRE_CERT: ldap.OPT_X_TLS_DEMAND,
        ldap.OPT_X_TLS_NEWCTX: 0,
    }


@contextmanager
def asked(settings: DirectorySettings) -> Iterator[LDAPObject]:
    """A connection, bound as the server's own account. Raises DirectoryFailed if anything fails inside."""
    link = ldap.initialize(settings.url)
    try:
        for option, value in options(settings).items():
            link.set_option(option, value)
        link.simple_bind_s(settings.bind_dn, settings.bind_password)
        yield link
    except ldap.LDAPError as error:
        raise failed(error) from error
    finally:
        link.unbind_ext_s()


def find(link: LDAPObject, settings: DirectorySettings, name: str) -> Person | None:
    """The one person who logs on by this name."""
    words = PERSON % {"user": ldap.filter.escape_filter_chars(name)}
    return _only(link.search_s(settings.base, ldap.SCOPE_SUBTREE, words, ATTRIBUTES))


def find_again(link: LDAPObject, settings: DirectorySettings, guid: uuid.UUID) -> Person | None:
    """The person whom we know, under whatever name; None when they are gone."""
    escaped = "".join(f"\\{byte:02x}" for byte in guid.bytes_le)
    return _only(link.search_s(settings.base, ldap.SCOPE_SUBTREE, f"(objectGUID={escaped})", ATTRIBUTES))


def read(link: LDAPObject, dn: str) -> Person | None:
    """The person at this place of the tree."""
    return _only(link.search_s(dn, ldap.SCOPE_BASE, "(objectClass=*)", ATTRIBUTES))


def roles_of(link: LDAPObject, settings: DirectorySettings, dn: str) -> set[Role]:
    """The roles that this person's groups mean, nested ones too. A group that is gone gives no role."""
    found = link.search_s(dn, ldap.SCOPE_BASE, "(objectClass=*)", ["tokenGroups"])
    sids = set(found[0][1].get("tokenGroups", []))
    return {Role(role) for role, group in settings.roles.items() if group_sid(link, group) in sids}


def group_sid(link: LDAPObject, dn: str) -> bytes | None:
    """The security id of a group; None when there is no such group, or when it is for mail only."""
    try:
        found = link.search_s(dn, ldap.SCOPE_BASE, "(objectClass=group)", ["objectSid", "groupType"])
    except (ldap.NO_SUCH_OBJECT, ldap.INVALID_DN_SYNTAX):
        return None
    if not found or not int(found[0][1]["groupType"][0]) & SECURITY:
        return None
    return bytes(found[0][1]["objectSid"][0])


SECURITY = 0x80000000  # groupType GROUP_TYPE_SECURITY_ENABLED (MS-ADTS §2.2.12)


def failed(error: ldap.LDAPError) -> DirectoryFailed:
    """What went wrong, in words for people; the directory's own text stays out of pages."""
    if isinstance(error, ldap.TIMEOUT):
        return DirectoryFailed("directory_slow", _("The company's directory does not answer in time."))
    if isinstance(error, ldap.SERVER_DOWN | ldap.CONNECT_ERROR):
        return DirectoryFailed("directory_away", _("The company's directory cannot be reached."))
    if isinstance(error, ldap.INVALID_CREDENTIALS):
        return DirectoryFailed(
            "directory_bind", _("The company's directory refuses this server's own account.")
        )
    return DirectoryFailed("directory_failed", _("The company's directory could not answer."))


def _only(found: list[tuple[str | None, Mapping[str, list[bytes]]]]) -> Person | None:
    people = [(dn, attributes) for dn, attributes in found if dn is not None]  # the rest refer elsewhere
    if len(people) != 1:
        return None
    dn, attributes = people[0]

    def text(name: str) -> str:
        return attributes.get(name, [b""])[0].decode(errors="replace")

    return Person(
        dn=dn,
        guid=uuid.UUID(bytes_le=attributes["objectGUID"][0]),
        name=text("sAMAccountName"),
        given_name=text("givenName"),
        family_name=text("sn"),
        mail=text("mail"),
        enabled=not int(text("userAccountControl") or "0") & DISABLED,
    )

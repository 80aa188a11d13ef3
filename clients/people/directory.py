"""The company's directory, over LDAPS: who somebody is, and what they are. The one module that speaks LDAP.

Groups are read as `tokenGroups` (MS-ADTS §3.1.1.4.5.19): the directory itself follows nested groups, also
through a loop, in one answer. Certificates are always checked; nothing waits longer than the settings say.
"""

import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import ldap
import ldap.dn
import ldap.filter
from django.utils.translation import gettext_lazy as _
from ldap.controls import RequestControl
from ldap.ldapobject import LDAPObject

from clients.errors import Refusal
from clients.people.directorysettings import DirectorySettings
from clients.people.rolenames import Role

COMPUTED = "msDS-User-Account-Control-Computed"
ATTRIBUTES = [
    *("objectGUID", "sAMAccountName", "givenName", "sn", "mail", "userAccountControl", "accountExpires"),
    COMPUTED,
]
# A user is found by the short name and by name@domain.
PERSON = (
    "(&(objectCategory=person)(objectClass=user)(|(sAMAccountName=%(user)s)(userPrincipalName=%(user)s)))"
)
DISABLED = 0x2  # userAccountControl ADS_UF_ACCOUNTDISABLE (MS-ADTS §2.2.16)
LOCKED_OUT = 0x10  # ADS_UF_LOCKOUT, only in what the directory computes (MS-ADTS §3.1.1.4.5.17)
NEVER = (0, (1 << 63) - 1)  # accountExpires (MS-ADA1 §2.1)
SHOW_DELETED = RequestControl("1.2.840.113556.1.4.417", True, None)  # MS-ADTS §3.1.1.3.4.1.14
IN_CHAIN = "1.2.840.113556.1.4.1941"  # MS-ADTS §3.1.1.3.4.4.3
MAX_CHANGES = 900  # a directory gives at most 1000 at once: more, and everything counts as changed


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
    locked_out: bool = False
    expires: datetime | None = None  # the account, not its password


@dataclass(frozen=True)
class Position:
    """Up to which of its changes a controller has come. Numbers of two controllers have no order."""

    controller: str  # and which life of it: one that is restored from a backup counts anew
    usn: int
    base: str  # of the domain
    time: datetime | None = None  # by its clock


@dataclass(frozen=True)
class Changes:
    """Who changed, and whether groups did that may make employees. `everything`: too much to tell."""

    people: frozenset[uuid.UUID] = frozenset()
    groups: bool = False
    everything: bool = False


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


def find_by_sid(link: LDAPObject, settings: DirectorySettings, sid: bytes) -> Person | None:
    """The person with this security id, which a Kerberos ticket names."""
    escaped = "".join(f"\\{byte:02x}" for byte in sid)
    words = f"(&(objectCategory=person)(objectClass=user)(objectSid={escaped}))"
    return _only(link.search_s(settings.base, ldap.SCOPE_SUBTREE, words, ATTRIBUTES))


def find_principal(link: LDAPObject, settings: DirectorySettings, name: str, realm: str) -> Person | None:
    """The one person whom Kerberos may call `name`; None when it could be two."""
    short, full = (ldap.filter.escape_filter_chars(text) for text in (name, f"{name}@{realm}"))
    words = (
        f"(&(objectCategory=person)(objectClass=user)(|(sAMAccountName={short})(userPrincipalName={full})))"
    )
    return _only(link.search_s(settings.base, ldap.SCOPE_SUBTREE, words, ATTRIBUTES))


def read(link: LDAPObject, dn: str) -> Person | None:
    """The person at this place of the tree."""
    return _only(link.search_s(dn, ldap.SCOPE_BASE, "(objectClass=*)", ATTRIBUTES))


def manager_of(link: LDAPObject, dn: str) -> Person | None:
    """The manager of the person at `dn`, as the directory has it."""
    found = link.search_s(dn, ldap.SCOPE_BASE, "(objectClass=*)", ["manager"])
    names = found[0][1].get("manager", [])
    try:
        return read(link, names[0].decode()) if names else None
    except ldap.NO_SUCH_OBJECT:
        return None


def members_of(link: LDAPObject, settings: DirectorySettings, group: str) -> list[Person]:
    """Who is in a group, also by groups in it: people who are enabled."""
    inside = f"(memberOf:{IN_CHAIN}:={ldap.filter.escape_filter_chars(group)})"
    words = f"(&(objectCategory=person)(objectClass=user){inside})"
    found = link.search_s(settings.base, ldap.SCOPE_SUBTREE, words, ATTRIBUTES)
    people = [_only([one]) for one in found if one[0] is not None]
    return [person for person in people if person is not None and person.enabled]


def roles_of(link: LDAPObject, settings: DirectorySettings, dn: str) -> set[Role]:
    """The roles that this person's groups mean, nested ones too. A group that is gone gives no role."""
    sids = sids_of(link, dn)
    return {Role(role) for role, group in settings.roles.items() if group_sid(link, group) in sids}


def sids_of(link: LDAPObject, dn: str) -> set[bytes]:
    """The security ids of all groups that this person is in."""
    found = link.search_s(dn, ldap.SCOPE_BASE, "(objectClass=*)", ["tokenGroups"])
    return {bytes(sid) for sid in found[0][1].get("tokenGroups", [])}


def group_sid(link: LDAPObject, dn: str) -> bytes | None:
    """The security id of a group; None when there is no such group, or when it is for mail only."""
    try:
        found = link.search_s(dn, ldap.SCOPE_BASE, "(objectClass=group)", ["objectSid", "groupType"])
    except (ldap.NO_SUCH_OBJECT, ldap.INVALID_DN_SYNTAX):
        return None
    if not found or not int(found[0][1]["groupType"][0]) & SECURITY:
        return None
    return bytes(found[0][1]["objectSid"][0])


def position(link: LDAPObject) -> Position:
    """Where the controller that answers stands now."""
    wanted = ["dsServiceName", "highestCommittedUSN", "defaultNamingContext", "currentTime"]
    root = link.search_s("", ldap.SCOPE_BASE, "(objectClass=*)", wanted)[0][1]
    service = root["dsServiceName"][0].decode()
    found = link.search_s(service, ldap.SCOPE_BASE, "(objectClass=*)", ["invocationId"])
    # One that is not shown to us: then a controller that was restored is told by its lower numbers alone.
    life = uuid.UUID(bytes_le=found[0][1].get("invocationId", [bytes(16)])[0])
    return Position(
        controller=f"{life} {service}"[:400],
        usn=int(root["highestCommittedUSN"][0]),
        base=root["defaultNamingContext"][0].decode(),
        time=_generalized(root.get("currentTime", [b""])[0].decode()),
    )


def _generalized(text: str) -> datetime | None:
    """A GeneralizedTime of UTC (RFC 4517 §3.3.13)."""
    try:
        return datetime.strptime(text[:14], "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return None


def changes(link: LDAPObject, since: Position, *, group: str) -> Changes:
    """What changed after `since`; `group` is the one whose members, also nested ones, matter.

    Deleted ones are seen where the server's account may see them.
    """
    words = f"(&(uSNChanged>={since.usn + 1})(|(objectClass=user)(objectClass=group)))"
    attributes = ["objectGUID", "objectClass", "isDeleted"]
    try:
        found = link.search_ext_s(
            since.base,
            ldap.SCOPE_SUBTREE,
            words,
            attributes,
            serverctrls=[SHOW_DELETED],
            sizelimit=MAX_CHANGES,
        )
    except (ldap.SIZELIMIT_EXCEEDED, ldap.ADMINLIMIT_EXCEEDED):
        return Changes(everything=True)
    people, groups = set(), False
    for dn, attributes_of in found:
        if dn is None:
            continue  # refers elsewhere
        if b"group" in attributes_of.get("objectClass", []):
            groups = groups or (bool(group) and ("isDeleted" in attributes_of or _leads_to(link, dn, group)))
        elif "objectGUID" in attributes_of:
            people.add(uuid.UUID(bytes_le=attributes_of["objectGUID"][0]))
    return Changes(people=frozenset(people), groups=groups)


def _leads_to(link: LDAPObject, dn: str, group: str) -> bool:
    """Whether members of the group `dn` are members of `group`."""
    if _parts(dn) == _parts(group):
        return True
    words = f"(memberOf:{IN_CHAIN}:={ldap.filter.escape_filter_chars(group)})"
    try:
        return bool(link.search_s(dn, ldap.SCOPE_BASE, words, ["cn"]))
    except ldap.NO_SUCH_OBJECT:
        return True  # gone while we looked


def _parts(dn: str) -> list[list[tuple[str, str]]]:
    """A name as the directory reads it: spaces between its parts and the case of letters mean nothing."""
    try:
        parsed = ldap.dn.str2dn(dn.casefold())
    except ldap.DECODING_ERROR:
        return []
    return [[(kind, value) for kind, value, _flags in part] for part in parsed]


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
        locked_out=bool(int(text(COMPUTED) or "0") & LOCKED_OUT),
        expires=_time(int(text("accountExpires") or "0")),
    )


def _time(filetime: int) -> datetime | None:
    """A time as the directory counts: 100 ns since 1601."""
    if filetime in NEVER:
        return None
    try:
        return datetime(1601, 1, 1, tzinfo=UTC) + timedelta(microseconds=filetime // 10)
    except OverflowError:
        return None

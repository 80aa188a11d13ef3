"""Who has logged on, by the Kerberos ticket of their session (SPNEGO, RFC 4559). Only here is GSSAPI known.

Kerberos alone: NTLM proves nothing that could not be relayed or cracked. A ticket says who somebody is and
never that they may: it goes on being good for hours after its owner was disabled.
"""

import base64
import binascii
import hashlib
import struct
from dataclasses import dataclass, field
from pathlib import Path

import gssapi
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from django.conf import settings
from django.utils.translation import gettext_lazy as _
from gssapi.exceptions import BadChannelBindingsError, ExpiredCredentialsError
from gssapi.raw import ChannelBindings, GSSError, RequirementFlag

from clients import quickstore
from clients.errors import Refusal
from mydoc.volumes.unlocking import NotProven

MAX_TOKEN_CHARS = 96 << 10  # a Windows ticket has at most 48 KiB (MaxTokenSize), in base64 64 KiB
SEEN_S = 1200  # longer than a ticket's proof is believed
NTLM = b"NTLMSSP\x00"  # MS-NLMP §2.2.1
NAMES = b"urn:mspac:upn-dns-info"  # MS-PAC §2.10
WITH_SID = 2


@dataclass(frozen=True)
class Proof:
    """A principal of our realm. `answer` proves the server to the client; `sid` stays through all changes of
    name."""

    name: str
    realm: str
    sid: bytes | None
    answer: bytes = field(repr=False)


def proven(authorization: str) -> Proof:
    """Whose ticket is in this header. Raises NotProven: ntlm_refused, replayed, clock_skew,
    server_clock, not_bound, not_proven …; Refusal(no_keytab)."""
    token = _token(authorization)
    if NTLM in token:
        raise NotProven(
            "ntlm_refused",
            _(
                "This PC offers NTLM, which proves too little. It has to use Kerberos: call the server by "
                "the name in its keytab, from a PC of the domain, while a domain controller is there."
            ),
        )
    if not quickstore.client().set(_seen_name(token), 1, nx=True, ex=SEEN_S):
        raise _replayed()
    context = gssapi.SecurityContext(
        creds=_credentials(), usage="accept", channel_bindings=_bindings(settings.TLS_CERTIFICATE)
    )
    try:
        answer = context.step(token)
        return _proof(context, answer or b"")  # inside: the library tells of a failed step at the next look
    except GSSError as error:
        raise _not_proven(error) from error


def own_names() -> list[str]:
    """For whom tickets must be made out. Raises Refusal(no_keytab)."""
    return [str(_credentials().name)]


def endpoint(certificate: Path) -> bytes:
    """How a TLS server's certificate is named in a channel binding: tls-server-end-point (RFC 5929 §4.1)."""
    try:
        leaf = x509.load_pem_x509_certificate(certificate.read_bytes())
    except (OSError, ValueError) as error:
        raise Refusal(
            "no_tls_certificate",
            _("OPENVRAS_TLS_CERTIFICATE_FILE names no certificate that can be read."),
            status=503,
        ) from error
    used = leaf.signature_hash_algorithm
    weak = used is None or isinstance(used, hashes.MD5 | hashes.SHA1)
    digest = hashlib.new("sha256" if used is None or weak else used.name, leaf.public_bytes(Encoding.DER))
    return b"tls-server-end-point:" + digest.digest()


def _token(authorization: str) -> bytes:
    _kind, _space, text = authorization.partition(" ")
    if len(text) > MAX_TOKEN_CHARS:
        raise NotProven("too_long", _("This proof of a logon is too long."))
    try:
        return base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError) as error:
        raise NotProven("not_proven", _("This is no proof of a logon.")) from error


def _credentials() -> gssapi.Credentials:
    keytab: Path | None = settings.KEYTAB
    try:
        if keytab is None:
            raise FileNotFoundError
        keytab.open("rb").close()
        return gssapi.Credentials(usage="accept", store={"keytab": f"FILE:{keytab}"})
    except (OSError, GSSError) as error:
        raise Refusal(
            "no_keytab",
            _("This server cannot check Kerberos tickets: OPENVRAS_KEYTAB_FILE names no readable keytab."),
            status=503,
        ) from error


def _bindings(certificate: Path | None) -> ChannelBindings | None:
    return None if certificate is None else ChannelBindings(application_data=endpoint(certificate))


def _proof(context: gssapi.SecurityContext, answer: bytes) -> Proof:
    if not context.complete or context.initiator_name is None:
        raise NotProven("not_proven", _("This logon is not proven in one step, as Kerberos does."))
    if context.mech not in (gssapi.MechType.kerberos, *_MICROSOFT):
        raise NotProven("not_proven", _("This logon is not proven by Kerberos."))
    # A client that binds to nothing passes the library's own check.
    if settings.TLS_CERTIFICATE is not None and RequirementFlag.channel_bound not in context.actual_flags:
        raise NotProven(
            "not_bound",
            _("This logon is not bound to this server's TLS connection (channel binding)."),
        )
    name, _at, realm = str(context.initiator_name).rpartition("@")
    ours = str(context.target_name).rpartition("@")[2]
    if not name or realm != ours or "/" in name:
        raise NotProven("other_realm", _("This is nobody of this company's own domain."))
    return Proof(name=name, realm=realm, sid=_sid(context.initiator_name), answer=answer)


_MICROSOFT = (gssapi.OID.from_int_seq("1.2.840.48018.1.2.2"),)  # Kerberos, as Windows once misspelt it


def _sid(name: gssapi.Name) -> bytes | None:
    """The security id in the ticket's PAC, which the domain controller has signed; None where it has none."""
    try:
        found = name.attributes
        blob = bytes(next(iter(found[NAMES].values))) if found is not None else b""
        flags = struct.unpack_from("<I", blob, 8)[0]
        length, offset = struct.unpack_from("<HH", blob, 16)
    except (KeyError, AttributeError, GSSError, StopIteration, struct.error):
        return None
    return blob[offset : offset + length] or None if flags & WITH_SID else None


def _not_proven(error: GSSError) -> NotProven:
    # The library counts its minor codes anew in each process: their words are what is stable.
    if "replay" in str(error):
        return _replayed()
    if isinstance(error, ExpiredCredentialsError) or "expired" in str(error):
        return NotProven("ticket_expired", _("This ticket has expired. Log on again."))
    if "not yet valid" in str(error):
        return server_clock()
    if "Clock skew" in str(error):
        return NotProven(
            "clock_skew",
            _("The PC's clock and the server's differ by more than five minutes. Set it, then log on again."),
        )
    if isinstance(error, BadChannelBindingsError):
        return NotProven(
            "not_bound",
            _("This logon is bound to another TLS connection than this server's. It may be relayed."),
        )
    return NotProven(
        "not_proven",
        _("This ticket is not for this server. Its keytab may be older than the password of its account."),
    )


def server_clock() -> NotProven:
    return NotProven(
        "server_clock",
        _(
            "The management server's clock is not the directory's, so no logon can be proven, and no "
            "documents open; nothing is lost. Tell your administrator: "
            "the server's clock has to be set (NTP)."
        ),
    )


def _replayed() -> NotProven:
    return NotProven("replayed", _("This proof of a logon was used before. Log on again."))


def _seen_name(token: bytes) -> str:
    return f"vras:logon:{hashlib.sha256(token).hexdigest()}"

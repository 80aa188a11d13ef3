"""Who is this PC? One function for every door: signed request (RFC 9421 manner) or nginx's certificate check.

Public keys are kept for a while in the quick store, so a heartbeat needs no database; a revoked or lost PC is
marked there at once.
"""

import base64
import binascii
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import unquote

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key
from django.conf import settings
from django.utils.translation import gettext_lazy as _

from clients import quickstore
from clients.enrolment import front
from clients.errors import Refusal
from clients.models import Client
from vrasnode.wire import signatures

KEY_SECONDS = 300
MARK_SECONDS = 86400  # longer than any permission that was given out before lives
REVOKED, LOST = b"revoked", b"lost"
MARKS = {Client.State.REVOKED: REVOKED, Client.State.LOST: LOST}
# A waiting PC has no certificate yet, and an expired one does not pass nginx: the key alone proves the PC.
WITHOUT_CERTIFICATE = {"/node/v1/certificate", "/node/v1/renew"}
INPUT = re.compile(
    r'vras=(?P<covered>\([^)]*\));created=(?P<created>\d{1,12});nonce="(?P<nonce>[0-9a-f]{32})"'
    r';keyid="(?P<key>[0-9a-f-]{36})";alg="ecdsa-p256-sha256"'
)


@dataclass(frozen=True)
class NodeRequest:
    """What identity looks at, the same from Django and from raw ASGI. Header names are lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


class NotKnown(Refusal):
    status = 401


def who(request: NodeRequest, *, now: datetime, pending: bool = False, lost: bool = False) -> uuid.UUID:
    """The id of the approved PC that sent this (`pending`: or one that waits; `lost`: or one that is lost).
    Raises Refusal 401/403."""
    if settings.IDENTITY == "mtls" and "x-client-verify" in request.headers:
        return _by_certificate(request.headers, pending=pending, lost=lost)
    if settings.IDENTITY == "mtls" and request.target not in WITHOUT_CERTIFICATE:
        raise NotKnown("no_certificate", _("This server knows PCs by their TLS certificate."))
    return _by_signature(request, now=now, pending=pending, lost=lost)


def forget(client: Client) -> None:
    """Refuses a revoked or lost PC from now on, whatever was remembered of it or permitted to it before."""
    quickstore.client().set(mark_key(client.pk), MARKS[Client.State(client.state)], ex=MARK_SECONDS)


def check(client: Client, *, lost: bool = False) -> None:
    """What the row itself says by now, whatever is remembered. Raises Refusal(lost)."""
    if client.state == Client.State.LOST and not lost:
        raise _lost()


def welcome(client: Client) -> None:
    """Takes such a mark away: the rows say again who it is."""
    quickstore.client().delete(mark_key(client.pk))


def is_refused(client_id: uuid.UUID) -> bool:
    """Whether this PC was revoked or lost lately: for permissions that were given out and are short."""
    return quickstore.client().get(mark_key(client_id)) in MARKS.values()


def _by_signature(request: NodeRequest, *, now: datetime, pending: bool, lost: bool) -> uuid.UUID:
    params = request.headers.get("signature-input", "")
    found = INPUT.fullmatch(params)
    if found is None or found["covered"] != signatures.COVERED:
        raise NotKnown("not_signed", _("This request is not signed by a PC."))
    if abs(now.timestamp() - int(found["created"])) > signatures.MAX_SKEW_S:
        raise NotKnown("clock_skew", _("The PC's clock differs from the server's by more than five minutes."))
    digest = signatures.content_digest(request.body)
    if request.headers.get("content-digest") != digest:
        raise NotKnown("bad_digest", _("The request's body is not what was signed."))
    client_id = uuid.UUID(found["key"])
    base = signatures.signature_base(request.method, request.target, digest, params)
    key = _public_key(client_id, pending=pending, lost=lost)
    verify(key, request.headers.get("signature", ""), base)
    if not quickstore.client().set(
        f"vras:nonce:{client_id}:{found['nonce']}", 1, nx=True, ex=2 * signatures.MAX_SKEW_S
    ):
        raise NotKnown("replayed", _("This signed request was seen before."))
    return client_id


def verify(public_key: bytes, header: str, base: bytes) -> None:
    """Raises NotKnown(bad_signature)."""
    key = load_der_public_key(public_key)
    try:
        if not (header.startswith("vras=:") and header.endswith(":")):
            raise InvalidSignature
        signature = base64.b64decode(header[6:-1], validate=True)
        assert isinstance(key, ec.EllipticCurvePublicKey)  # noqa: S101  (checked at enrolment)
        key.verify(signature, base, ec.ECDSA(hashes.SHA256()))
    except (InvalidSignature, binascii.Error) as error:
        raise NotKnown("bad_signature", _("The request's signature does not verify.")) from error


def _by_certificate(headers: Mapping[str, str], *, pending: bool, lost: bool) -> uuid.UUID:
    if not front.vouches(headers):
        raise NotKnown("not_the_front", _("Only the front server may vouch for certificates."))
    if headers["x-client-verify"] != "SUCCESS":
        raise NotKnown("no_certificate", _("This server knows PCs by their TLS certificate."))
    try:
        certificate = x509.load_pem_x509_certificate(unquote(headers.get("x-client-cert", "")).encode())
        client_id = uuid.UUID(
            str(certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value)
        )
    except (ValueError, IndexError) as error:
        raise NotKnown("bad_certificate", _("The certificate names no PC.")) from error
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if key != _public_key(client_id, pending=pending, lost=lost):
        raise NotKnown("bad_certificate", _("The certificate is not this PC's."))
    return client_id


def _public_key(client_id: uuid.UUID, *, pending: bool, lost: bool) -> bytes:
    store = quickstore.client()
    kept: bytes | None = store.get(mark_key(client_id))
    if kept is None:
        row = Client.objects.filter(pk=client_id).values_list("state", "signing_key").first()
        if row is None:
            raise NotKnown("unknown_client", _("This PC is not registered here. Enrol it."))
        state, key = row
        if state == Client.State.PENDING:
            if not pending:
                raise Refusal("pending", _("This PC waits for approval."), status=403)
            return bytes(key)
        kept = MARKS.get(Client.State(state), bytes(key))
        # Never over a mark that a revocation set since we looked.
        store.set(mark_key(client_id), kept, nx=True, ex=KEY_SECONDS)
    if kept == REVOKED:
        raise _revoked()
    if kept == LOST:
        if not lost:
            raise _lost()
        return bytes(Client.objects.values_list("signing_key", flat=True).get(pk=client_id))
    return kept


def mark_key(client_id: uuid.UUID) -> str:
    return f"vras:key:{client_id}"


def _revoked() -> Refusal:
    return Refusal("revoked", _("This PC was revoked. Enrol it anew."), status=403)


def _lost() -> Refusal:
    return Refusal(
        "lost", _("This PC was declared lost. If you found it, call the IT department."), status=403
    )

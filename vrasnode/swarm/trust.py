"""Who a peer is: TLS 1.3 between the PCs' own certificates, of the same installation, both shown.

Every approved PC has such a certificate, whether the installation knows PCs by it ("mtls") or by signed
requests ("signature"): so peers prove themselves in the same manner in both. Besides, the server says which
public key a member of this distribution has; a certificate with another key is nobody's.
"""

import hashlib
import ssl
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from vrasnode.errors import Refused


@dataclass(frozen=True)
class Papers:
    """What a PC shows, and whom it believes: paths of certificate and key, the authority (PEM)."""

    certificate: Path
    key: Path
    authority: str

    def contexts(self) -> tuple[ssl.SSLContext, ssl.SSLContext]:
        """For lines that we answer and for lines that we dial."""
        answer = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        answer.verify_mode = ssl.CERT_REQUIRED
        answer.load_verify_locations(cadata=self.authority)
        answer.num_tickets = 0
        # Certificates of PCs are for clients, so OpenSSL would not take one from whoever answers: `client_id`
        # checks both sides', before anything is said.
        dial = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        dial.check_hostname = False
        dial.verify_mode = ssl.CERT_NONE
        for context in (answer, dial):
            context.minimum_version = ssl.TLSVersion.TLSv1_3
            context.load_cert_chain(self.certificate, self.key)
        return answer, dial

    def member(self, certificate: bytes | None, *, at: datetime) -> tuple[str, str]:
        """Client id and key (SHA-256, hex) in a certificate (DER) of this installation that is valid now.

        Raises Refused(bad_peer).
        """
        if not certificate:
            raise Refused("bad_peer", "The peer showed no certificate.")
        try:
            found = x509.load_der_x509_certificate(certificate)
            found.verify_directly_issued_by(_authority(self.authority))
            name = str(found.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value)
        except (ValueError, TypeError, IndexError, InvalidSignature) as error:
            raise Refused("bad_peer", "The peer's certificate is not of this installation.") from error
        if not found.not_valid_before_utc <= at < found.not_valid_after_utc:
            raise Refused("bad_peer", f"The certificate of peer {name} is not valid now.")
        return name, key_name(
            found.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        )


@cache
def _authority(pem: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pem.encode())


def key_name(public_key: bytes) -> str:
    """What a public key (DER SPKI) is called in a SwarmMember."""
    return hashlib.sha256(public_key).hexdigest()

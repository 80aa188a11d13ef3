"""The gateway's own TLS certificate, where an administrator brings none: of the installation's authority,
which virtual servers are told to believe.

    own.key  own.pem     in the gateway's directory, made anew before the certificate ends
"""

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from clients import privatefile
from clients.enrolment import signing
from mydoc.nas.settings import GatewaySettings

LIFE, RENEW_BEFORE = timedelta(days=180), timedelta(days=30)


def is_own(door: GatewaySettings) -> bool:
    """Whether the gateway makes its certificate itself."""
    return door.encrypted and door.certificate is None


def authority(door: GatewaySettings) -> str:
    """Whom virtual servers have to believe (PEM); empty: whom their system does. Raises Refusal(no_keys)."""
    if door.authority is not None:
        return door.authority.read_text()
    return signing.store().authority.public_bytes(Encoding.PEM).decode() if is_own(door) else ""


def is_due(door: GatewaySettings, directory: Path, *, now: datetime) -> bool:
    """Whether there is none that is good for a while yet, of this authority and for this address."""
    try:
        found = x509.load_pem_x509_certificate((directory / "own.pem").read_bytes())
        found.verify_directly_issued_by(signing.store().authority)
    except (OSError, ValueError, TypeError, InvalidSignature):  # none, torn, or of another installation
        return True
    return found.not_valid_after_utc - now < RENEW_BEFORE or _host(door) not in _names(found)


def furnished(door: GatewaySettings, directory: Path, *, now: datetime) -> GatewaySettings:
    """The door with its certificate, made where that is due. Raises Refusal(no_keys)."""
    if not is_own(door):
        return door
    if is_due(door, directory, now=now):
        key = ec.generate_private_key(ec.SECP256R1())
        made = signing.store().issue_for_service(key.public_key(), host=_host(door), life=LIFE, now=now)
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        privatefile.write(directory / "own.key", pem)
        privatefile.write(directory / "own.pem", made.public_bytes(Encoding.PEM))
    return replace(door, certificate=directory / "own.pem", key=directory / "own.key")


def _host(door: GatewaySettings) -> str:
    return urlsplit(door.url).hostname or ""


def _names(certificate: x509.Certificate) -> set[str]:
    found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {str(name.value) for name in found}

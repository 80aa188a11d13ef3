"""Secrets of the form id + secret, of which only a hash is kept (256 random bits need no salt)."""

import hashlib
import hmac
import secrets
from dataclasses import dataclass


@dataclass(frozen=True, repr=False)
class Credential:
    """A fresh pair. `secret` is shown once and never stored."""

    id: str
    secret: str


def fresh() -> Credential:
    """A new pair: 64 bits of name, 256 bits of secret, hex."""
    return Credential(id=secrets.token_hex(8), secret=secrets.token_hex(32))


def hashed(secret: str) -> str:
    """What is stored of a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


def matches(secret: str, stored: str) -> bool:
    """Compares in constant time."""
    return hmac.compare_digest(hashed(secret), stored)

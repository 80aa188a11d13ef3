"""People's keys to REST: `Bearer vras_<id>.<secret>`, hashed, scoped, expiring."""

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction

from clients import auditing, credentials
from clients.models import ApiToken

USED_GRAIN = timedelta(minutes=1)


def make(user: Any, *, name: str, scope: str, now: datetime) -> tuple[ApiToken, str]:
    """A new token and its text, which is shown this once."""
    fresh = credentials.fresh()
    token = ApiToken.objects.create(
        id=fresh.id,
        user=user,
        name=name,
        scope=scope,
        secret_hash=credentials.hashed(fresh.secret),
        expires_at=now + settings.API_TOKEN_LIFE,
    )
    auditing.record("apitoken.created", token, after={"scope": scope})
    return token, f"vras_{fresh.id}.{fresh.secret}"


def end(token: ApiToken) -> None:
    """Opens nothing any more."""
    with transaction.atomic():
        auditing.record("apitoken.deleted", token)
        token.delete()


def bearer(text: str, *, now: datetime) -> ApiToken | None:
    """The living token that `text` opens, or None."""
    if not text.startswith("vras_") or "." not in text:
        return None
    ident, secret = text.removeprefix("vras_").split(".", 1)
    token = ApiToken.objects.select_related("user").filter(pk=ident, expires_at__gt=now).first()
    if token is None or not credentials.matches(secret, token.secret_hash) or not token.user.is_active:
        return None
    if token.last_used is None or now - token.last_used > USED_GRAIN:
        ApiToken.objects.filter(pk=token.pk).update(last_used=now)
    return token

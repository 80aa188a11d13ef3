"""Why the directory let nobody in: kept with the request until somebody shows it."""

from django.http import HttpRequest

from clients.errors import Refusal


def refusal_of(request: HttpRequest | None) -> Refusal | None:
    """Why the directory let nobody in by this request; None when name and password just do not fit."""
    found = getattr(request, "directory_refusal", None)
    return found if isinstance(found, Refusal) else None


def tell(request: HttpRequest | None, refusal: Refusal) -> None:
    """Keeps it."""
    if request is not None:
        request.directory_refusal = refusal  # type: ignore[attr-defined]

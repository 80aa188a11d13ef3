"""The certificate of what was erased, on its way to people and programs: saved, never shown."""

from django.http import HttpResponse
from django.utils import timezone
from django.utils.http import content_disposition_header

from mydoc.losses import certifying
from mydoc.models import Loss
from vrasnode.wire import codec


def certificate_file(loss: Loss) -> HttpResponse:
    """Raises Refusal(nothing_erased)."""
    made = certifying.certificate(loss, now=timezone.now())
    return HttpResponse(
        codec.encode(made),
        content_type="application/json",
        headers={
            "Content-Disposition": content_disposition_header(True, f"erasure-{loss.client}-{loss.pk}.json"),
            "X-Content-Type-Options": "nosniff",
            "Cache-Control": "private, no-store",
        },
    )

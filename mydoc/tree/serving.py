"""A file on its way from a PC to a browser or a program: saved, never shown, and nothing of it kept here."""

from collections.abc import AsyncGenerator, Generator

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, StreamingHttpResponse
from django.utils.http import content_disposition_header

from mydoc.tree.browsing import Download

AS_OF = "X-OpenVRAS-As-Of"  # of the replica that a file comes from


def attachment(request: HttpRequest, found: Download) -> StreamingHttpResponse:
    """The answer that carries the file. It ends too early when the file changes: browsers say so."""
    # Under ASGI a plain generator would be read to its end first, into memory.
    pieces = _awaited(found.pieces) if isinstance(request, ASGIRequest) else found.pieces
    return StreamingHttpResponse(
        pieces,
        content_type="application/octet-stream",
        headers={
            "Content-Length": str(found.size_bytes),
            "Content-Disposition": content_disposition_header(True, found.name),
            "X-Content-Type-Options": "nosniff",
            "Cache-Control": "private, no-store",
            **({AS_OF: found.as_of.isoformat()} if found.as_of else {}),
        },
    )


def streamed(
    request: HttpRequest, pieces: Generator[bytes, None, None], *, name: str, content_type: str
) -> StreamingHttpResponse:
    """The answer that carries a file which is made on the way."""
    return StreamingHttpResponse(
        _awaited(pieces) if isinstance(request, ASGIRequest) else pieces,
        content_type=content_type,
        headers={
            "Content-Disposition": content_disposition_header(True, name),
            "X-Content-Type-Options": "nosniff",
            "Cache-Control": "private, no-store",
        },
    )


async def _awaited(pieces: Generator[bytes, None, None]) -> AsyncGenerator[bytes, None]:
    try:
        while (piece := await sync_to_async(lambda: next(pieces, None))()) is not None:
            yield piece
    finally:
        await sync_to_async(pieces.close)()

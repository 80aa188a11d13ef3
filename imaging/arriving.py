"""How bytes arrive: packs from a publisher, whole files from a browser. Streamed, whole or not at all."""

from collections.abc import Awaitable, Callable
from typing import Any

from asgiref.sync import sync_to_async
from django.core.files.uploadedfile import UploadedFile
from django.utils.translation import gettext as _

from clients.errors import Refusal
from imaging import publishing
from imaging.models import ImageVersion, MasterImage, Pack
from imaging.store import store
from vrasnode.chunks.packs import PackHasher
from vrasnode.errors import Refused
from vrasnode.wire.imaging import MAX_IMAGE_BYTES, MAX_PACK_BYTES

Receive = Callable[[], Awaitable[dict[str, Any]]]
PIECE = 4 << 20


def take_file(image: MasterImage, file: "UploadedFile[Any]", *, note: str) -> ImageVersion:
    """Keeps a whole image file as the source of a new version, to be cut by a worker. Raises Refusal."""
    if (file.size or 0) > MAX_IMAGE_BYTES:
        raise Refusal("image_too_large", _("An image has at most 16 TiB."), status=413)
    version = publishing.open_version(image, note=note)
    name = f"{version.pk}.image"
    with store().incoming(store().source_path(name)) as kept:
        for piece in file.chunks(PIECE):
            kept.write(piece)
    publishing.seal_source(version, name)
    return version


async def take_pack(pack_id: str, *, length: int, receive: Receive) -> bool:
    """Streams a pack into its final place; False when it was there. Nothing is put together or hashed later.

    Raises Refusal (bad_pack, store_full) and Refused(bad_pack); then nothing of it is kept.
    """
    if not 0 < length <= MAX_PACK_BYTES:
        raise Refusal("bad_pack", _("A pack has between 1 byte and 64 MiB."), status=413)
    if await sync_to_async(_have, thread_sensitive=False)(pack_id):
        return False
    await _stream(pack_id, length, receive)
    await sync_to_async(_admit, thread_sensitive=False)(pack_id)
    return True


async def _stream(pack_id: str, length: int, receive: Receive) -> None:
    hasher = PackHasher()
    left = length
    with store().incoming(store().pack_path(pack_id)) as file:
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Refusal("cut_off", _("The connection ended before the pack was whole."), status=400)
            body = message.get("body", b"")
            more = message.get("more_body", False)
            left -= len(body)
            if left < 0:
                break
            hasher.update(body)
            file.write(body)
        if left or hasher.pack_id != pack_id:
            raise Refusal(
                "bad_pack", _("The pack's bytes are not what its name says. Send it again."), status=400
            )


def _have(pack_id: str) -> bool:
    row = Pack.objects.filter(pk=pack_id).first()
    if row and row.kind != Pack.Kind.PLAIN:
        raise Refusal("bad_pack", _("This pack is one of the server's own delta frames."), status=400)
    if row is None or row.condemned_at is not None:
        return False
    try:
        store().index(pack_id)
    except (OSError, Refused):  # lost or damaged: it is welcome again
        return False
    return True


def _admit(pack_id: str) -> None:
    try:
        store().index(pack_id)
    except (OSError, Refused):
        store().remove_pack(pack_id)
        raise
    store().admit(pack_id)

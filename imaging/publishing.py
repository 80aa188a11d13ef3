"""How an image becomes a version: open, packs arrive, seal, check, ready, retire."""

import logging
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Max
from django.utils.translation import gettext as _

from clients import auditing, nudge
from clients.enrolment import signing
from clients.errors import Refusal, WrongState
from clients.models import Client
from imaging import differencing, subscribing
from imaging.models import Delivery, ImageVersion, MasterImage, Pack
from imaging.store import Place, frame_map, store
from vrasnode.chunks import cutting, manifest, opening, packs
from vrasnode.chunks.manifest import Manifest
from vrasnode.errors import VrasError
from vrasnode.wire.imaging import ManifestHeader
from vrasnode.wire.signatures import Role

log = logging.getLogger("openvras.imaging")

HASH = "blake3"


def open_version(image: MasterImage, *, note: str) -> ImageVersion:
    """A place to upload to. Its number comes with the seal."""
    version = ImageVersion.objects.create(image=image, note=note, published_by=auditing.actor().name)
    auditing.record("imageversion.opened", version, after={"note": note})
    nudge.pages("images")
    return version


def missing(digests: Sequence[bytes]) -> bytes:
    """A bitmap, most significant bit first: 1 where no pack holds the chunk."""
    absent = store().catalogue.missing(digests)
    bits = bytearray((len(digests) + 7) // 8)
    for position, digest in enumerate(digests):
        if digest in absent:
            bits[position >> 3] |= 0x80 >> (position & 7)
    return bytes(bits)


def publish(image: MasterImage, data: bytes, *, note: str, now: datetime) -> tuple[ImageVersion, bool]:
    """Seals a version whose chunks are all here; the newest version itself when nothing changed.

    Returns the version and whether it is new. Raises Refusal, Refused.
    """
    read = _read(image, data, now=now)
    latest = image.latest()
    if latest and _same(latest, read):
        return latest, False
    version = open_version(image, note=note)
    seal(version, data, now=now)
    return version, True


def seal(version: ImageVersion, data: bytes, *, now: datetime) -> None:
    """Takes the signed manifest; the version gets its number. Raises Refusal, Refused, WrongState."""
    read = _read(version.image, data, now=now)
    store().keep(store().manifest_path(read.digest), data)
    with transaction.atomic():
        _seal(version, manifest=read.digest, publisher_key=read.signed.key, size_bytes=read.header.size_bytes)
    nudge.worker("imaging.tasks.cut_sealed")


def seal_source(version: ImageVersion, source: str) -> None:
    """A whole image file has arrived in the store; a worker cuts it."""
    with transaction.atomic():
        _seal(version, source=source)
    nudge.worker("imaging.tasks.cut_sealed")


def fail(version: ImageVersion, code: str, words: str) -> None:
    """The version will not become ready; the reason stays with it."""
    version.move(ImageVersion.State.FAILED, failure_code=code, failure_words=words[:500])
    if version.source:
        store().source_path(version.source).unlink(missing_ok=True)
    nudge.pages("images", f"version.{version.pk}")


def check_sealed(version: ImageVersion, *, now: datetime) -> None:
    """Makes a sealed version ready: cut if it is a file, signature, every chunk present, frame map."""
    try:
        data = (
            _cut(version, now=now) if version.source else store().manifest_path(version.manifest).read_bytes()
        )
        read = _read(version.image, data, now=now)
        places = _places(read)
        store().keep(store().frames_path(read.digest), frame_map(places))
        _ready(version, read, places, now=now)
    except WrongState:
        log.info("%s was decided by another worker", version)
    except VrasError as error:
        fail(version, error.code, error.words)
    except Refusal as error:
        fail(version, error.code, str(error.words))
    except FileNotFoundError:
        fail(version, "file_gone", _("The uploaded file is not in the store any more. Upload it again."))


def retire(version: ImageVersion) -> None:
    """Ends a version; its bytes go when nothing else needs them. Raises Refusal(version_in_use)."""
    with transaction.atomic():
        ImageVersion.objects.select_for_update().get(pk=version.pk)  # no distribution begins meanwhile
        users = Client.objects.approved().filter(running=version.manifest).count()
        coming = Delivery.objects.open().filter(distribution__version=version).count()
        if users or coming:
            raise Refusal(
                "version_in_use",
                _(
                    "%(users)d PCs run this version and %(coming)d are about to."
                    " Distribute another version first."
                )
                % {"users": users, "coming": coming},
            )
        version.move(ImageVersion.State.RETIRED)
    nudge.pages("images", f"version.{version.pk}")


def _seal(version: ImageVersion, **fields: Any) -> None:
    image = MasterImage.objects.select_for_update().get(pk=version.image_id)
    highest = image.versions.aggregate(n=Max("number"))["n"] or 0
    version.move(ImageVersion.State.SEALED, number=highest + 1, **fields)
    nudge.pages("images", f"version.{version.pk}")


def _read(image: MasterImage, data: bytes, *, now: datetime) -> Manifest:
    read = manifest.read(data, signing.store().keyring(), at=now)
    if read.header.image != image.name:
        raise Refusal(
            "other_image",
            _("This manifest is signed for %(other)s, not for %(image)s.")
            % {"other": read.header.image, "image": image.name},
            status=400,
        )
    return read


def _same(version: ImageVersion, read: Manifest) -> bool:
    kept = manifest.read_named(store().manifest_path(version.manifest).read_bytes(), version.manifest).header
    return (kept.root, kept.size_bytes, kept.hash) == (
        read.header.root,
        read.header.size_bytes,
        read.header.hash,
    )


def _places(read: Manifest) -> list[Place]:
    found = store().catalogue.place(digest for _number, digest in read)
    places = [place for place in found if place]
    if len(places) != len(found):
        raise Refusal(
            "chunks_missing",
            _("%(count)d chunks of this image are not in the store. Publish it again: only they are sent.")
            % {"count": len(found) - len(places)},
        )
    return places


def _ready(version: ImageVersion, read: Manifest, places: list[Place], *, now: datetime) -> None:
    distinct = {(place.pack, place.offset): place.length for place in places}
    used = {pack for pack, _offset in distinct}
    older = set(_packs_before(version))
    with transaction.atomic():
        if Pack.objects.filter(pk__in=used).update(condemned_at=None) != len(used):
            raise Refusal("chunks_missing", _("A pack was collected meanwhile. Publish the image again."))
        version.move(
            ImageVersion.State.READY,
            manifest=read.digest,
            publisher_key=read.signed.key,
            size_bytes=read.header.size_bytes,
            data_bytes=sum(read.chunk_bytes_at(number) for number, _digest in read),
            packed_bytes=sum(distinct.values()),
            new_bytes=sum(length for (pack, _offset), length in distinct.items() if pack not in older),
            ready_at=now,
        )
        differencing.plan(version)
        subscribing.on_published(version, now=now)
    if version.source:
        store().source_path(version.source).unlink(missing_ok=True)
    nudge.pages("images", f"version.{version.pk}")


def _packs_before(version: ImageVersion) -> list[str]:
    """Packs that were there before this version was opened."""
    return list(Pack.objects.filter(created_at__lt=version.created_at).values_list("pk", flat=True))


def _cut(version: ImageVersion, *, now: datetime) -> bytes:
    """Cuts an uploaded file into chunks and signs it with the server's own publishing key."""
    catalogue = store().catalogue
    path = store().source_path(version.source)
    with opening.open_image(path, scratch=settings.STORE / "incoming") as image:
        unused = image.free_space()
        for volume in unused.volumes:
            log.info("%s: %s, %s", version, volume.kind, volume.unsure or f"{volume.free_bytes} bytes free")
        result = cutting.cut(
            image,
            free=unused.ranges,
            known=lambda digests: set(digests) - catalogue.missing(digests),
            emit=_keep_pack,
            hash=HASH,
        )
    header = manifest.build(
        version.image.name,
        numbers=result.numbers,
        digests=result.digests,
        size_bytes=result.size_bytes,
        chunk_bytes=result.chunk_bytes,
        hash=HASH,
        created=now,
    )
    return _signed(header, result)


def _keep_pack(pack: packs.Pack) -> None:
    try:
        store().keep_pack(pack)
    finally:
        connection.close()  # the cutter emits in a thread of its own


def _signed(header: ManifestHeader, result: cutting.CutResult) -> bytes:
    signed = signing.store().seal(header, Role.IMAGE)
    data = manifest.encode(
        Manifest(header=header, signed=signed, numbers=result.numbers, digests=bytes(result.digests))
    )
    read = manifest.read(data, signing.store().keyring(), at=header.created)
    store().keep(store().manifest_path(read.digest), data)
    return data

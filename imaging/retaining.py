"""What is kept and what goes: retention of versions, and garbage collection of packs in two phases.

Mark: the frame maps of all kept versions name the packs in use, and delta sets those of delta frames, as long
as both of their versions are kept. Sweep: a pack that nothing names is
condemned, and its file deleted only a grace period later; a publisher that still counts on it un-condemns
it when its version becomes ready. Packs younger than the grace period belong to uploads under way.
"""

from datetime import datetime

from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext as _

from clients.errors import Refusal
from imaging import publishing
from imaging.models import DeltaSet, ImageVersion, MasterImage, Pack
from imaging.store import store
from vrasnode.chunks import framemap, manifest


def retire_old(*, now: datetime) -> int:
    """Retires versions beyond what each image keeps, unless something uses them; returns how many."""
    retired = 0
    for image in MasterImage.objects.exclude(keep_versions=0):
        for version in image.versions.ready().order_by("-number")[image.keep_versions :]:
            try:
                publishing.retire(version)
            except Refusal:
                continue
            retired += 1
    return retired


def drop_stalled(*, now: datetime) -> int:
    """Gives up uploads that nobody continued; returns how many."""
    stalled = ImageVersion.objects.filter(
        state=ImageVersion.State.UPLOADING, touched_at__lt=now - settings.UPLOAD_SILENCE
    )
    for version in stalled:
        words = _("Nothing arrived for a day. Publish the image again.")
        publishing.fail(version, "upload_abandoned", words)
    return len(stalled)


def collect(*, now: datetime) -> tuple[int, int]:
    """Condemns unused packs and deletes those condemned long ago; returns both counts."""
    used = _used_packs()
    old = now - settings.PACK_GRACE
    with transaction.atomic():
        unused = Pack.objects.filter(condemned_at=None, created_at__lt=old).exclude(pk__in=used)
        condemned = unused.update(condemned_at=now)
    deleted = 0
    for pack in Pack.objects.filter(condemned_at__lt=old):
        # The row goes first: a file without a row is garbage, a row without a file would be a lie.
        gone, _rows = Pack.objects.filter(pk=pack.pk, condemned_at__lt=old).delete()
        if gone:
            store().remove_pack(pack.pk)
            deleted += 1
    _sweep_files(now=now)
    return condemned, deleted


def _used_packs() -> set[str]:
    used: set[str] = set()
    for digest in (
        ImageVersion.objects.kept().exclude(manifest="").values_list("manifest", flat=True).distinct()
    ):
        path = store().frames_path(digest)
        if not path.exists():  # sealed, not checked yet: its packs are young
            continue
        read = manifest.read_named(store().manifest_path(digest).read_bytes(), digest)
        frames = framemap.decode(path.read_bytes(), chunks=len(read), chunk_bytes=read.header.chunk_bytes)
        used.update(frames.pack_ids)
    for packs in DeltaSet.objects.useful().values_list("packs", flat=True):
        used.update(packs)
    return used


def _sweep_files(*, now: datetime) -> None:
    """Removes what a killed process left: parts, and packs that never got a row."""
    old = (now - settings.PACK_GRACE).timestamp()
    known = set(Pack.objects.values_list("pk", flat=True))
    for path in (store().root / "incoming").glob("*"):
        if path.is_file() and path.stat().st_mtime < old:
            path.unlink(missing_ok=True)
    maps = DeltaSet.objects.useful().values_list("version__manifest", "base__manifest")
    offered = {store().deltas_path(digest, base) for digest, base in maps}
    for path in (store().root / "manifests").glob("*.deltas"):
        if path not in offered and path.stat().st_mtime < old:
            path.unlink(missing_ok=True)
    for path in (store().root / "packs").glob("*/*.pack"):
        if path.stem not in known and path.stat().st_mtime < old:
            path.unlink(missing_ok=True)

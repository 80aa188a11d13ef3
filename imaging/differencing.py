"""The life of delta frames: planned when a version is ready, made by a worker in the background, offered.

Nobody waits for them: until they are ready, and wherever one is missing or broken, plain frames do. How they
are made is `diffing`'s business.
"""

from collections.abc import Iterator

from django.conf import settings

from clients import nudge
from imaging.models import DeltaSet, ImageVersion


def plan(version: ImageVersion) -> None:
    """Notes what is worth making for a version that is ready: delta frames against those before it."""
    before = version.image.versions.ready().filter(number__lt=version.number).order_by("-number")
    for base in before[: settings.DELTA_BASES]:
        DeltaSet.objects.get_or_create(version=version, base=base)
    nudge.worker("imaging.tasks.make_deltas")


def offered(version: ImageVersion) -> Iterator[str]:
    """The digests of versions against which its delta frames are ready."""
    return iter(DeltaSet.objects.offered().filter(version=version).values_list("base__manifest", flat=True))


def again(deltas: DeltaSet) -> None:
    """Has delta frames tried again that could not be made. Raises WrongState."""
    deltas.move(DeltaSet.State.WAITING, failure_code="", failure_words="")
    nudge.worker("imaging.tasks.make_deltas")
    told(deltas)


def told(deltas: DeltaSet) -> None:
    """Open pages about it look again."""
    nudge.pages("images", f"version.{deltas.version_id}")

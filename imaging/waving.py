"""How a distribution runs: how many are through, the speed now, the expected end, the plot of the wave."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, Q, Sum

from imaging import pacing
from imaging.models import Delivery, Distribution, Sample

EVERY = timedelta(seconds=10)
AT_LEAST = timedelta(minutes=5)  # a sample though nothing moved
MOST = 300  # samples of one distribution; then every second one goes
WINDOW = timedelta(seconds=60)  # over which the speed is taken
STATES = ("booted", "staged", "fetching", "waiting", "failed")  # as they lie on each other in the plot
WIDTH, HEIGHT = 600, 160


@dataclass(frozen=True)
class Progress:
    """At a moment. `bytes_s` None: not known yet; `expected_end` of fetching, None with a reason in
    `open_end`: "standing", "no_turn", "unknown" or "" when all is fetched."""

    counts: dict[str, int]
    total: int
    ended: int
    done_bytes: int
    bytes_s: int | None
    expected_end: datetime | None
    open_end: str


def progress(distribution: Distribution, *, now: datetime) -> Progress:
    """How far it is."""
    counts = distribution.deliveries.all().by_state()
    found = _bytes(distribution)
    total = sum(counts.values())
    ended = sum(counts.get(state, 0) for state in ("booted", "failed", "superseded"))
    rate = _rate(distribution, found["done"], now)
    left = _left(distribution, found)
    end, why = None, ""
    if left and distribution.is_open:
        if distribution.stands or distribution.state == Distribution.State.PILOTED:
            why = "standing"
        elif not pacing.is_open(distribution.fetch_hours, now):
            why = "no_turn"
        elif not rate:
            why = "unknown"
        else:
            end = now + timedelta(seconds=left / rate)
    return Progress(counts, total, ended, found["done"], rate, end, why)


def take_sample(distribution: Distribution, *, now: datetime) -> bool:
    """Notes how it stands, when that is worth a point of the plot; whether it did."""
    last = distribution.samples.order_by("-at").first()
    if last is not None and now - last.at < EVERY:
        return False
    states = distribution.deliveries.all().by_state()
    kept = {state: states.get(state, 0) for state in STATES}
    done = _bytes(distribution)["done"]
    if last is not None and now - last.at < AT_LEAST:
        same = all(getattr(last, state) == count for state, count in kept.items())
        if same and last.done_bytes == done:
            return False
    Sample.objects.create(distribution=distribution, at=now, done_bytes=done, **kept)
    _thin(distribution)
    return True


@dataclass(frozen=True)
class Area:
    """One state's part of the plot, as the points of a polygon."""

    state: str
    points: str


@dataclass(frozen=True)
class Plot:
    """The wave: areas on each other, of all PCs, over time; and the rows of the table beside it."""

    areas: list[Area]
    rows: list[Sample]
    begin: datetime
    end: datetime
    width: int = WIDTH
    height: int = HEIGHT


def plot(distribution: Distribution) -> Plot | None:
    """None before there are two points."""
    samples = list(distribution.samples.order_by("at", "pk"))
    if len(samples) < 2:
        return None
    begin, end = samples[0].at, samples[-1].at
    span = max(1.0, (end - begin).total_seconds())
    across = [round((one.at - begin).total_seconds() / span * WIDTH, 1) for one in samples]
    whole = max(1, *(sum(getattr(one, state) for state in STATES) for one in samples))
    floor = [0] * len(samples)
    areas = []
    for state in STATES:
        top = [low + getattr(one, state) for low, one in zip(floor, samples, strict=True)]
        if top != floor:
            upper = [f"{x},{_up(n, whole)}" for x, n in zip(across, top, strict=True)]
            lower = [f"{x},{_up(n, whole)}" for x, n in zip(across, floor, strict=True)]
            areas.append(Area(state, " ".join([*upper, *reversed(lower)])))
        floor = top
    step = max(1, -(-len(samples) // 12))
    return Plot(areas, [*samples[:-1:step], samples[-1]], begin, end)


def _up(count: int, whole: int) -> float:
    return round(HEIGHT - count / whole * HEIGHT, 1)


def _bytes(distribution: Distribution) -> dict[str, int]:
    open_ones = Q(state__in=[Delivery.State.WAITING, Delivery.State.FETCHING])
    found = distribution.deliveries.aggregate(
        done=Sum("done_bytes"),
        known=Sum("total_bytes"),
        sized=Count("pk", filter=Q(total_bytes__gt=0)),
        left=Sum("total_bytes", filter=open_ones),
        left_done=Sum("done_bytes", filter=open_ones),
        unsized=Count("pk", filter=open_ones & Q(total_bytes=0)),
    )
    return {name: int(value or 0) for name, value in found.items()}


def _left(distribution: Distribution, found: dict[str, int]) -> int:
    """What is still to be fetched; a PC that has not said how much gets what the others got on average."""
    each = found["known"] // found["sized"] if found["sized"] else distribution.version.packed_bytes
    return max(0, found["left"] - found["left_done"]) + found["unsized"] * each


def _rate(distribution: Distribution, done: int, now: datetime) -> int | None:
    before = distribution.samples.filter(at__lt=now)
    first = before.filter(at__gte=now - WINDOW).order_by("at").first() or before.order_by("-at").first()
    if first is None:
        return None
    return max(0, int((done - first.done_bytes) / max(1.0, (now - first.at).total_seconds())))


def _thin(distribution: Distribution) -> None:
    keys = list(distribution.samples.order_by("at", "pk").values_list("pk", flat=True))
    if len(keys) > MOST:
        Sample.objects.filter(pk__in=keys[1:-1:2]).delete()

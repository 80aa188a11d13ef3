"""Whose turn it is to fetch, and how fast: waves, sites, hours. Sweeps rows; nothing here is told what to do.

A PC has its turn when `released_at` is set, and is told the rate in its row. Rate 0 means that it has to wait
again, because its site or the distribution allows no fetching at this hour; then it is the first to go on.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import datetime

from django.db import transaction
from django.utils import timezone

from clients import hours, nudge
from clients.models import Client, Site
from clients.sites.finding import Sites
from imaging.models import Delivery, Distribution
from vrasnode.wire.imaging import Switch

TOLERANCE = 0.1  # a share that differs by less is not worth telling the PC
WEEK_MINUTES = 7 * 24 * 60


def pace(distribution: Distribution, *, now: datetime, sites: Sites | None = None) -> int:
    """Gives the next PCs their turn: `wave_size` at a time, and what their sites allow; returns how many."""
    with transaction.atomic():
        row = Distribution.objects.select_for_update().get(pk=distribution.pk)
        if row.state != Distribution.State.RUNNING or not is_open(row.fetch_hours, now):
            return 0
        floor = Floor(sites or Sites(), now=now)
        room = row.wave_size - floor.of_distribution[row.pk]
        turn = floor.admit(row, room) if room > 0 else []
        told = defaultdict(list)
        for delivery in turn:
            told[floor.share(delivery.client, row.rate_bytes_s)].append(delivery.pk)
        for rate, ones in told.items():
            Delivery.objects.filter(pk__in=ones).update(released_at=now, heard_at=now, rate_bytes_s=rate)
    if turn:
        nudge.nodes([delivery.client for delivery in turn])
    return len(turn)


def balance(*, now: datetime) -> int:
    """Divides each site's rate anew among the PCs that fetch there, and makes those wait whose hour it is
    not; returns how many PCs are told."""
    floor = Floor(Sites(), now=now)
    told: dict[int | None, list[Delivery]] = defaultdict(list)
    for delivery in floor.busy:
        open_now = is_open(delivery.distribution.fetch_hours, now)
        rate = floor.share(delivery.client, delivery.distribution.rate_bytes_s) if open_now else 0
        if _differs(delivery.rate_bytes_s, rate):
            told[rate].append(delivery)
    for rate, ones in told.items():
        rows = Delivery.objects.filter(pk__in=[delivery.pk for delivery in ones])
        rows.update(rate_bytes_s=rate, heard_at=now)
    nudged = [delivery.client for ones in told.values() for delivery in ones]
    if nudged:
        nudge.nodes(nudged)
    return len(nudged)


def give_turns_anew(deliveries: Iterable[Delivery]) -> None:
    """PCs that had their turn when somebody stopped them: they go on first, as soon as there is room."""
    keys = [delivery.pk for delivery in deliveries if delivery.released_at is not None]
    busy = [Delivery.State.WAITING, Delivery.State.FETCHING]
    Delivery.objects.filter(pk__in=keys, state__in=busy).update(rate_bytes_s=0)


def is_open(text: str, now: datetime) -> bool:
    """Whether a window of hours is open."""
    named = hours.windows(text)
    return named is None or hours.hour_of(timezone.localtime(now)) in named


def switch_of(distribution: Distribution, *, paused: bool, now: datetime) -> Switch:
    """When PCs may start what they have staged."""
    return Switch(
        held=paused or distribution.stands,
        windows=_utc_windows(distribution.switch_hours, now),
        postponements=distribution.postponements,
        deadline=distribution.deadline,
    )


class Floor:
    """The PCs that have their turn now, over all distributions, counted by site."""

    def __init__(self, sites: Sites, *, now: datetime) -> None:
        self._sites = sites
        self._now = now
        rows = Delivery.objects.all().busy().select_related("distribution").defer("assignment")
        self.busy = list(rows.prefetch_related("client"))
        self.of_distribution = Counter(delivery.distribution_id for delivery in self.busy)
        self._at_site = Counter(self._site(delivery.client) for delivery in self.busy)

    def admit(self, distribution: Distribution, room: int) -> list[Delivery]:
        """The next `room` PCs of a distribution whose sites have room, too; they count from now on."""
        turn: list[Delivery] = []
        rows = distribution.deliveries.all().next_ones(now=self._now).defer("assignment")
        for delivery in rows.select_related("client").iterator():
            site = self._site(delivery.client)
            if site is not None and not self._has_room(site):
                continue
            self._at_site[site] += 1
            turn.append(delivery)
            if len(turn) >= room:
                break
        return turn

    def share(self, client: Client, own: int | None) -> int | None:
        """How fast this PC may fetch: its part of what its site may, and not more than `own`."""
        site = self._site(client)
        whole = site.rate_bytes_s(self._now) if site is not None else None
        if whole is None:
            return own
        part = max(hours.LEAST_BYTES_S, whole // max(1, self._at_site[site])) if whole else 0
        return part if own is None else min(own, part)

    def _has_room(self, site: Site) -> bool:
        full = site.at_once is not None and self._at_site[site] >= site.at_once
        return not full and site.rate_bytes_s(self._now) != 0

    def _site(self, client: Client) -> Site | None:
        return self._sites.of(client.address)


def _differs(told: int | None, rate: int | None) -> bool:
    if told is None or rate is None or not rate:
        return told != rate
    return rate < told or rate > told * (1 + TOLERANCE)


def _utc_windows(text: str, now: datetime) -> list[tuple[int, int]]:
    """The hours of our clock as minutes of the week in UTC, those that touch as one."""
    named = hours.windows(text)
    if named is None or len(named) == hours.HOURS:
        return []
    offset = timezone.localtime(now).utcoffset()
    shift = int(offset.total_seconds()) // 60 if offset else 0
    spans: list[tuple[int, int]] = []
    for start in sorted((hour * 60 - shift) % WEEK_MINUTES for hour in named):
        if spans and spans[-1][1] == start:
            spans[-1] = spans[-1][0], start + 60
        else:
            spans.append((start, start + 60))
    return spans

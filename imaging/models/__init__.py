"""Workgroup Desktop's rows. Whoever needs one takes it from here."""

from imaging.models.deltas import DeltaSet
from imaging.models.distributions import (
    LATELY,
    LOST,
    NO_CONTACT,
    QUIET,
    REVOKED,
    Delivery,
    DeliveryQuerySet,
    Distribution,
    DistributionQuerySet,
    Sample,
    next_serial,
)
from imaging.models.images import MACHINES, NO_AGENT, ImageVersion, ImageVersionQuerySet, MasterImage, Pack
from imaging.models.subscriptions import Subscription
from imaging.models.terms import NO_PILOTS

__all__ = [
    "LATELY",
    "LOST",
    "MACHINES",
    "NO_AGENT",
    "NO_CONTACT",
    "NO_PILOTS",
    "QUIET",
    "REVOKED",
    "Delivery",
    "DeliveryQuerySet",
    "DeltaSet",
    "Distribution",
    "DistributionQuerySet",
    "ImageVersion",
    "ImageVersionQuerySet",
    "MasterImage",
    "Pack",
    "Sample",
    "Subscription",
    "next_serial",
]

"""Checkout's rows. Whoever needs one takes it from here."""

from checkout.models.chains import ChainLink, CheckoutTerms, Decider, Deputy, Kind
from checkout.models.letters import Letter
from checkout.models.requests import (
    CheckoutRequest,
    CheckoutRequestQuerySet,
    Lease,
    LeaseQuerySet,
    RequestStep,
)

__all__ = [
    "ChainLink",
    "CheckoutRequest",
    "CheckoutRequestQuerySet",
    "CheckoutTerms",
    "Decider",
    "Deputy",
    "Kind",
    "Lease",
    "LeaseQuerySet",
    "Letter",
    "RequestStep",
]

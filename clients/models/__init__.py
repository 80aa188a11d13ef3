"""The registry's rows. Whoever needs one takes it from here."""

from clients.auditing import Event
from clients.models.enrolment import EnrolmentToken, PublisherKey
from clients.models.named import Named, check_name
from clients.models.pcs import (
    Client,
    ClientQuerySet,
    DevicePolicy,
    DeviceRecord,
    DeviceRule,
    Group,
)
from clients.models.people import ApiToken, DirectoryUser
from clients.models.sites import Site, check_windows
from clients.models.wifi import WifiNetwork, WifiSecret, WifiStanding

__all__ = [
    "ApiToken",
    "Client",
    "ClientQuerySet",
    "DevicePolicy",
    "DeviceRecord",
    "DeviceRule",
    "DirectoryUser",
    "EnrolmentToken",
    "Event",
    "Group",
    "Named",
    "PublisherKey",
    "Site",
    "WifiNetwork",
    "WifiSecret",
    "WifiStanding",
    "check_name",
    "check_windows",
]

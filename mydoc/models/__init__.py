"""My Doc Manager's rows. Whoever needs one takes it from here."""

from mydoc.models.keeping import WHAT_TO_DO, Keeping, KeptSnapshot, NasLook, ReplicaAlarm, Upkeep
from mydoc.models.losses import Lockout, Loss
from mydoc.models.replicas import Replica, ReplicationRun
from mydoc.models.restorations import Restoration
from mydoc.models.volumes import (
    Custodian,
    DirectoryWatch,
    FolderGrant,
    Look,
    Opening,
    OpeningQuerySet,
    Volume,
    person_id,
)

__all__ = [
    "WHAT_TO_DO",
    "Custodian",
    "DirectoryWatch",
    "FolderGrant",
    "Keeping",
    "KeptSnapshot",
    "Lockout",
    "Look",
    "Loss",
    "NasLook",
    "Opening",
    "OpeningQuerySet",
    "Replica",
    "ReplicaAlarm",
    "ReplicationRun",
    "Restoration",
    "Upkeep",
    "Volume",
    "person_id",
]

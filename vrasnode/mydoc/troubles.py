"""Codes of what goes wrong with a volume, by what is done about it."""

DAMAGED = frozenset(
    {
        *("volume_damaged", "volume_missing", "volume_truncated", "no_filesystem", "foreign_filesystem"),
        *("wrong_key", "half_damaged", "sealed_elsewhere"),
    }
)
# What no second try mends; all else is tried TRIES times, and what nobody has to act on, on and on.
FINAL = DAMAGED | {"pin_needed", "no_custodians", "disk_full", "not_for_us", "bad_half"}
BEING_COPIED = ("being_copied", "Its replica is being finished: it is read for that, by nobody else.")
READ_ONLY = ("volume_read_only", "The volume takes no changes since an error. Make room, and log on again.")
PATIENT = frozenset({"libvirt_gone"})

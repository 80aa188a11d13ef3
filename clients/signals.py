"""What other apps may want to know of a PC, without `clients` knowing them. Sent inside the transaction."""

from django.dispatch import Signal

client_joined = Signal()
"""A PC was approved, or came to another group: `client`, `now`."""

client_lost = Signal()
"""A PC was declared lost: `client`, `now`."""

client_revoked = Signal()
"""A PC is refused from now on: `client`, `now`."""

"""What a person is called, in the order in which the reader's language has it."""

from typing import Any

from django.utils.translation import get_language


def name_of(user: Any) -> str:
    """The full name; the user name of somebody who has none."""
    names = [user.first_name, user.last_name]
    if (get_language() or "").startswith("ja"):
        names.reverse()
    return " ".join(filter(None, names)) or str(user.get_username())

"""Names and paths of files, which are bytes, as they cross the line to the virtual server: base64. Pure."""

import base64
import binascii


def text_of(name: bytes) -> str:
    """To the guest."""
    return base64.b64encode(name).decode()


def bytes_of(text: object) -> bytes:
    """From the guest. Raises ValueError."""
    if not isinstance(text, str):
        raise ValueError(f"{type(text).__name__} is no name")
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from error

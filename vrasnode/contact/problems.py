"""What a server's no means: from an HTTP status and its problem document (RFC 9457) to our errors."""

from collections.abc import Mapping

from vrasnode.errors import Refused, Unreachable, VrasError
from vrasnode.wire.codec import Message, decode

TRY_AGAIN = {408, 425, 429}
GONE = {401, 403, 404, 410}


class Denied(Refused):
    """The server said no, with this HTTP status."""

    def __init__(self, status: int, code: str, words: str) -> None:
        super().__init__(code, words)
        self.status = status


class Problem(Message, frozen=True):
    """A problem document, as far as it is read."""

    code: str = ""
    title: str = ""
    detail: str = ""


def problem(body: bytes) -> Problem:
    """The problem in an answer; an empty one when it holds something else, a proxy's page for example."""
    try:
        return decode(body, Problem)
    except Refused:
        return Problem()


def refusal(status: int, body: bytes) -> VrasError:
    """Unreachable for what may be over soon, else Denied with the problem's code."""
    found = problem(body)
    code = found.code or f"http_{status}"
    words = found.detail or found.title or f"The server answered {status}."
    if status >= 500 or status in TRY_AGAIN:
        return Unreachable(code, words)
    return Denied(status, code, words)


def gone(error: VrasError) -> VrasError:
    """What a no means for something to fetch: places and permissions change, so look for the new ones."""
    if isinstance(error, Denied) and error.status in GONE:
        return Unreachable("fetch_gone", f"What is to be fetched is not there any more: {error.words}")
    return error


def retry_after(headers: Mapping[str, str]) -> float | None:
    """After how many seconds to ask again, if the server said."""
    value = headers.get("Retry-After", "")
    return float(value) if value.isdecimal() else None

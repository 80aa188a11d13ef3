"""How a command ends: exit codes, and which error leads to which."""

from enum import IntEnum

from vrasnode.errors import Refused, Unreachable, VrasError


class Exit(IntEnum):
    """Exit codes. Programs rely on them; a new outcome gets a new number."""

    OK = 0
    BAD_INPUT = 1
    USAGE = 2
    REFUSED = 3
    PCS_FAILED = 4
    UNREACHABLE = 5
    NOT_LOGGED_IN = 6
    INTERRUPTED = 130


EXIT_CODES = """\b
Exit codes:
  0    done
  1    the input cannot be used (file, name), or this machine failed
  2    wrong usage
  3    the server refused; the code stands in brackets
  4    a distribution ended, but not every PC booted the version
  5    the server cannot be reached
  6    not logged in, or the token has expired
  130  interrupted
"""


class ServerRefused(Refused):
    """The server said no: `code` and `words` are its own, `status` is that of HTTP."""

    def __init__(self, code: str, words: str, *, status: int) -> None:
        super().__init__(code, words)
        self.status = status


class NotLoggedIn(Refused):
    """There is no token, or the server does not accept it any more."""


class PcsFailed(VrasError):
    """A distribution came to its end without every PC."""


def exit_code(error: VrasError) -> Exit:
    """The exit code that says what kind of error this was."""
    match error:
        case NotLoggedIn():
            return Exit.NOT_LOGGED_IN
        case ServerRefused():
            return Exit.REFUSED
        case PcsFailed():
            return Exit.PCS_FAILED
        case Unreachable():
            return Exit.UNREACHABLE
        case _:
            return Exit.BAD_INPUT

"""What can go wrong on a PC, sorted by who has to act. Anything else is a bug of ours."""


class VrasError(Exception):
    """Base: `code` is stable and machine-readable, `words` tell a person what to do next."""

    def __init__(self, code: str, words: str) -> None:
        super().__init__(f"{words} [{code}]")
        self.code = code
        self.words = words


class Unreachable(VrasError):
    """The other side did not answer, or could not. Nobody has to act: it is tried again."""


class Refused(VrasError):
    """A rule said no, or bytes were not what was signed. An administrator has to act."""


class HostBroken(VrasError):
    """This machine cannot do its part (disk full, libvirt gone). The machine has to be seen to."""

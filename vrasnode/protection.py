"""Whether user data may be kept on this PC, by what the PC says of itself; pure."""

from dataclasses import dataclass

from msgspec.structs import replace

from vrasnode import words
from vrasnode.wire.clients import HostFacts


@dataclass(frozen=True)
class Protection:
    """Whether user data may be kept on this PC. `allowed_bare`: it may, although the state directory is not
    encrypted, because whoever started the agent said so."""

    blocked: tuple[str, str] | None
    allowed_bare: bool

    @classmethod
    def of(cls, facts: HostFacts, *, allow_unencrypted: bool) -> "Protection":
        bare = facts.platform is not None and facts.platform.encrypted_state is False
        if not bare or allow_unencrypted:
            return cls(None, allowed_bare=bare)
        code = "state_not_encrypted"
        remedy = words.say(f"{code}.remedy", words.FALLBACK)
        return cls((code, f"{words.say(code, words.FALLBACK)} {remedy}"), allowed_bare=False)

    def told(self, facts: HostFacts) -> HostFacts:
        """The facts, with what was allowed."""
        if not self.allowed_bare or facts.platform is None:
            return facts
        return replace(facts, platform=replace(facts.platform, unencrypted_allowed=True))

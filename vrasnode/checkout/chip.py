"""The TPM as keeper of usage keys, by tpm2-tools: it gives a half back to the PIN, within the period, once.

Each lease has a counter of its own in the chip (an NV index), whose authorisation is what stands for the PIN.
The half is sealed under a policy of three: that counter stands where it stood when the key was picked up
(PolicyNV); the chip was on no longer than may be (PolicyCounterTimer); the counter's authorisation was given
(PolicySecret). A wrong PIN counts towards the chip's own lockout. To end a lease the counter is raised and
removed: a counter made anew begins above every earlier one, so what was sealed is lost for ever, whatever is
put back on the disk.

PolicyAuthValue would do as well, but `tpm2_unseal` takes that value as an argument alone, where every process
sees it. One counter more, for all of the PC, says whether the state file is the newest (`state`).

What counts as on is the chip's clock: it never goes back, but a power cut may cost it what it had not noted
down yet, up to an hour or so. A software TPM is a file: put back, it forgets that a lease has ended.
"""

import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from vrasnode.errors import HostBroken, Refused
from vrasnode.host.tpm import Tools, Tpm
from vrasnode.wire import codec
from vrasnode.wire.codec import Message

STATE_INDEX = 0x01856A00  # of the range that belongs to the owner of the chip
FIRST_INDEX, INDEXES = 0x01856A10, 16
TRIES, RECOVERY_S, LOCKOUT_S = 32, 600, 86400  # as Windows sets them

_STATE_ATTRIBUTES = "ownerread|ownerwrite|no_da|nt=counter"
_ATTRIBUTES = "ownerread|ownerwrite|policyread|authread|nt=counter"
_PARENT = "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|restricted|decrypt|noda"
_WRONG_AUTH, _LOCKED_OUT = {"98e", "9a2"}, {"921"}  # TPM_RC_AUTH_FAIL, BAD_AUTH; LOCKOUT
_GONE = {"126", "99d", "1c5", "18b", "28b"}  # TPM_RC_POLICY, POLICY_FAIL; no such index
_FOREIGN = {"1df", "2df", "3df"}  # TPM_RC_INTEGRITY


class Kept(Message, frozen=True):
    """A half, for the chip that keeps it. `counter` is what its index `index` has to show."""

    index: int
    counter: bytes
    until_ms: int  # of the chip's clock
    public: bytes
    private: bytes


class Chip:
    """One TPM. Each act may raise HostBroken(no_tpm, tpm_failed)."""

    def __init__(self, tpm: Tpm) -> None:
        self.tpm = tpm

    def present(self) -> bool:
        return self.tpm.present()

    def is_software(self) -> bool:
        return self.tpm.is_software()

    def count(self) -> int:
        """How often the state was changed, by the chip's own count; 0: never."""
        with self._tools() as tools:
            return _count(tools) if STATE_INDEX in _indexes(tools) else 0

    def count_on(self) -> int:
        """One more; returns the new count."""
        with self._tools() as tools:
            if STATE_INDEX not in _indexes(tools):
                tools.run(["tpm2_nvdefine", "-Q", "-C", "o", "-a", _STATE_ATTRIBUTES, hex(STATE_INDEX)])
            tools.run(["tpm2_nvincrement", "-Q", "-C", "o", hex(STATE_INDEX)])
            return _count(tools)

    def keep(self, half: bytes, *, code: bytes, on_s: float) -> bytes:
        """What `give` makes the half of again, with this code, until the chip was on for so long."""
        with self._tools() as tools:
            taken = _indexes(tools)
            free = (FIRST_INDEX + place for place in range(INDEXES) if FIRST_INDEX + place not in taken)
            index = next(free, None)
            if index is None:
                raise HostBroken("tpm_full", "The TPM keeps too many usage keys. Return one of them first.")
            _set_lockout(tools)
            define = ["tpm2_nvdefine", "-Q", "-C", "o", "-a", _ATTRIBUTES, "-p", "file:-", hex(index)]
            tools.run(define, given=_auth(code))
            tools.run(["tpm2_nvincrement", "-Q", "-C", "o", hex(index)])
            counter = tools.run(["tpm2_nvread", "-C", "o", hex(index)])
            until_ms = _clock_ms(tools) + round(on_s * 1000)
            _make_parent(tools)
            tools.run(["tpm2_startauthsession", "-S", "trial"])
            _fulfil(tools, "trial", index=index, counter=counter, until_ms=until_ms, code=code)
            tools.run(["tpm2_flushcontext", "trial"])
            tools.run(["tpm2_startauthsession", "--hmac-session", "-c", "parent", "-S", "session"])
            tools.run(["tpm2_sessionconfig", "--enable-encrypt", "--enable-decrypt", "session"])
            create = ["tpm2_create", "-Q", "-C", "parent", "-S", "session", "-L", "policy"]
            sealed = ["-a", "fixedtpm|fixedparent|noda", "-i", "-", "-u", "public", "-r", "private"]
            tools.run([*create, *sealed], given=half)
            tools.run(["tpm2_flushcontext", "session"])
            kept = Kept(
                index=index,
                counter=counter,
                until_ms=until_ms,
                public=tools.read("public"),
                private=tools.read("private"),
            )
        return codec.encode(kept)

    def give(self, blob: bytes, *, code: bytes) -> bytes:
        """The half again.

        Raises Refused(wrong_pin, tpm_locked_out, key_gone), HostBroken(sealed_elsewhere)."""
        kept = codec.decode(blob, Kept)
        with self._tools() as tools:
            tools.write("public", kept.public)
            tools.write("private", kept.private)
            _make_parent(tools)
            load = ["tpm2_load", "-Q", "-C", "parent", "-u", "public", "-r", "private", "-c", "object"]
            _asked(tools, load)
            tools.run(["tpm2_startauthsession", "--policy-session", "-c", "parent", "-S", "session"])
            try:
                tools.run(["tpm2_sessionconfig", "--enable-encrypt", "--enable-decrypt", "session"])
                _fulfil(
                    tools,
                    "session",
                    index=kept.index,
                    counter=kept.counter,
                    until_ms=kept.until_ms,
                    code=code,
                )
                return _asked(tools, ["tpm2_unseal", "-c", "object", "-p", "session:session"])
            finally:
                tools.attempt(["tpm2_flushcontext", "session"])

    def destroy(self, blob: bytes) -> None:
        """Nobody ever gets the half again."""
        kept = codec.decode(blob, Kept)
        with self._tools() as tools:
            if kept.index in _indexes(tools):
                counter = tools.run(["tpm2_nvread", "-C", "o", hex(kept.index)])
                if counter == kept.counter:  # else it is another lease's by now
                    _remove(tools, kept.index)

    def keep_only(self, blobs: Sequence[bytes]) -> None:
        """Destroys what was kept for leases of which nothing is known any more."""
        known = {codec.decode(blob, Kept).index for blob in blobs}
        with self._tools() as tools:
            for index in _indexes(tools) - known:
                if FIRST_INDEX <= index < FIRST_INDEX + INDEXES:
                    _remove(tools, index)

    @contextmanager
    def _tools(self) -> Iterator[Tools]:
        with tempfile.TemporaryDirectory(prefix="vrasnode-tpm-") as scratch:
            yield Tools(self.tpm.tcti, Path(scratch))


def _set_lockout(tools: Tools) -> None:
    """Where nobody else has taken charge of it: to try would lock out whoever has."""
    if re.search(rb"lockoutAuthSet:\s*0", tools.run(["tpm2_getcap", "properties-variable"])):
        times = [f"--recovery-time={RECOVERY_S}", f"--lockout-recovery-time={LOCKOUT_S}"]
        tools.run(["tpm2_dictionarylockout", "--setup-parameters", f"--max-tries={TRIES}", *times])


def _make_parent(tools: Tools) -> None:
    tools.run(["tpm2_createprimary", "-Q", "-C", "o", "-G", "ecc", "-a", _PARENT, "-c", "parent"])


def _fulfil(tools: Tools, session: str, *, index: int, counter: bytes, until_ms: int, code: bytes) -> None:
    tools.write("counter", counter)
    where = ["-Q", "-S", session]
    _asked(tools, ["tpm2_policynv", *where, "-C", "o", "-i", "counter", hex(index), "eq"])
    _asked(tools, ["tpm2_policycountertimer", *where, "--ult", f"clock={until_ms}"])
    _asked(
        tools, ["tpm2_policysecret", *where, "-c", hex(index), "-L", "policy", "file:-"], given=_auth(code)
    )


def _asked(tools: Tools, command: list[str], *, given: bytes = b"") -> bytes:
    """What the chip gives, or why it does not."""
    done = tools.attempt(command, given=given)
    tools.clear()
    if done.returncode == 0:
        return done.stdout
    said = done.stderr.decode(errors="replace")
    codes = {found.lower().lstrip("0") for found in re.findall(r"\(0x([0-9a-fA-F]+)\)", said)}
    if codes & _WRONG_AUTH:
        raise Refused("wrong_pin", "The PIN is wrong.")
    if codes & _LOCKED_OUT:
        raise Refused("tpm_locked_out", "The TPM has seen too many wrong PINs. Wait ten minutes.")
    if codes & _FOREIGN:
        raise HostBroken("sealed_elsewhere", "This usage key is kept by the TPM of another PC.")
    if codes & _GONE:
        raise Refused("key_gone", "The TPM does not give this usage key any more: its period is over.")
    last = said.strip().splitlines()[-1:] or ["it gave no reason"]
    raise HostBroken("tpm_failed", f"The TPM refused {command[0]}: {last[0]}.")


def _auth(code: bytes) -> bytes:
    """As the tools take it: text, of no more than 32 letters."""
    return code.hex()[:32].encode()


def _remove(tools: Tools, index: int) -> None:
    tools.run(["tpm2_nvincrement", "-Q", "-C", "o", hex(index)])  # a kill after this leaves nothing usable
    tools.run(["tpm2_nvundefine", "-Q", "-C", "o", hex(index)])


def _indexes(tools: Tools) -> set[int]:
    listed = tools.run(["tpm2_getcap", "handles-nv-index"]).decode(errors="replace")
    return {int(found, 16) for found in re.findall(r"0x[0-9a-fA-F]+", listed)}


def _count(tools: Tools) -> int:
    return int.from_bytes(tools.run(["tpm2_nvread", "-C", "o", hex(STATE_INDEX)]), "big")


def _clock_ms(tools: Tools) -> int:
    said = tools.run(["tpm2_readclock"]).decode(errors="replace")
    found = re.search(r"clock: (\d+)", said)
    if found is None:
        raise HostBroken("tpm_failed", "The TPM does not say what its clock shows.")
    return int(found[1])

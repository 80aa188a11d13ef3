"""The TPM of this PC, by Debian's tpm2-tools: small secrets that only this very chip gives back.

A secret is sealed under the storage hierarchy's elliptic key, which the chip derives anew from its own seed
each time, so nothing is kept in it. Not bound to what has booted: a renewed kernel must not lock anybody out.
Thus a stolen disk without its PC gives nothing; the PC that was stolen whole gives its secrets to whoever is
root on it, and for that a volume's key has another half. What passes between processor and chip is encrypted,
against listening on the wires. A software TPM is a file: it protects nothing on the disk where that file is.
"""

import hashlib
import subprocess
import tempfile
from pathlib import Path

from vrasnode.errors import HostBroken, Refused
from vrasnode.wire import codec
from vrasnode.wire.codec import Message

DEVICE = "device:/dev/tpmrm0"  # the kernel's resource manager: nothing of ours is left behind in the chip
MAX_SECRET_BYTES = 96
PATIENCE_S = 30.0

_PURPOSE_BYTES = 16
_MOST_SEALED = 128  # TPM 2.0 Part 2 §11.1.4, MAX_SYM_DATA
_FOREIGN = "integrity check failed"


class Sealed(Message, frozen=True):
    """A secret, for the chip that sealed it."""

    public: bytes
    private: bytes


class Tpm:
    """One TPM. Each act may raise HostBroken(no_tpm, tpm_failed)."""

    def __init__(self, tcti: str = DEVICE) -> None:
        """`tcti` names another one, as tpm2-tools do (`swtpm:port=2321`)."""
        self.tcti = tcti

    def present(self) -> bool:
        """Whether there is one."""
        kind, _, path = self.tcti.partition(":")
        if kind == "device":
            return Path(path).exists()
        return self._said_of_itself() != ""

    def is_software(self) -> bool:
        """Whether it is a program that says so, whose memory is a file that can be copied."""
        return "IBM" in (said := self._said_of_itself()) and '"SW"' in said

    def _said_of_itself(self) -> str:
        asked = ["tpm2_getcap", "-T", self.tcti, "properties-fixed"]
        done = subprocess.run(asked, capture_output=True, check=False)
        return "" if done.returncode else done.stdout.decode(errors="replace")

    def seal(self, secret: bytes, purpose: str) -> bytes:
        """What `unseal` makes `secret` of again, here and for this purpose alone."""
        if not 0 < len(secret) <= MAX_SECRET_BYTES:
            raise ValueError(f"a TPM takes 1 to {MAX_SECRET_BYTES} bytes")
        with tempfile.TemporaryDirectory(prefix="vrasnode-tpm-") as scratch:
            tools = Tools(self.tcti, Path(scratch))
            tools.begin()
            create = ["tpm2_create", "-Q", "-C", "parent", "-S", "session", "-i", "-", "-u", "public"]
            tools.run([*create, "-r", "private"], given=_mark(purpose) + secret)
            tools.end()
            return codec.encode(Sealed(public=tools.read("public"), private=tools.read("private")))

    def unseal(self, blob: bytes, purpose: str) -> bytes:
        """The secret again.

        Raises Refused(not_for_us) when it was sealed for something else, and HostBroken(sealed_elsewhere)
        when another TPM did it, or this one before it was cleared."""
        sealed = codec.decode(blob, Sealed)
        with tempfile.TemporaryDirectory(prefix="vrasnode-tpm-") as scratch:
            tools = Tools(self.tcti, Path(scratch))
            tools.write("public", sealed.public)
            tools.write("private", sealed.private)
            tools.begin()
            tools.run(["tpm2_load", "-Q", "-C", "parent", "-u", "public", "-r", "private", "-c", "object"])
            data = tools.run(["tpm2_unseal", "-c", "object", "-p", "session:session"])
            tools.end()
        if data[:_PURPOSE_BYTES] != _mark(purpose):
            raise Refused("not_for_us", "This was sealed by the TPM for something else.")
        return data[_PURPOSE_BYTES:]


class Tools:
    """tpm2-tools at work in a directory of their own. What lies in it is encrypted by the chip, or public;
    secrets go by standard input and output."""

    def __init__(self, tcti: str, directory: Path) -> None:
        self._tcti = tcti
        self._directory = directory
        self._managed = tcti.startswith("device:/dev/tpmrm")

    def begin(self) -> None:
        """The key that seals, and a session under it that encrypts what comes and goes."""
        self.run(["tpm2_createprimary", "-Q", "-C", "o", "-G", "ecc", "-c", "parent"])
        self.run(["tpm2_startauthsession", "--hmac-session", "-c", "parent", "-S", "session"])
        self.run(["tpm2_sessionconfig", "--enable-encrypt", "--enable-decrypt", "session"])

    def end(self) -> None:
        """The chip has room for few sessions."""
        self.run(["tpm2_flushcontext", "session"])

    def run(self, command: list[str], *, given: bytes = b"") -> bytes:
        """What the tool writes."""
        done = self._run(command, given)
        self.clear()
        return done

    def clear(self) -> None:
        """Nobody else clears away what a tool leaves loaded."""
        if not self._managed:
            self._run(["tpm2_flushcontext", "-t"], b"")

    def read(self, name: str) -> bytes:
        return (self._directory / name).read_bytes()

    def write(self, name: str, data: bytes) -> None:
        (self._directory / name).write_bytes(data)

    def _run(self, command: list[str], given: bytes) -> bytes:
        done = self.attempt(command, given=given)
        if done.returncode == 0:
            return done.stdout
        said = done.stderr.decode(errors="replace").strip()
        if _FOREIGN in said:
            words = (
                "This was sealed by the TPM of another PC, or before the TPM was cleared. What it protected "
                "opens with the recovery key only: ask its custodians."
            )
            raise HostBroken("sealed_elsewhere", words)
        last = said.splitlines()[-1] if said else "it gave no reason"
        raise HostBroken("tpm_failed", f"The TPM refused {command[0]}: {last}.")

    def attempt(self, command: list[str], *, given: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
        """How the tool ended, whatever the chip said. Raises HostBroken(tpm_failed) when it cannot be run."""
        try:
            return subprocess.run(
                [command[0], "-T", self._tcti, *command[1:]],
                input=given,
                cwd=self._directory,
                capture_output=True,
                timeout=PATIENCE_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise HostBroken("tpm_failed", f"The TPM cannot be used: {error}.") from error


def _mark(purpose: str) -> bytes:
    return hashlib.sha256(f"openvras {purpose} v1".encode()).digest()[:_PURPOSE_BYTES]

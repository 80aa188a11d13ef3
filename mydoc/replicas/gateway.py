"""The door through which virtual servers copy user data to the NAS: rclone's REST server for restic.

It is append-only: nobody who comes through it deletes or alters what lies there, and each volume sees its own
repository alone. Who may come stands in a file that is written from the rows every second; a volume whose PC
is revoked is not in it.
"""

import base64
import hashlib
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

from django.utils import timezone

from clients import privatefile
from mydoc.models import Replica
from mydoc.nas import fileserver, tickets
from mydoc.nas.settings import GatewaySettings, NasSettings
from mydoc.replicas import gatewaycertificate, passwords

LOOK_S = 1.0
END_S = 10.0


def serve(
    place: NasSettings,
    door: GatewaySettings,
    *,
    listen: str,
    directory: Path,
    stop: threading.Event,
    started: Callable[[int], None] = lambda pid: None,
) -> int:
    """Serves until `stop` is set, or rclone ends by itself; its exit code. It begins anew, in a moment, with
    each certificate that it makes for itself. Raises Refusal."""
    who = directory / "gateway.htpasswd"
    while True:
        write(who)
        furnished = gatewaycertificate.furnished(door, directory, now=timezone.now())
        given = arguments(place, furnished, listen=listen, who=who)
        child = subprocess.Popen(given, env=fileserver.environment(place))
        started(child.pid)
        try:
            renewing = _watch(child, place, door, directory, stop)
        finally:
            _end(child)
        if not renewing:
            return 0 if stop.is_set() else child.returncode


def _watch(
    child: "subprocess.Popen[bytes]",
    place: NasSettings,
    door: GatewaySettings,
    directory: Path,
    stop: threading.Event,
) -> bool:
    """Until it has ended, or has to; whether it needs another certificate."""
    while child.poll() is None and not stop.wait(LOOK_S):
        write(directory / "gateway.htpasswd")
        tickets.keep_fresh(place)
        if gatewaycertificate.is_own(door) and gatewaycertificate.is_due(door, directory, now=timezone.now()):
            return True
    return False


def _end(child: "subprocess.Popen[bytes]") -> None:
    child.terminate()
    try:
        child.wait(END_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def arguments(place: NasSettings, door: GatewaySettings, *, listen: str, who: Path) -> list[str]:
    """How rclone is started; no secret is in it."""
    given = [str(fileserver.program()), "serve", "restic", "--addr", listen, "--htpasswd", str(who)]
    given += ["--append-only", "--private-repos", "--cache-objects=false", "--min-tls-version", "tls1.2"]
    if door.certificate and door.key:
        given += ["--cert", str(door.certificate), "--key", str(door.key)]
    return [*given, fileserver.root(place)]


def write(path: Path) -> bool:
    """Who may come in, as of now; whether that changed anything. Whole or not at all, for our eyes."""
    text = "".join(f"{name}:{_hash(password)}\n" for name, password in sorted(_people().items()))
    if path.exists() and path.read_text() == text:
        return False
    privatefile.write(path, text.encode())
    return True


def _people() -> dict[str, str]:
    return {str(row.volume_id): passwords.password_of(row) for row in Replica.objects.admitted()}


def _hash(password: str) -> str:
    """The passwords are random, of 256 bits: a slow hash would cost each request and keep nobody out who
    could not be kept out by this one."""
    return "{SHA}" + base64.b64encode(hashlib.sha1(password.encode()).digest()).decode()  # noqa: S324

"""A whole company for the walk of user data: a directory, a PC with both its machines, one user at work.

The agent is the real one, told shorter times by which it locks: the rules themselves are tested with injected
clocks (tests/vrasnode/mydoc/test_cutoff.py). Everything else is as it is delivered.
"""

import base64
import http.cookiejar
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3

from config.demo import bootimage, documents
from config.demo.directory import Directory
from config.demo.office import Office
from config.demo.server import ADMIN, DemoServer
from vrasnode.machines.hypervisor import Answer

LINK_S = 15.0  # instead of 70
AGENT = f"""
import sys
from vrasnode.cli.main import main
from vrasnode.mydoc import cutoff
from vrasnode.network import controllers
cutoff.LINK_S, cutoff.DOUBT_S, controllers.BETWEEN_S = {LINK_S}, 6.0, 3.0
sys.exit(main())
"""
LIMIT_S = 400.0  # on a busy machine; a few seconds are usual
USER = "alice"


class Workday:
    """The company, the PC, and the looks that tests take at the user's documents on it."""

    def __init__(self, office: Office) -> None:
        assert office.company is not None
        self.office = office
        self.directory: Directory = office.company.directory
        self.controller = office.company.controller
        self.pc = office.pcs[0]

    def log_on(self) -> str:
        """The user logs on inside the client VM, once it is up: what their logon script said."""
        self.wait("the client VM", self.pc.desktop_answers)
        return self.pc.log_on(USER, Directory.password_of(USER))

    def be_open(self) -> None:
        """Has the documents open, whatever was before."""
        if not self.is_open():
            self.log_on()

    def run(self, command: str, *, stdin: bytes = b"") -> Answer:
        """How a shell command of the user ended inside the client VM."""
        return self.pc.as_user(USER, command, stdin=stdin)

    def write(self, name: str, data: bytes) -> None:
        """A file in the user's Documents, on the virtual server's disk when this returns."""
        answer = self.run(f"cat > Documents/{name} && sync Documents/{name}", stdin=data)
        assert answer.exit_code == 0, answer.errors

    def read(self, name: str) -> bytes:
        answer = self.run(f"cat Documents/{name}")
        assert answer.exit_code == 0, answer.errors
        return answer.output

    def is_open(self) -> bool:
        """Whether the user can read there, inside the client VM."""
        return self.run("ls Documents/").exit_code == 0

    def is_mounted(self) -> bool:
        """Whether the client VM still has the share, readable or not."""
        return self.run("grep -q ' cifs ' /proc/self/mounts").exit_code == 0

    def told(self) -> dict[str, Any]:
        """What the PC said of the user's volume last, whole."""
        code = f"from mydoc.models import Volume; import json; v = Volume.objects.get(pk={self.volume!r})"
        printed = self.office.server.manage("shell", "-c", f"{code}; print(json.dumps(v.told))")
        return dict(json.loads(printed.strip().splitlines()[-1]))

    @property
    def volume(self) -> str:
        """The user's volume on this PC, by its id."""
        query = f"/api/v1/volumes/?owner__username={USER}&client__name={self.pc.name}"
        (found,) = self.office.rest("GET", query)["results"]
        return str(found["id"])

    def runs(self) -> list[dict[str, Any]]:
        """The times that the user's volume was, or is to be, copied; newest first."""
        return list(
            self.office.rest("GET", f"/api/v1/replications/?replica__volume={self.volume}")["results"]
        )

    def copy_now(self) -> dict[str, Any]:
        """Has it copied by hand, once what is under way is over; how that ended."""

        def ended() -> bool:
            return not self.runs() or self.runs()[0]["state"] not in ("waiting", "running")

        self.wait("the end of a copy", ended, known=self.runs)
        self.office.rest("POST", f"/api/v1/volumes/{self.volume}/replicate/")
        self.wait("the copy", ended, known=self.runs)
        return self.runs()[0]

    def move_to_a_pc_that_is_gone(self) -> None:
        """The user's volume was another PC's, which is not there any more: here they have none yet."""
        code = (
            "from clients.models import Client; from mydoc.models import Volume; import uuid; "
            f"v = Volume.objects.get(pk={self.volume!r}); gone = Client.objects.get(pk=v.client_id); "
            "gone.pk, gone.name, gone.signing_key = uuid.uuid4(), 'pc-gone', b'gone'; "
            "gone._state.adding = True; gone.save(); Volume.objects.filter(pk=v.pk).update(client=gone)"
        )
        self.office.server.manage("shell", "-c", code)

    def bring_back(self, source: str) -> float:
        """Has all that a replica of `source` holds brought into the volume of today; how long that took."""
        wish = {"source": source, "target": self.volume, "reason": "the PC is gone"}
        plan = self.office.rest("POST", "/api/v1/restorations/preview/", wish)
        self.office.rest("POST", "/api/v1/restorations/", {**wish, "confirm": str(plan["files"])})
        began = time.monotonic()

        def rows() -> list[dict[str, Any]]:
            return list(self.office.rest("GET", "/api/v1/restorations/")["results"])

        self.wait("the restoration", lambda: rows()[0]["state"] != "running", known=rows)
        assert (rows()[0]["state"], rows()[0]["left_out"]) == ("done", 0), rows()
        return time.monotonic() - began

    def share(self, folder: str, person: str, access: str) -> int:
        """Lets somebody read or change a folder, once the virtual server has it so; the grant's number."""
        path = f"/api/v1/volumes/{self.volume}/grants/"
        wish = {"path": _word(folder), "person": person, "access": access, "reason": "a test of sharing"}
        (row,) = (
            one
            for one in self.office.rest("POST", path, wish, revision="*")["grants"]
            if one["person"] == person
        )
        self.wait("the rights", lambda: self.office.rest("GET", path)["progress"] == "applied")
        return int(row["id"])

    def restic(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """A plain restic before the NAS, with the password that the custodians could unwrap, too."""
        code = (
            "from mydoc.replicas import passwords as replicakeys; from mydoc.models import Replica; "
            f"print(replicakeys.repository_password_of(Replica.objects.get(volume={self.volume!r})))"
        )
        password = self.office.server.manage("shell", "-c", code).strip().splitlines()[-1]
        given = {
            "RESTIC_REPOSITORY": str(self.office.data / "nas" / self.volume),
            "RESTIC_PASSWORD": password,
        }
        return subprocess.run(
            ["restic", "--no-cache", *arguments],
            env={**os.environ, **given},
            capture_output=True,
            text=True,
            check=False,
        )

    def restored(self, directory: Path) -> Path:
        """Where the newest replica of everything lies afterwards."""
        done = self.restic("restore", "latest", "--tag", "full", "--target", str(directory))
        assert done.returncode == 0, done.stderr
        (place,) = (directory / "data").iterdir()
        return place

    def openings(self, **wanted: str) -> list[dict[str, Any]]:
        """Logons that the server knows, newest first."""
        query = urllib.parse.urlencode(wanted)
        return list(self.office.rest("GET", f"/api/v1/openings/?{query}")["results"])

    def machine(self, name: str) -> int:
        """The process of a machine's QEMU."""
        (pid,) = (pid for pid in self.pc.lab.place.processes() if f"guest={name}," in _command_line(pid))
        return pid

    def daemons(self) -> list[int]:
        """The storage daemons of this PC, each of which serves an open volume."""
        return [
            pid
            for pid in self.pc.lab.place.processes()
            if "qemu-storage-daemon" in _command_line(pid).partition("\0")[0]
        ]

    def let_pass(self, seconds: float) -> None:
        """Lets a stretch of the PC's time pass, because its length is the point."""
        threading.Event().wait(seconds)

    def kill_machine(self, name: str) -> None:
        os.kill(self.machine(name), signal.SIGKILL)

    def wait(
        self,
        what: str,
        so: Callable[[], bool],
        *,
        within_s: float = LIMIT_S,
        known: Callable[[], object] = str,
    ) -> None:
        """Returns when it is so. Fails with what is known and the agent's last words when it is late."""
        deadline = time.monotonic() + within_s
        while not so():
            late = time.monotonic() >= deadline
            assert not late, f"{what}: not within {within_s} s\n{known()}\n{self.pc.agent.tail()}"
            time.sleep(0.1)


class Portal:
    """An administrator at the portal, as a browser without scripts."""

    def __init__(self, server: DemoServer) -> None:
        self._url = server.url
        self._jar = http.cookiejar.CookieJar()
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self._jar))
        self.get("/login/")
        self.post("/login/", username=ADMIN, password=server.password_file.read_text())

    def get(self, path: str) -> bytes:
        with self._opener.open(self._url + path, timeout=60) as answer:
            return bytes(answer.read())

    def post(self, path: str, **fields: str) -> bytes:
        (token,) = (cookie.value for cookie in self._jar if cookie.name == "csrftoken")
        data = urllib.parse.urlencode({"csrfmiddlewaretoken": token or "", **fields}).encode()
        request = urllib.request.Request(self._url + path, data=data)  # noqa: S310 - http, of the lab
        with self._opener.open(request, timeout=60) as answer:
            return bytes(answer.read())

    def put(self, grant: int, folder: str, name: str, data: bytes) -> str:
        """A file into a folder that one may change: the page afterwards."""
        self.get(f"/my/shared/{grant}/{_word(folder)}/")
        (token,) = (cookie.value for cookie in self._jar if cookie.name == "csrftoken")
        fields = {"csrfmiddlewaretoken": token or "", "file": (name, data)}
        body, kind = urllib3.encode_multipart_formdata(fields)
        request = urllib.request.Request(  # noqa: S310 - http, of the lab
            f"{self._url}/my/shared/{grant}/put/{_word(folder)}/", data=body, headers={"Content-Type": kind}
        )
        with self._opener.open(request, timeout=120) as answer:
            return bytes(answer.read()).decode()

    def look(self, volume: str, why: str) -> None:
        """Says why they look into this data."""
        self.get(f"/volumes/{volume}/reason/")
        self.post(f"/volumes/{volume}/reason/", reason=why)

    def folder(self, volume: str, path: str) -> str:
        """The page of a folder."""
        return self.get(f"/volumes/{volume}/folder/{_word(path)}/").decode()

    def file(self, volume: str, path: str) -> bytes:
        """A file, downloaded."""
        return self.get(f"/volumes/{volume}/file/{_word(path)}/")


def _word(path: str) -> str:
    return base64.urlsafe_b64encode(path.encode()).decode().rstrip("=") or "-"


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return ""  # it has ended


@pytest.fixture(scope="session")
def workday(swept: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workday]:
    """One company that the walks share; each begins by bringing the documents where it wants them."""
    cache = bootimage.default_cache()
    images = documents.build(cache, say=print)
    place = tmp_path_factory.mktemp("company")
    agent = (sys.executable, "-c", AGENT)
    with Office(place, port=0, count=1, cache=cache, say=print, full=True, agent=agent) as office:
        office.furnish()
        documents.equip(office, images)
        yield Workday(office)

"""A real installation of the management server: Redis, web, worker and clock as processes of their own.

Everything lies in one directory; every part can be killed (SIGKILL) and started again on what it left, at the
same address. Not for tests of one verb, which pytest-django's database serves better.
"""

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest
import urllib3

from vrasnode.servicevm.build.cache import default_cache, made_once, recipe

ROOT = Path(__file__).parents[2]
ADMIN = "admin"
START_S = 60
PARTS = ("clients", "imaging", "mydoc", "checkout")
DATABASE = "openvras.sqlite3"

# uvicorn's own --fd takes a TCP socket for a unix one and leaves Nagle's delay on.
_WEB = """
import socket, sys, uvicorn
listeners = [socket.socket(fileno=int(number)) for number in sys.argv[1:]]
config = uvicorn.Config("config.asgi:application", lifespan="off", log_level="info")
uvicorn.Server(config).run(sockets=listeners)
"""
_MIGRATE = """
import django; django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
"""
_SET_UP = """
import django; django.setup()
from django.core.management import call_command
call_command("keys", "init")
call_command("createsuperuser", interactive=False)
"""

OpenListener = Callable[[int], socket.socket]


def loopback(port: int) -> socket.socket:
    """A listener that only this machine reaches; port 0: any free one."""
    return socket.create_server(("127.0.0.1", port))


@dataclass
class Part:
    """One process of the installation."""

    name: str
    command: Sequence[str]
    env: Mapping[str, str]
    directory: Path
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def log(self) -> Path:
        return self.directory / f"{self.name}.log"

    @property
    def pid(self) -> int:
        assert self._process is not None, f"{self.name} was not started"
        return self._process.pid

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self, *arguments: str, keep_fds: Sequence[int] = ()) -> None:
        """Starts the process; it dies with this one, however this one ends."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig=KILL", *self.command, *arguments],
                cwd=ROOT,
                env=dict(self.env),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=keep_fds,
                start_new_session=True,
            )

    def kill(self) -> None:
        """SIGKILL, as a power cut would."""
        self.end(signal.SIGKILL)

    def end(self, with_signal: signal.Signals = signal.SIGTERM, *, grace_s: float = 10) -> None:
        """Ends the process, by SIGKILL if it does not go in time."""
        if self._process is None:
            return
        if self.runs:
            self._process.send_signal(with_signal)
        try:
            self._process.wait(grace_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def await_ready(self, ready: Callable[[], bool], *, within_s: float = START_S) -> None:
        """Returns once `ready` says so. Raises AssertionError with the log when it ends or takes too long."""
        deadline = time.monotonic() + within_s
        while not ready():
            assert self.runs, f"{self.name} ended:\n{self.tail()}"
            assert time.monotonic() < deadline, f"{self.name} is not ready after {within_s} s:\n{self.tail()}"
            time.sleep(0.05)

    def tail(self, lines: int = 30) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


class Server:
    """The installation in `directory`, from entering to leaving the `with` block."""

    username = ADMIN

    def __init__(
        self,
        directory: Path,
        *,
        lan: OpenListener | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """`lan` opens a second listener, where PCs reach the server (`Lan.open_listener`); `settings` are
        more OPENVRAS_ variables."""
        self.directory = directory
        self.password = secrets.token_urlsafe(16)
        self._openers = [loopback, *([lan] if lan else [])]
        self._addresses: list[tuple[str, int]] = [("", 0) for _ in self._openers]
        with loopback(0) as free:
            self._redis_port: int = free.getsockname()[1]
        self.env = {
            **_environment(directory / "data"),
            "OPENVRAS_REDIS": f"redis://127.0.0.1:{self._redis_port}/0",
            **(settings or {}),
        }
        port = str(self._redis_port)
        self.redis = self._part(
            "redis",
            "redis-server",
            "--bind",
            "127.0.0.1",
            "--port",
            port,
            "--save",
            "",
            "--dir",
            str(directory),
        )
        self.web = self._part("web", sys.executable, "-c", _WEB)
        self.worker = self._part("worker", *_celery("worker", "--pool", "solo", "--loglevel", "INFO"))
        self.clock = self._part("clock", *_celery("beat", "--schedule", str(directory / "beat")))

    def __repr__(self) -> str:
        return f"Server({self.url})"

    @property
    def url(self) -> str:
        """Where this machine reaches it."""
        return _url(self._addresses[0])

    @property
    def lan_url(self) -> str:
        """Where the PCs of its LAN reach it."""
        return _url(self._addresses[-1])

    def __enter__(self) -> Self:
        (self.directory / "data").mkdir(parents=True, exist_ok=True)
        try:
            self.start_redis()
            self._set_up()
            self.start_web()
            self.worker.start()
            self.clock.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start_redis(self) -> None:
        self.redis.start()
        self.redis.await_ready(lambda: _listens(self._redis_port))

    def start_web(self) -> None:
        """Starts (again) the web process at its addresses and returns when it answers."""
        with ExitStack() as stack:
            pairs = zip(self._openers, self._addresses, strict=True)
            listeners = [stack.enter_context(open_listener(port)) for open_listener, (_, port) in pairs]
            self._addresses = [listener.getsockname()[:2] for listener in listeners]
            fds = [listener.fileno() for listener in listeners]
            self.web.start(*map(str, fds), keep_fds=fds)
        self.web.await_ready(self._answers)

    def stop(self) -> None:
        """Ends every process that was started, whatever state it is in."""
        for part in (self.clock, self.worker, self.web, self.redis):
            part.end(signal.SIGKILL)

    def manage(self, *arguments: str) -> str:
        """Runs `manage.py` on this installation; returns what it printed."""
        return self._run("manage.py", *arguments)

    def shell(self, code: str) -> str:
        """Runs Python inside this installation's Django; returns what it printed."""
        return self._run("-c", f"import django; django.setup()\n{code}")

    def new_token(self, *, scope: str = "write") -> str:
        """A token of the administrator, as a program that logs in gets it."""
        wish = {"username": self.username, "password": self.password, "name": "tests", "scope": scope}
        return str(self.rest("POST", "/api/v1/tokens/login/", wish)["token"])

    def rest(self, method: str, path: str, body: object = None, *, token: str = "") -> Any:
        """One REST call; the JSON of the answer. Raises AssertionError on a refusal."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        answer = urllib3.request(
            method, self.url + path, json=body, headers=headers, retries=False, timeout=30
        )
        assert answer.status < 400, f"{method} {path}: {answer.status} {answer.data.decode()}"
        return json.loads(answer.data) if answer.data else None

    def _answers(self) -> bool:
        try:
            urllib3.request("GET", f"{self.url}/healthz", retries=False, timeout=2)
        except urllib3.exceptions.HTTPError:
            return False
        return True

    def _set_up(self) -> None:
        if "OPENVRAS_DATABASE" in self.env:
            self._run("-c", _MIGRATE)
        else:
            shutil.copyfile(_new_database() / DATABASE, self.directory / "data" / DATABASE)
        self._run(
            "-c",
            _SET_UP,
            DJANGO_SUPERUSER_USERNAME=self.username,
            DJANGO_SUPERUSER_EMAIL="",
            DJANGO_SUPERUSER_PASSWORD=self.password,
        )

    def _part(self, name: str, *command: str) -> Part:
        return Part(name, command, self.env, self.directory)

    def _run(self, *arguments: str, **more: str) -> str:
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=ROOT,
            env={**self.env, **more},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, (
            f"{arguments[:2]} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        )
        return done.stdout


def _environment(data: Path) -> dict[str, str]:
    """This process's, with no setting of the server but where its data lie."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("OPENVRAS_")}
    more = {"DJANGO_SETTINGS_MODULE": "config.settings", "OPENVRAS_DATA": str(data), "PYTHONUNBUFFERED": "1"}
    return ours | more


def _new_database() -> Path:
    """The folder of a database with all tables and no row of ours: made once for this source, then copied,
    for it takes longer than all the rest of an installation."""
    sources = sorted(path for part in PARTS for path in (ROOT / part).rglob("*.py"))
    folder = default_cache() / f"tables-{recipe([ROOT / 'requirements/server.lock', *sources])}"
    made_once(folder, _migrate)
    return folder


def _migrate(_scratch: Path, into: Path) -> None:
    env = _environment(into)
    subprocess.run([sys.executable, "-c", _MIGRATE], cwd=ROOT, env=env, check=True)
    for left in into.iterdir():
        if left.name != DATABASE:
            left.unlink()


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _url(address: tuple[str, int]) -> str:
    return f"http://{address[0]}:{address[1]}"


def _celery(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "celery", "--app", "config", "--quiet", *arguments]


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One installation that tests of a run share, each with names of its own."""
    with Server(tmp_path_factory.mktemp("server")) as server:
        yield server

"""A management server of one's own: private Redis, SQLite, web, worker and beat, all state in one directory.

Started again on the same directory it goes on. For the demo and the tests; a company runs
docker-compose.yml.
"""

import json
import os
import secrets
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import redis
import urllib3

from config.demo.processes import Child, run, wait_for
from config.demo.standing import Standing

ROOT = Path(__file__).resolve().parent.parent.parent
ADMIN = "admin"


class DemoServer(Standing):
    """The processes of a server. A context manager: running inside, ended after.

    `listeners` are sockets besides loopback on which PCs are served (their descriptors are passed on). `wrap`
    puts the processes into another network, from where they reach what is there.
    """

    def __init__(
        self,
        data: Path,
        *,
        port: int = 0,
        listeners: Sequence[socket.socket] = (),
        env: dict[str, str] | None = None,
        wrap: Callable[[Sequence[str]], list[str]] = list,
    ) -> None:
        self._wrap = wrap
        self.data = data.resolve()
        self._listeners = [socket.create_server(("127.0.0.1", port), backlog=1024), *listeners]
        self.port: int = self._listeners[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._more_env = env or {}
        self.children: list[Child] = []

    def _stand_up(self, undo: ExitStack) -> None:
        for listener in self._listeners:
            undo.callback(listener.close)
        self._prepare()
        self._start(undo)

    @property
    def env(self) -> dict[str, str]:
        """What every process of this server finds in its environment."""
        return {
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "PYTHONPATH": str(ROOT),
            "OPENVRAS_DATA": str(self.data),
            "OPENVRAS_REDIS": f"unix://{self._redis_socket}",
            "OPENVRAS_SECRET_KEY": self._secret("secret-key"),
            "OPENVRAS_HEARTBEAT_S": "5",
            "OPENVRAS_POLL_S": "10",
            **self._more_env,
        }

    @property
    def password_file(self) -> Path:
        """Where the generated password of the administrator lies."""
        return self.data / "admin-password"

    def manage(self, *arguments: str, env: dict[str, str] | None = None) -> str:
        """Runs `manage.py` with these arguments and returns its output."""
        command = self._wrap([sys.executable, str(ROOT / "manage.py"), *arguments])
        return run(command, env={**self.env, **(env or {})})

    def child(self, name: str) -> Child:
        """The process of that name: redis, web, worker, beat or gateway."""
        return next(child for child in self.children if child.name == name)

    def save_redis(self) -> None:
        """Has Redis write all that it holds to its file."""
        redis.Redis(unix_socket_path=str(self._redis_socket)).save()

    def restart(self, name: str) -> None:
        """Starts a process again that was killed."""
        self.child(name).start()
        self._await_answer()

    @property
    def _redis_socket(self) -> Path:
        return Path(self._short) / "redis.sock"

    @property
    def _short(self) -> str:
        # A socket's path may have 107 bytes (unix(7)); the data directory may lie deep.
        record = self.data / "run-directory"
        if not record.exists():
            name = Path("/tmp") / f"openvras-{secrets.token_hex(6)}"  # noqa: S108  (0700, random name)
            record.write_text(str(name))
        path = Path(record.read_text())
        path.mkdir(mode=0o700, exist_ok=True)
        return str(path)

    def _secret(self, name: str) -> str:
        path = self.data / name
        if not path.exists():
            temporary = path.with_suffix(f".{os.getpid()}")
            handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(handle, "w") as file:
                file.write(secrets.token_urlsafe(24))
            temporary.rename(path)
        return path.read_text()

    def _prepare(self) -> None:
        self.data.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.manage("migrate", "--verbosity", "0")
        self.manage("keys", "init", "--name", "OpenVRAS demo")
        if not self.password_file.exists():
            password = {"DJANGO_SUPERUSER_PASSWORD": self._secret("admin-password.new")}
            self.manage("createsuperuser", "--noinput", "--username", ADMIN, "--email", "", env=password)
            (self.data / "admin-password.new").rename(self.password_file)

    def _start(self, undo: ExitStack) -> None:
        python = sys.executable
        celery = [python, "-m", "celery", "--app", "config"]
        alone = ["--pool", "solo", "--loglevel", "warning", "--without-gossip", "--without-mingle"]
        undo.callback(self._remove_run_directory)
        fds = [listener.fileno() for listener in self._listeners]
        commands: dict[str, list[str]] = {
            "redis": [
                "redis-server", "--port", "0", "--unixsocket", str(self._redis_socket),
                "--dir", str(self.data), "--save", "60 1", "--dbfilename", "redis.rdb",
                "--loglevel", "warning",
            ],
            "web": [python, "-m", "config.demo.web", *map(str, fds)],
            "worker": [*celery, "worker", "--queues", "celery,watch", *alone],
            # A process that need not hurry, so that a new version never waits behind its delta frames.
            "deltas": ["nice", "-n", "10", *celery, "worker", "--queues", "deltas", *alone],
            "beat": [*celery, "beat", "--schedule", str(self.data / "beat"), "--pidfile", "",
                     "--loglevel", "warning"],
        }  # fmt: skip
        if "OPENVRAS_GATEWAY_URL" in self.env:
            commands["gateway"] = [python, str(ROOT / "manage.py"), "gateway"]
        for name, argv in commands.items():
            log = self.data / "log" / f"{name}.log"
            child = Child(
                name, self._wrap(argv), log=log, env=self.env, pass_fds=fds if name == "web" else ()
            )
            self.children.append(undo.enter_context(child))
            if name == "redis":
                wait_for("Redis", self._redis_answers, children=self.children)
        self._await_answer()

    def _remove_run_directory(self) -> None:
        self._redis_socket.unlink(missing_ok=True)
        Path(self._short).rmdir()

    def _await_answer(self) -> None:
        wait_for("The server's answer", self._answers, children=self.children, timeout_s=90)

    def _answers(self) -> bool:
        try:
            answer = urllib3.request("GET", f"{self.url}/healthz", timeout=2.0, retries=False)
        except urllib3.exceptions.HTTPError:
            return False
        return answer.status == 200 and all(json.loads(answer.data).values())

    def _redis_answers(self) -> bool:
        try:
            return bool(redis.Redis(unix_socket_path=str(self._redis_socket)).ping())
        except redis.RedisError:
            return False

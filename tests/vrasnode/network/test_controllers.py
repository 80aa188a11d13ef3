"""Domain controllers as proof of the company's LAN: real TLS servers on loopback, right ones and others."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from config.demo.authority import DAY, Authority
from vrasnode.network.controllers import BETWEEN_S, Controllers

LIMIT_S = 60.0
NEVER = float("-inf")


class Time:
    now = 100.0

    def __call__(self) -> float:
        return self.now


class Listener:
    """Takes connections; with a certificate it is a TLS server, without one it only hangs."""

    def __init__(self, files: tuple[Path, Path] | None) -> None:
        self._context = None
        if files:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(files[1], files[0])
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._kept: list[socket.socket] = []
        self.taken = threading.Semaphore(0)
        self.port = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                self.taken.release()
                self._kept.append(connection)
                if self._context:
                    with suppress(OSError):
                        self._kept.append(self._context.wrap_socket(connection, server_side=True))

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(LIMIT_S)
        for connection in self._kept:
            connection.close()


@pytest.fixture
def listen() -> Iterator[Callable[..., Listener]]:
    listeners: list[Listener] = []

    def make(files: tuple[Path, Path] | None = None) -> Listener:
        listeners.append(Listener(files))
        return listeners[-1]

    yield make
    for listener in listeners:
        listener.close()


@pytest.fixture
def company(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "company")


def asked(controllers: Controllers, addresses: list[str], authority: Authority) -> float:
    """Asks, and waits for the threads that do."""
    before = set(threading.enumerate())
    controllers.ask(addresses, authority.file.read_text())
    for thread in set(threading.enumerate()) - before:
        thread.join(LIMIT_S)
    return controllers.answered_at


def test_one_with_a_certificate_of_the_company_for_its_name_proves_the_lan(
    company: Authority, tmp_path: Path, listen: Callable[..., Listener]
) -> None:
    right = listen(company.issue(tmp_path, "localhost"))

    assert asked(Controllers(clock=Time()), [f"localhost:{right.port}"], company) == 100.0


def test_nobody_else_proves_it(company: Authority, tmp_path: Path, listen: Callable[..., Listener]) -> None:
    stranger = Authority(tmp_path / "stranger")
    others = [
        listen(stranger.issue(tmp_path, "localhost")),
        listen(company.issue(tmp_path, "dc1.elsewhere.example")),
        listen(company.issue(tmp_path / "company", "localhost", ends=-DAY)),
    ]

    addresses = [f"localhost:{other.port}" for other in others]

    assert asked(Controllers(clock=Time()), addresses, company) == NEVER


def test_one_that_hangs_keeps_no_answer_of_another_back(
    company: Authority, tmp_path: Path, listen: Callable[..., Listener]
) -> None:
    hanging, right = listen(), listen(company.issue(tmp_path, "localhost"))
    addresses = [f"localhost:{hanging.port}", f"localhost:{right.port}"]

    assert asked(Controllers(clock=Time(), answer_s=0.2), addresses, company) == 100.0


@pytest.mark.parametrize("address", ["", "localhost", "localhost:ldaps", ":636", "localhost:1", "a..b:636"])
def test_an_address_that_leads_nowhere_proves_nothing(address: str, company: Authority) -> None:
    assert asked(Controllers(clock=Time()), [address], company) == NEVER


@pytest.mark.parametrize("authority", ["", "nonsense", "-----BEGIN CERTIFICATE-----\nAAAA"])
def test_without_an_authority_nobody_is_believed(authority: str) -> None:
    controllers = Controllers(clock=Time())

    controllers.ask(["localhost:1"], authority)

    assert controllers.answered_at == NEVER


def test_an_answer_is_as_old_as_its_question(
    company: Authority, tmp_path: Path, listen: Callable[..., Listener]
) -> None:
    right, time = listen(company.issue(tmp_path, "localhost")), Time()
    controllers = Controllers(clock=time)
    times = iter([100.0, 100.0, 100.0])
    controllers._clock = lambda: next(times, 9000.0)  # the PC slept between question and answer

    assert asked(controllers, [f"localhost:{right.port}"], company) == 100.0


def test_they_are_not_asked_more_often_than_needed(
    company: Authority, tmp_path: Path, listen: Callable[..., Listener]
) -> None:
    right, time = listen(company.issue(tmp_path, "localhost")), Time()
    controllers = Controllers(clock=time)
    for seconds in (0.0, BETWEEN_S - 1, BETWEEN_S):
        time.now = 100.0 + seconds
        asked(controllers, [f"localhost:{right.port}"], company)

    assert controllers.answered_at == 100.0 + BETWEEN_S
    assert [right.taken.acquire(timeout=LIMIT_S), right.taken.acquire(timeout=LIMIT_S)] == [True, True]
    assert not right.taken.acquire(blocking=False)

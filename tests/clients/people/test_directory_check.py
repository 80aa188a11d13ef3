"""`manage.py directory check` names the cause: each fault is made for real, and said in words."""

import io
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command

from config.demo.authority import Authority
from config.demo.directory import OFFICE, Directory

pytestmark = [pytest.mark.slow, pytest.mark.django_db]

Check = Callable[..., str]


@pytest.fixture
def check(directory: Directory, settings: Any, admin: User) -> Check:
    """The command's words, for a directory so set up; its exit code is held to them."""

    def run(*arguments: str, **changed: Any) -> str:
        settings.DIRECTORY = directory.settings(**changed)
        said = io.StringIO()
        code = 0
        try:
            call_command("directory", "check", "--language", "en", *arguments, stdout=said)
        except CommandError as error:
            code = error.returncode
        assert code == (1 if "NO " in said.getvalue() else 0)
        return said.getvalue()

    return run


@pytest.fixture
def tls(tmp_path: Path) -> Iterator[Callable[..., int]]:
    """Servers that shake hands with a given certificate, and no more: the port."""
    listeners: list[socket.socket] = []

    def serve(key: Path, certificate: Path) -> int:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)
        threading.Thread(target=shake, args=[context, listener], daemon=True).start()
        return int(listener.getsockname()[1])

    yield serve
    for listener in listeners:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def shake(context: ssl.SSLContext, listener: socket.socket) -> None:
    with suppress(OSError), listener.accept()[0] as link, context.wrap_socket(link, server_side=True) as safe:
        safe.recv(1)


def test_all_is_well(check: Check) -> None:
    said = check("--user", "carol")

    assert "NO " not in said
    assert "carol has these roles: administrator, employee." in said


def test_it_speaks_japanese(check: Check, settings: Any, directory: Directory) -> None:
    settings.DIRECTORY = directory.settings()
    said = io.StringIO()

    call_command("directory", "check", "--language", "ja", stdout=said)

    assert "証明書" in said.getvalue()


def test_a_server_without_a_directory_says_what_to_set(settings: Any) -> None:
    settings.DIRECTORY = None
    said = io.StringIO()

    with pytest.raises(CommandError):
        call_command("directory", "check", "--language", "en", stdout=said)

    assert "OPENVRAS_DIRECTORY_URL" in said.getvalue()


def test_a_name_that_dns_does_not_know(check: Check) -> None:
    assert "look at DNS. [host]" in check(url="ldaps://dc9.invalid")


def test_a_port_where_nothing_answers(check: Check) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    assert f"Nothing answers at 127.0.0.1, port {port}. [tcp]" in check(url=f"ldaps://127.0.0.1:{port}")


def test_a_controller_that_never_answers(check: Check) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"ldaps://127.0.0.1:{listener.getsockname()[1]}"

        assert "then says nothing. [slow]" in check(url=url, timeout_s=0.3)


def test_a_certificate_of_an_unknown_authority(check: Check, tmp_path: Path) -> None:
    other = Authority(tmp_path, name="Another").file

    assert "of an authority that OPENVRAS_DIRECTORY_CA does not name. [certificate]" in check(authority=other)


def test_a_certificate_for_another_name(check: Check, directory: Directory) -> None:
    url = directory.url.replace("127.0.0.1", "localhost")

    assert "for another name than localhost" in check(url=url)


def test_a_certificate_that_has_expired(
    check: Check, directory: Directory, tls: Callable[..., int], tmp_path: Path
) -> None:
    authority = directory.controller.authority
    port = tls(*authority.issue(tmp_path, "127.0.0.1", ends=timedelta(hours=-1)))

    assert "has expired: renew it there. [certificate]" in check(url=f"ldaps://127.0.0.1:{port}")


def test_an_authority_file_that_is_not_there(check: Check, tmp_path: Path) -> None:
    assert "[authority]" in check(authority=tmp_path / "missing.pem")


def test_an_account_of_the_server_that_is_refused(check: Check) -> None:
    assert "[directory_bind]" in check(bind_password="old")


def test_a_base_that_is_not_there(check: Check) -> None:
    assert "set OPENVRAS_DIRECTORY_BASE. [base]" in check(base=f"OU=Nowhere,{OFFICE}")


def test_a_group_that_is_not_there(check: Check) -> None:
    said = check(roles={"administrator": f"CN=nobody,{OFFICE}", "auditor": f"CN=vras-auditors,{OFFICE}"})

    assert "so nobody is administrator by it. [role:administrator]" in said
    assert "is auditor. [role:auditor]" in said


@pytest.mark.parametrize(
    ("name", "words"), [("bob", "in none of these groups"), ("nobody", "Nobody below"), ("*", "Nobody below")]
)
def test_a_user_without_a_role(check: Check, name: str, words: str) -> None:
    assert words in check("--user", name)


def test_nobody_left_who_could_log_in_without_the_directory(check: Check, admin: User) -> None:
    admin.set_unusable_password()
    admin.save()

    assert "[local]" in check()


def test_no_secret_is_shown(check: Check, directory: Directory) -> None:
    assert "Logs-on-as" not in check("--user", "carol")
    assert "Logs-on-as" not in repr(directory.settings())

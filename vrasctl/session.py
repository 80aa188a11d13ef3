"""What every command has in common: options, the login, the server. Commands import this, not each other."""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import click
from click.core import ParameterSource

from vrasctl import showing
from vrasctl.account import Account, Login
from vrasctl.outcome import NotLoggedIn
from vrasctl.rest import Rest, server_url
from vrasctl.showing import Column, Format, Row
from vrasnode.errors import Refused

P = ParamSpec("P")
R = TypeVar("R")

MAX_SECRET_BYTES = 4096


@dataclass
class Session:
    """One run of the program. Options of a command win over those before it, over the environment, over the
    login that was kept."""

    form: Format = Format.TABLE
    server: str | None = None
    token_file: str | None = field(default=None, repr=False)
    ca_file: str | None = None

    @cached_property
    def account(self) -> Account:
        return Account.of(os.environ)

    @cached_property
    def rest(self) -> Rest:
        """The server, with the user's token. Raises NotLoggedIn."""
        login = self.login()
        return Rest(login.server, token=login.token, ca_file=login.ca_file)

    def login(self) -> Login:
        """Which server, which token. A kept token is never sent to another server. Raises NotLoggedIn."""
        kept = self.account.login()
        server = self.server or (kept.server if kept else None)
        if server is None:
            raise NotLoggedIn("not_logged_in", "Say which server: vrasctl login --server URL.")
        server = server_url(server)
        ca_file = self.ca_file or (kept.ca_file if kept else None)
        if self.token_file:
            return Login(server, secret_in(self.token_file), ca_file)
        if kept is None or kept.server != server:
            raise NotLoggedIn("not_logged_in", f"You are not logged in at {server}. Run: vrasctl login")
        return Login(server, kept.token, ca_file)

    def rows(self, found: Any, columns: list[Column]) -> None:
        """Prints a list in the format that was asked for."""
        showing.rows(found, columns, form=self.form)

    def one(self, row: Row, columns: list[Column]) -> None:
        """Prints one thing in the format that was asked for."""
        showing.one(row, columns, form=self.form)


def secret_in(file: str) -> str:
    """The first line of a file, or of standard input for `-`. Raises Refused(no_secret)."""
    try:
        if file == "-":
            text = sys.stdin.readline(MAX_SECRET_BYTES)
        else:
            with Path(file).open() as lines:
                text = lines.readline(MAX_SECRET_BYTES)
    except (OSError, UnicodeDecodeError) as error:
        raise Refused("no_secret", f"{file} cannot be read as text.") from error
    if not (secret := text.strip("\r\n")):
        raise Refused("no_secret", f"{file} is empty.")
    return secret


def common(command: Callable[Concatenate[Session, P], R]) -> Callable[P, R]:
    """Gives a command the options that all have, and the session as its first argument."""

    @wraps(command)
    def with_session(*args: P.args, **kwargs: P.kwargs) -> R:
        return command(click.get_current_context().ensure_object(Session), *args, **kwargs)

    decorated: Any = with_session
    for option in reversed(_OPTIONS):
        decorated = option(decorated)
    return decorated  # type: ignore[no-any-return]  # click's decorators forget the type


def _kept(name: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    def keep(context: click.Context, parameter: click.Parameter, value: Any) -> None:
        session = context.ensure_object(Session)
        # The environment is looked at again for every command on the line; what was written out wins.
        from_environment = context.get_parameter_source(parameter.name or "") is ParameterSource.ENVIRONMENT
        if value is not None and not (from_environment and getattr(session, name)):
            setattr(session, name, Format(value) if name == "form" else value)

    return keep


def _option(*names: str, keep: str, **attributes: Any) -> Callable[[Any], Any]:
    return click.option(*names, callback=_kept(keep), expose_value=False, **attributes)


_OPTIONS = [
    _option("-o", "--format", "form", keep="form", type=click.Choice([form.value for form in Format]),
            help="How the result is written (default: table)."),
    _option("--server", "server", keep="server", metavar="URL", envvar="OPENVRAS_SERVER",
            help="The server, instead of the one logged in at."),
    _option("--token-file", "token_file", keep="token_file", metavar="FILE", envvar="OPENVRAS_TOKEN_FILE",
            help="File with a token, instead of the login; - is standard input."),
    _option("--ca-file", "ca_file", keep="ca_file", metavar="FILE", envvar="OPENVRAS_CA_FILE",
            type=click.Path(exists=True, dir_okay=False, resolve_path=True),
            help="Certificates to trust the server by (PEM)."),
]  # fmt: skip

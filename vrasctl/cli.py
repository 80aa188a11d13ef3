"""The command line's root: login, and the groups of commands. Turns errors into words and exit codes."""

import socket
import sys
from collections.abc import Sequence

import click

from vrasctl import losses as _losses  # noqa: F401  (gives `pc` its commands)
from vrasctl import showing
from vrasctl.account import Login
from vrasctl.checkouts import checkout_group
from vrasctl.distributions import distribute, distribution_group, rollback
from vrasctl.images import image_group
from vrasctl.keys import key_group
from vrasctl.outcome import EXIT_CODES, Exit, NotLoggedIn, exit_code
from vrasctl.policies import policy_group
from vrasctl.recovery import recovery_group
from vrasctl.registry import events, group_group, pc_group
from vrasctl.replicas import replica_group
from vrasctl.rest import Rest, is_plain_and_far
from vrasctl.session import Session, common, secret_in
from vrasnode.errors import Unreachable, VrasError
from vrasnode.outputs import until_seen


def run(arguments: Sequence[str]) -> int:
    """Runs one command; the exit code. Every expected error is said on standard error, with its code."""
    code: object = Exit.OK
    with until_seen():
        code = _run(arguments)
    return code if isinstance(code, int) else Exit.OK


def _run(arguments: Sequence[str]) -> object:
    try:
        return root.main(list(arguments), prog_name="vrasctl", standalone_mode=False)
    except click.Abort:
        showing.say("Interrupted.")
        return Exit.INTERRUPTED
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except VrasError as error:
        showing.say(f"vrasctl: {error}")
        return exit_code(error)
    except SystemExit:  # click's own way to say that nobody reads any more
        return Exit.OK


@click.group(epilog=EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="openvras", prog_name="vrasctl")
@common
def root(session: Session) -> None:
    """Publishes master images, distributes them to groups of PCs, and sees to the PCs.

    Begin with `vrasctl login --server URL`. The options -o, --server, --token-file and --ca-file may stand
    before or after every command.
    """


@root.command()
@click.option("--username", help="Asked for when left out.")
@click.option("--password-file", metavar="FILE", help="File with the password; - is standard input.")
@common
def login(session: Session, username: str | None, password_file: str | None) -> None:
    """Log in: keep a token for --server in ~/.config/openvras."""
    kept = session.account.login()
    server = session.server or (kept.server if kept else None)
    if server is None:
        raise click.UsageError("Say which server: --server URL.")
    rest = Rest(server, ca_file=session.ca_file)
    if is_plain_and_far(rest.url):
        showing.say("Warning: over http:// your password can be read on the way. Use https://.")
    wish = {
        "username": username or _asked("Name"),
        "password": secret_in(password_file) if password_file else _asked("Password", hidden=True),
        "name": f"vrasctl at {socket.gethostname()}"[:100],
    }
    token = rest.post("/api/v1/tokens/login/", wish)
    session.account.save(Login(rest.url, token["token"], session.ca_file))
    showing.say(f"Logged in at {rest.url} as {wish['username']} until {showing.cell(token, 'expires_at')}.")


@root.command()
@common
def logout(session: Session) -> None:
    """Log out: the kept token is no longer good, and gone from here."""
    kept = session.account.login()
    if kept is None:
        showing.say("You are not logged in.")
        return
    try:
        _end_token(kept)
    except Unreachable as error:
        showing.say(f"{error.words} The token is deleted here; end it in the portal as well.")
    session.account.forget()
    showing.say(f"Logged out of {kept.server}.")


def _end_token(kept: Login) -> None:
    ident = kept.token.removeprefix("vras_").partition(".")[0]
    try:
        Rest(kept.server, token=kept.token, ca_file=kept.ca_file).delete(f"/api/v1/tokens/{ident}/")
    except NotLoggedIn:  # it was no longer good
        return


def _asked(what: str, *, hidden: bool = False) -> str:
    if not sys.stdin.isatty():
        raise click.UsageError("No terminal to ask at: give --username and --password-file.")
    return str(click.prompt(what, hide_input=hidden, err=True))


for _command in (
    image_group,
    distribute,
    rollback,
    distribution_group,
    pc_group,
    group_group,
    policy_group,
    key_group,
    recovery_group,
    replica_group,
    checkout_group,
    events,
):
    root.add_command(_command)

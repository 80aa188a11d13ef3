"""`vrasctl key`: the publisher's own key, and vouching for others."""

import click

from vrasctl import showing
from vrasctl.rest import segment
from vrasctl.session import Session, common

_KEY = [("fingerprint", "fingerprint"), ("name", "name"), ("state", "state"), ("created", "created_at")]


@click.group("key")
def key_group() -> None:
    """The key that your images are signed with."""


@key_group.command()
@common
def show(session: Session) -> None:
    """Your key and what the server says of it. Makes the key when there is none."""
    from vrasctl.outcome import ServerRefused
    from vrasctl.publishing import endorsement_words
    from vrasctl.rest import Rest

    key = session.account.publisher_key()
    rest: Rest = session.rest
    try:
        row = rest.get(f"/api/v1/publisher-keys/{key.fingerprint}/")
    except ServerRefused as error:
        if error.status != 404:
            raise
        row = {"fingerprint": key.fingerprint, "name": None, "state": "unregistered", "created_at": None}
        row["public_key"] = key.public.hex()
    session.one(row, _KEY)
    if row["state"] == "unregistered":
        showing.say(f"{rest.url} does not know this key. Run: vrasctl key register")
    else:
        showing.say(endorsement_words(row))


@key_group.command()
@common
def register(session: Session) -> None:
    """Show your key to the server, so that it can be endorsed."""
    from vrasctl import publishing

    row = publishing.register(session.rest, session.account.publisher_key())
    session.one(row, _KEY)
    showing.say(publishing.endorsement_words(row))


@key_group.command()
@click.argument("fingerprint")
@common
def endorse(session: Session, fingerprint: str) -> None:
    """Vouch for a publisher's key, where the root key lies on the server."""
    row = session.rest.post(f"/api/v1/publisher-keys/{segment(fingerprint)}/endorse/")
    session.one(row, _KEY)


@key_group.command("list")
@common
def list_keys(session: Session) -> None:
    """All publishers' keys."""
    session.rows(session.rest.every("/api/v1/publisher-keys/"), _KEY)


@key_group.command()
@click.argument("fingerprint")
@click.option("--reason", required=True)
@common
def revoke(session: Session, fingerprint: str, reason: str) -> None:
    """Let PCs accept nothing more that this key signs."""
    row = session.rest.post(f"/api/v1/publisher-keys/{segment(fingerprint)}/revoke/", {"reason": reason})
    session.one(row, _KEY)

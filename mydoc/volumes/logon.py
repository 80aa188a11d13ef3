"""The client VM's door: its logon script proves who has logged on, and on which PC.

With a directory by Negotiate (Kerberos). Without one, in development, by name and password of a local
account.
"""

import base64
import binascii
from typing import TYPE_CHECKING

from django.conf import settings
from django.contrib.auth import authenticate
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from clients import auditing, problems
from clients.auditing import Actor
from clients.enrolment.node import JSON
from clients.errors import Refusal
from clients.models import Client
from clients.people import admitting, directory
from clients.people.directorysettings import DirectorySettings
from mydoc.volumes import accounts, unlocking, watching
from mydoc.volumes.unlocking import NotProven
from vrasnode.errors import Refused
from vrasnode.wire import codec
from vrasnode.wire.mydoc import Logon, LogonAnswer

if TYPE_CHECKING:
    from mydoc.volumes.negotiating import Proof

MAX_BODY = 4096
BY_CLOCK = ("ticket_expired", "clock_skew")


@csrf_exempt
@login_not_required
@require_POST
def logon(request: HttpRequest) -> HttpResponse:
    """Says which volume will open. 401 with how to prove it, when nothing proves it."""
    answer = b""
    try:
        if len(request.body) > MAX_BODY:
            raise Refusal("too_long", f"A message to this door has at most {MAX_BODY} bytes.", status=413)
        if settings.DIRECTORY is None:
            user = _local(request)
        else:
            proof = _proven(_authorization(request, "Negotiate"))
            answer, user = proof.answer, _admitted(proof)
        response = _opened(request, user)
    except (Refusal, Refused) as refusal:
        response = problems.response(refusal)
        if isinstance(refusal, NotProven):
            response["WWW-Authenticate"] = "Negotiate" if settings.DIRECTORY else 'Basic realm="OpenVRAS"'
    if answer:
        response["WWW-Authenticate"] = f"Negotiate {base64.b64encode(answer).decode()}"
    return response


def _opened(request: HttpRequest, user: User) -> HttpResponse:
    address = request.META.get("REMOTE_ADDR", "")
    with auditing.acting(Actor(name=user.get_username(), kind="user", origin=f"logon {address}")):
        wish = codec.decode(request.body, Logon)
        opening = unlocking.prove(user, _client(wish), nonce=wish.nonce, address=address, now=timezone.now())
    answer = LogonAnswer(volume=str(opening.volume_id))
    return HttpResponse(codec.encode(answer), content_type=JSON, headers={"Cache-Control": "no-store"})


def _client(wish: Logon) -> Client | None:
    return Client.objects.filter(pk=wish.client).first()


def _proven(authorization: str) -> "Proof":
    """Whose ticket it is. Where our own clock is wrong, that is why nothing is proven: not the user's."""
    from mydoc.volumes import negotiating  # only a server with a directory needs the library of Kerberos

    try:
        return negotiating.proven(authorization)
    except NotProven as no:
        if no.code in BY_CLOCK and watching.clock_off_s():
            raise negotiating.server_clock() from no
        raise


def _admitted(proof: "Proof") -> User:
    """The account of who has proven it: whatever they were called before."""
    place: DirectorySettings | None = settings.DIRECTORY
    assert place is not None  # noqa: S101  (`logon` saw to it)
    with directory.asked(place) as link:
        if proof.sid is not None:
            person = directory.find_by_sid(link, place, proof.sid)
        else:
            person = directory.find_principal(link, place, proof.name, proof.realm)
        if person is None:
            raise Refusal("account_gone", accounts.WORDS[accounts.No.GONE], status=403)
        if not person.enabled:
            raise Refusal("account_disabled", accounts.WORDS[accounts.No.DISABLED], status=403)
        return admitting.admit(
            person,
            wanted=directory.roles_of(link, place, person.dn),
            find_again=lambda guid: directory.find_again(link, place, guid),
        )


def _local(request: HttpRequest) -> User:
    """Development alone: a password that is typed into a script opens user data."""
    if settings.PRODUCTION:
        raise Refusal(
            "no_directory",
            _("User data opens by the company's directory, and this server is not connected to one."),
            status=503,
        )
    try:
        text = base64.b64decode(_authorization(request, "Basic")[6:], validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise NotProven("not_proven", _("This is no proof of a logon.")) from error
    name, _colon, password = text.partition(":")
    user = authenticate(request, username=name, password=password) if password else None
    if not isinstance(user, User):
        raise NotProven(
            "not_proven", _("Name and password do not fit, or too many tries. Wait five minutes.")
        )
    return user


def _authorization(request: HttpRequest, kind: str) -> str:
    told = request.headers.get("Authorization", "")
    if told.partition(" ")[0].lower() == "ntlm":
        told = f"{kind} {told.partition(' ')[2]}"
    if told.partition(" ")[0].lower() != kind.lower():
        raise NotProven(
            "not_authenticated",
            _("Prove who has logged on: by %(kind)s in the Authorization header.") % {"kind": kind},
        )
    return told

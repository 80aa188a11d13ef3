"""What is wrong with how logons are proven here: said in words, after what is wrong with the directory."""

from collections.abc import Iterator

from django.conf import settings
from django.utils.translation import gettext as _

from clients.errors import Refusal
from clients.people.directorycheck import Finding
from clients.people.rolenames import Role
from mydoc.volumes import recovering


def findings() -> Iterator[Finding]:
    """One finding after the other; nothing without a directory, whose people alone log on by ticket."""
    if settings.DIRECTORY is None:
        return
    if Role.EMPLOYEE not in settings.DIRECTORY.roles:
        yield Finding(
            "no_employees",
            False,
            _("Nobody is an employee: set OPENVRAS_DIRECTORY_ROLE_EMPLOYEE, else no user data opens."),
        )
    yield _keytab()
    yield _binding()
    if not recovering.active():
        yield Finding(
            "no_custodians", False, _("Two recovery custodians are missing: vrasctl recovery register.")
        )


def _keytab() -> Finding:
    from mydoc.volumes import negotiating

    try:
        names = ", ".join(negotiating.own_names())
    except Refusal as refusal:
        return Finding(refusal.code, False, str(refusal.words))
    return Finding("keytab", True, _("Tickets for %(names)s can be checked.") % {"names": names})


def _binding() -> Finding:
    from mydoc.volumes import negotiating

    if settings.TLS_CERTIFICATE is None:
        return Finding(
            "not_bound", False, _("Logons are not bound to TLS: set OPENVRAS_TLS_CERTIFICATE_FILE.")
        )
    try:
        negotiating.endpoint(settings.TLS_CERTIFICATE)
    except Refusal as refusal:
        return Finding(refusal.code, False, str(refusal.words))
    return Finding("bound", True, _("Logons are bound to the certificate of this server."))

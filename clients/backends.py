"""Logging in with the password of the company's directory. Local accounts come before it: they need none.

Its place lies in sessions: moved, everybody whom the directory let in would have to log in anew.
"""

from typing import Any

import ldap
from django.conf import settings
from django.contrib.auth.models import User
from django.dispatch import receiver
from django.http import HttpRequest
from django_auth_ldap.backend import LDAPBackend, _LDAPUser, ldap_error
from django_auth_ldap.config import LDAPSearch

from clients.errors import Refusal
from clients.people import admitting, directory
from clients.people.directorysettings import DirectorySettings
from clients.people.refusing import tell


class DirectoryBackend(LDAPBackend):  # type: ignore[misc]
    """django-auth-ldap proves the password; who that is and what they may is ours to say."""

    def __init__(self) -> None:
        place: DirectorySettings | None = settings.DIRECTORY
        self.place = place
        if place is not None:
            self.default_settings = {
                "SERVER_URI": place.url,
                "BIND_DN": place.bind_dn,
                "BIND_PASSWORD": place.bind_password,
                "CONNECTION_OPTIONS": directory.options(place),
                "USER_SEARCH": LDAPSearch(place.base, ldap.SCOPE_SUBTREE, directory.PERSON, ["objectGUID"]),
                "ALWAYS_UPDATE_USER": False,  # what is kept is kept by `admitting`
            }

    def authenticate(
        self,
        request: HttpRequest | None,
        username: str | None = None,
        password: str | None = None,
        **more: Any,
    ) -> User | None:
        """None when they do not fit, or the directory has no answer: `refusal_of` says why then."""
        if self.place is None or not username or not password:
            return None
        try:
            user: User | None = super().authenticate(request, username, password, **more)
        except Refusal as refusal:
            tell(request, refusal)
            return None
        return user

    def get_or_build_user(self, username: str, ldap_user: _LDAPUser) -> tuple[User, bool]:
        """Called once the password was found right."""
        place, link = self.place, ldap_user.connection
        assert place is not None  # noqa: S101  (authenticate saw to it)
        person = directory.read(link, ldap_user.dn)
        if person is None or not person.enabled:
            raise ldap_user.AuthenticationFailed("gone, or disabled meanwhile")
        user = admitting.admit(
            person,
            wanted=directory.roles_of(link, place, person.dn),
            find_again=lambda guid: directory.find_again(link, place, guid),
        )
        return user, False

    def get_user(self, user_id: int) -> User | None:
        """Asks no directory: sessions go on while it is away."""
        return User.objects.filter(pk=user_id, is_active=True).first()

    def get_group_permissions(self, user: User, obj: object = None) -> set[str]:
        return set()  # roles say it, not permissions


@receiver(ldap_error, sender=DirectoryBackend)
def _not_answered(request: HttpRequest | None, exception: ldap.LDAPError, **more: Any) -> None:
    tell(request, directory.failed(exception))

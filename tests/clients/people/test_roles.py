"""Who may do what: roles, the door behind the login, and people who come in from a directory."""

import uuid
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.core.exceptions import ImproperlyConfigured, PermissionDenied
from django.http import HttpResponse
from django.test import Client as Browser
from django.test import RequestFactory
from django.urls import ResolverMatch

from clients.enrolment.signing import KeyStore
from clients.errors import Refusal
from clients.models import DirectoryUser, Event
from clients.people import admitting, roles
from clients.people.directory import Person
from clients.people.rights import RightsMiddleware
from clients.people.rolenames import Role
from clients.tokens import issuing
from config.env import Environment
from tests.test_doors import METHODS, OPEN, example, routes

pytestmark = pytest.mark.django_db

# What sends everybody on.
ELSEWHERE = {"/login/", "/i18n/setlang/"}
# What everybody with a role has: home leads them to their own page.
OWN = {"/", "/my/", "/api/v1/shared/", "/api/v1/my-volumes/"}
OWN |= {"/my/checkouts/", "/my/checkouts/new/", "/my/checkouts/days/"}
OWN |= {"/approvals/", "/approvals/again/", "/approvals/deputies/"}
OWN |= {"/api/v1/checkouts/", "/api/v1/checkouts/inbox/", "/api/v1/checkouts/lendable/"}
OWN |= {"/api/v1/deputies/", "/api/v1/tokens/"}
# Forms about their own requests and about those that wait for them: with nothing in them they do nothing.
OWN_FORMS = {"/my/checkouts/new/", "/approvals/again/", "/approvals/approve/", "/approvals/deputies/"}
PREFIX = "OPENVRAS_DIRECTORY_"


@pytest.fixture
def being() -> Callable[..., User]:
    """A local account with these roles: `being(Role.AUDITOR)`."""

    def make(*wanted: Role) -> User:
        user = User.objects.create_user("-".join(wanted) or "nobody")
        user.groups.set([Group.objects.get_or_create(name=role.value)[0] for role in wanted])
        return user

    return make


def somebody(name: str = "judy", *, guid: uuid.UUID | None = None, enabled: bool = True) -> Person:
    return Person(
        dn=f"CN={name}",
        guid=guid or uuid.uuid4(),
        name=name,
        given_name="Judy",
        family_name="",
        mail="",
        enabled=enabled,
    )


def let_in(person: Person, *wanted: Role, now_there: Person | None = None) -> User:
    return admitting.admit(person, wanted=wanted, find_again=lambda _guid: now_there)


def logged_in(user: User) -> Browser:
    browser = Browser(raise_request_exception=False)
    browser.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return browser


@pytest.mark.parametrize("role", [None, Role.EMPLOYEE])
@pytest.mark.parametrize("method", METHODS)
def test_who_has_no_right_to_look_gets_in_nowhere(
    installation: KeyStore, being: Callable[..., User], role: Role | None, method: str
) -> None:
    browser = logged_in(being(*[role] if role else []))
    answers = {
        path: browser.generic(method, path, b"{}", content_type="application/json").status_code
        for path in sorted({example(route) for route in routes()} - {"/logout/"})
    }

    done = {path for path, status in answers.items() if status < 400 and not path.startswith("/admin/")}
    own = {"GET": OWN, "POST": OWN_FORMS}.get(method, set()) if role else set()
    assert done <= OPEN | ELSEWHERE | own
    assert {path: status for path, status in answers.items() if status >= 500} == {}


@pytest.mark.parametrize("role", [Role.AUDITOR])
@pytest.mark.parametrize("method", [method for method in METHODS if method != "GET"])
def test_who_may_only_look_changes_nothing(
    installation: KeyStore, being: Callable[..., User], role: Role, method: str
) -> None:
    browser = logged_in(being(role))
    answers = {
        path: browser.generic(method, path, b"{}", content_type="application/json").status_code
        for path in sorted({example(route) for route in routes()} - {"/logout/"})
    }

    done = {path for path, status in answers.items() if status < 400 and not path.startswith("/admin/")}
    assert done <= OPEN | ELSEWHERE | (OWN_FORMS if method == "POST" else set())


@pytest.mark.parametrize("role", [Role.AUDITOR, Role.HELP_DESK])
def test_who_may_look_sees_the_portal_and_rest(being: Callable[..., User], role: Role) -> None:
    browser = logged_in(being(role))

    for path in ("/", "/pcs/", "/audit/", "/api/v1/clients/"):
        assert browser.get(path).status_code == 200, path


def test_an_administrator_by_role_needs_no_flag(being: Callable[..., User]) -> None:
    browser = logged_in(being(Role.ADMINISTRATOR))

    assert browser.post("/groups/", {"name": "new"}).status_code == 302


@pytest.mark.parametrize("role", [None, Role.EMPLOYEE, Role.IMAGE_MAKER])
def test_a_page_that_forgot_to_ask_is_behind_the_door_too(
    being: Callable[..., User], role: Role | None
) -> None:
    request = RequestFactory().get("/forgotten/")
    request.user = being(*[role] if role else [])
    request.resolver_match = ResolverMatch(lambda: None, (), {}, "forgotten")

    with pytest.raises(PermissionDenied):
        RightsMiddleware(lambda _request: HttpResponse()).process_view(request, None, (), {})


def test_the_page_for_those_without_a_role_says_whom_to_ask(being: Callable[..., User]) -> None:
    answer = logged_in(being()).get("/", headers={"accept-language": "ja"})

    assert answer.status_code == 403
    assert "IT部門" in answer.content.decode()


@pytest.mark.parametrize("path", ["/api/v1/clients/", "/api/v1/tokens/", "/api/schema/"])
def test_a_token_is_worth_what_its_owner_is(being: Callable[..., User], now: datetime, path: str) -> None:
    user = being(Role.AUDITOR)
    _row, text = issuing.make(user, name="x", scope="write", now=now)
    bearer = {"authorization": f"Bearer {text}"}
    before = Browser().get(path, headers=bearer).status_code

    user.groups.clear()

    assert (before, Browser().get(path, headers=bearer).status_code) == (200, 403)


def test_an_account_that_is_switched_off_is_nothing(being: Callable[..., User]) -> None:
    user = being(Role.ADMINISTRATOR)
    user.is_active = False

    assert roles.role_of(user) == set()
    assert not roles.may_look(user)


def test_a_stranger_leaves_no_account_behind() -> None:
    with pytest.raises(Refusal, match="no_role"):
        let_in(somebody())

    assert not User.objects.exists()


def test_a_local_account_is_never_taken_over(admin: User) -> None:
    with pytest.raises(Refusal, match="name_taken"):
        let_in(somebody("Admin"), Role.EMPLOYEE)

    assert not DirectoryUser.objects.exists()


def test_who_lost_every_role_is_refused_and_has_none_left(admin: User) -> None:
    judy = somebody()
    let_in(judy, Role.ADMINISTRATOR)

    with pytest.raises(Refusal, match="no_role"):
        let_in(judy)

    user = User.objects.get(username="judy")
    assert roles.role_of(user) == set()
    assert not user.is_staff


def test_an_account_that_was_switched_off_here_stays_off(admin: User) -> None:
    judy = somebody()
    let_in(judy, Role.EMPLOYEE)
    User.objects.filter(username="judy").update(is_active=False)

    with pytest.raises(Refusal, match="switched_off"):
        let_in(judy, Role.EMPLOYEE)


def test_two_people_who_swap_their_names_keep_their_accounts(admin: User) -> None:
    first, second = somebody("judy"), somebody("ruth")
    let_in(first, Role.EMPLOYEE)
    let_in(second, Role.APPROVER)

    let_in(somebody("ruth", guid=first.guid), Role.EMPLOYEE, now_there=somebody("judy", guid=second.guid))
    let_in(somebody("judy", guid=second.guid), Role.APPROVER, now_there=somebody("ruth", guid=first.guid))

    assert DirectoryUser.objects.get(guid=first.guid).user.username == "ruth"
    assert DirectoryUser.objects.get(guid=second.guid).user.username == "judy"


@pytest.mark.parametrize("other", ["password", "directory", "none", "off", "unusable"])
def test_the_last_administrator_is_never_demoted(other: str) -> None:
    judy = somebody()
    user = let_in(judy, Role.ADMINISTRATOR, Role.EMPLOYEE)
    if other == "directory":
        let_in(somebody("ruth"), Role.ADMINISTRATOR)
    elif other != "none":
        password = None if other == "unusable" else "a local password"
        User.objects.create_superuser("admin", password=password, is_active=other != "off")

    let_in(judy, Role.EMPLOYEE)

    kept = other in ("none", "off", "unusable")
    assert (Role.ADMINISTRATOR in roles.role_of(User.objects.get(pk=user.pk))) == kept
    assert DirectoryUser.objects.get(user=user).kept_administrator == kept


def test_what_became_of_an_account_is_in_the_audit_log(admin: User) -> None:
    judy = somebody()
    let_in(judy, Role.EMPLOYEE)
    let_in(somebody("judith", guid=judy.guid), Role.AUDITOR)

    verbs = list(Event.objects.order_by("id").values_list("verb", "actor", "origin"))

    assert verbs == [
        ("user.admitted", "judy", "directory"),
        ("user.roles", "judy", "directory"),
        ("user.renamed", "judith", "directory"),
        ("user.roles", "judith", "directory"),
    ]


def directory_environment(tmp_path: Any, **changed: str) -> Environment:
    secret = tmp_path / "password"
    secret.write_text("very secret\n")
    values = {
        "URL": "ldaps://dc1.example.co.jp",
        "CA": str(tmp_path / "ca.pem"),
        "BIND_DN": "CN=svc",
        "BIND_PASSWORD_FILE": str(secret),
        "BASE": "DC=example",
        "ROLE_ADMINISTRATOR": "CN=admins",
        **changed,
    }
    return Environment(False, {PREFIX + name: value for name, value in values.items() if value})


def test_a_directory_is_named_by_the_environment_and_its_password_by_a_file(tmp_path: Any) -> None:
    found = directory_environment(tmp_path).directory()

    assert found is not None
    assert (found.host, found.port, found.timeout_s) == ("dc1.example.co.jp", 636, 5.0)
    assert found.roles == {"administrator": "CN=admins"}
    assert found.bind_password == "very secret"
    assert "secret" not in repr(found)


def test_half_a_directory_is_refused_with_all_that_is_missing(tmp_path: Any) -> None:
    with pytest.raises(ImproperlyConfigured) as told:
        directory_environment(tmp_path, CA="", BASE="").directory()

    assert f"{PREFIX}CA" in str(told.value)
    assert f"{PREFIX}BASE" in str(told.value)


@pytest.mark.parametrize("url", ["ldap://dc1", "ldapi:///", "dc1.example.co.jp", "ldaps://"])
def test_nothing_but_ldaps_is_spoken(tmp_path: Any, url: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="ldaps://"):
        directory_environment(tmp_path, URL=url).directory()

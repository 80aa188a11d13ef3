"""One handler turns a refusal into the door's own form: a problem for programs, a message for people."""

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import exception_handler

from clients import problems
from clients.auditing import Actor, acting
from clients.errors import Refusal
from vrasnode.errors import VrasError


def answer(error: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's handler: RFC 9457 problem details with a stable code, always."""
    if isinstance(error, Refusal | VrasError):
        return _problem(problems.problem(error))
    if isinstance(error, ValidationError):
        error = exceptions.ValidationError(
            error.message_dict if hasattr(error, "error_dict") else error.messages
        )
    response = exception_handler(error, context)
    if response is None:
        return None
    code = "not_found" if isinstance(error, Http404) else "forbidden"
    if isinstance(error, exceptions.APIException):
        code = error.default_code
    invalid = isinstance(error, exceptions.ValidationError)
    body = {
        "type": "about:blank",
        "title": response.status_text,
        "status": response.status_code,
        "code": "invalid" if invalid else code,
        "detail": "; ".join(_lines(error.detail))
        if isinstance(error, exceptions.APIException)
        else str(error),
    }
    if invalid:
        body["errors"] = response.data
    headers = {
        name: response.headers[name]
        for name in ("WWW-Authenticate", "Retry-After")
        if name in response.headers
    }
    return _problem(body, headers)


class RefusalMiddleware:
    """Says who acts, for the audit log, and shows a verb's refusal as a message on the page one came from."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        door = "rest" if request.path.startswith("/api/") else "portal"
        name = request.user.get_username() if request.user.is_authenticated else ""
        with acting(Actor(name=name, kind="user", origin=f"{door} {request.META.get('REMOTE_ADDR', '')}")):
            return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        if not isinstance(error, Refusal | VrasError):
            return None
        messages.error(request, f"{error.words} [{error.code}]")
        back = request.headers.get("Referer", "")
        here = f"{request.scheme}://{request.get_host()}/"
        return redirect(back if back.startswith(here) else "home")


def _problem(body: dict[str, Any], headers: dict[str, str] | None = None) -> Response:
    return Response(body, status=body["status"], content_type=problems.MEDIA_TYPE, headers=headers)


def _lines(detail: Any, field: str = "") -> list[str]:
    if isinstance(detail, dict):
        return [line for name, inner in detail.items() for line in _lines(inner, str(name))]
    if isinstance(detail, list):
        return [line for inner in detail for line in _lines(inner, field)]
    return [f"{field}: {detail}" if field and field != "non_field_errors" else str(detail)]

"""Errors of the API as RFC 9457 problem details."""

from collections.abc import Sequence
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404
from rest_framework import exceptions
from rest_framework.response import Response

from features.errors import ClearanceError

TITLES = {
    400: "The request is not right",
    401: "Who are you?",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    406: "Not acceptable",
    409: "Conflict",
    415: "Unsupported media type",
    422: "Cannot be processed",
    423: "Locked",
    429: "Too many requests",
    503: "Not available",
}


class InsufficientScope(exceptions.PermissionDenied):
    """The key lacks a scope."""

    def __init__(self, scope: str) -> None:
        super().__init__(
            f"This key has no scope '{scope}'. Make one that has: key create <feature> --scope {scope}.",
            code="insufficient_scope",
        )


class BadField(ClearanceError):
    """A parameter that cannot be read; `errors` names it."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__("invalid", message, field=field)


class FieldError(ClearanceError):
    """A body of which fields are wrong: every one with what to mend. A field '' is the body as a whole."""

    def __init__(self, wrong: Sequence[tuple[str, str]]) -> None:
        self.errors = [{"field": field, "detail": detail} for field, detail in wrong]
        super().__init__("invalid", "; ".join(f"{field or 'the body'} {detail}" for field, detail in wrong))


def problem(
    status: int,
    code: str,
    detail: str,
    errors: list[dict[str, Any]] | None = None,
    headers: dict[str, str] | None = None,
) -> Response:
    """A problem details answer: type, title, status, detail (what to mend), code, errors."""
    body: dict[str, Any] = {
        "type": f"urn:clearance:problem:{code}",
        "title": TITLES.get(status, "Error"),
        "status": status,
        "detail": detail,
        "code": code,
    }
    if errors is not None:
        body["errors"] = errors
    return Response(body, status=status, headers=headers, content_type="application/problem+json")


def exception_handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """Django REST framework's hook: every error of a view as problem details; the rest is a 500 and
    logged.
    """
    if isinstance(error, FieldError):
        return problem(error.status, error.code, str(error), error.errors)
    if isinstance(error, ClearanceError):
        where = {"field": error.field, "position": error.position}
        found = {name: value for name, value in where.items() if value is not None}
        errors = [{**found, "detail": error.message}] if found else None
        return problem(error.status, error.code, str(error), errors)
    if isinstance(error, Http404):
        return problem(404, "not_found", "Nothing here by this name, or nothing that this key may see.")
    if isinstance(error, PermissionDenied):
        return problem(403, "forbidden", str(error) or "Not allowed.")
    if not isinstance(error, exceptions.APIException):
        return None
    headers = {}
    if challenge := getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = challenge
    if (wait := getattr(error, "wait", None)) is not None:
        headers["Retry-After"] = str(int(wait))
    if isinstance(error, exceptions.ValidationError) and isinstance(error.detail, dict):
        listed = [
            {"field": field, "detail": " ".join(map(str, said))} for field, said in error.detail.items()
        ]
        return problem(
            400, "invalid", "; ".join(f"{e['field']}: {e['detail']}" for e in listed), listed, headers
        )
    code = getattr(error.detail, "code", None) or error.default_code
    return problem(error.status_code, str(code), str(error.detail), headers=headers)

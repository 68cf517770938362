"""The API by which agents ask before they act (api.md 7). Whatever is not understood is refused, and whatever fails
answers 503: never open.
"""

import asyncio
import hashlib
import logging
from collections.abc import Callable
from typing import Any
from uuid import UUID

import msgspec
import rfc8785
from asgiref.sync import sync_to_async
from django.db import connection
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.exceptions import APIException
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from approvals.models import Decision
from approvals.presenting import body_of, execution_body
from approvals.proposal import Proposal, canonical_object
from approvals.receipts import jwks, receipt_of
from approvals.services import Ask, as_it_stands, decided, execute, kill, report, withdraw
from approvals.services.executing import OUTCOMES, NotYet
from approvals.services.stopping import body_of as killed_body
from features.bodies import CanonicalParser, UncanonicalBody
from features.errors import ClearanceError, NotFoundError
from features.models import ApiKey
from features.policy import active_policy
from features.problems import BadField, FieldError, problem
from traces.api import own_feature
from traces.queries import rfc3339

log = logging.getLogger("clearance.approvals")

_LONGEST_WAIT = 55
_LOOK_EVERY = 0.25
_LONGEST_KEY = 200
_LONGEST_CLAIM = 200_000
_FIELDS = ("feature", "action", "args", "trace_id", "span_id", "claim", "context", "dry_run")


class DecisionParser(CanonicalParser):
    """A proposal may hold a long claim."""

    most_bytes = 512 * 1024


class ClosedView(APIView):
    """A view that fails closed: what nobody expected is 503, to be tried again, and nothing was permitted."""

    scope = "decide"
    parser_classes = (DecisionParser,)

    def handle_exception(self, exc: Exception) -> Response:
        if isinstance(exc, NotYet):
            raise exc
        if isinstance(exc, ClearanceError | APIException | Http404):
            answer = super().handle_exception(exc)
        else:
            log.exception("a call of the approvals failed; nothing was permitted by it", exc_info=exc)
            answer = problem(
                503,
                "unavailable",
                "The console cannot decide now. Nothing may run; ask again in a moment.",
                headers={"Retry-After": "1"},
            )
        if answer.status_code in (423, 503) and isinstance(answer.data, dict):
            answer.data["retry"] = "later"
        return answer

    @property
    def key(self) -> ApiKey:
        """Who asks."""
        assert isinstance(self.request.auth, ApiKey)
        return self.request.auth


def _text(body: dict[str, Any], name: str, wrong: list[tuple[str, str]], longest: int) -> str:
    value = body.get(name)
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > longest or "\x00" in value:
        wrong.append((name, f"must be a text of at most {longest} characters, without NUL."))
        return ""
    return value


def _identity(body: dict[str, Any], name: str, length: int, wrong: list[tuple[str, str]]) -> bytes | None:
    value = body.get(name)
    if value is None:
        return None
    try:
        found = bytes.fromhex(value) if isinstance(value, str) and len(value) == 2 * length else b""
    except ValueError:
        found = b""
    if len(found) != length or not any(found):
        wrong.append((name, f"must be {2 * length} hexadecimal digits, not all 0."))
        return None
    return found


def _parent(header: str) -> tuple[bytes | None, bytes | None]:
    """The span that asks, as W3C Trace Context says it. It is no part of the body: a step that a framework runs again
    is another span and still the same proposal.
    """
    parts = header.split("-")
    try:
        trace_id, span_id = (bytes.fromhex(part) for part in parts[1:3])
    except ValueError:
        return None, None
    if len(trace_id) != 16 or len(span_id) != 8 or not any(trace_id) or not any(span_id):
        return None, None
    return trace_id, span_id


def _object(body: dict[str, Any], name: str, wrong: list[tuple[str, str]], needed: bool) -> dict[str, Any]:
    value = body.get(name)
    if value is None and not needed:
        return {}
    if not isinstance(value, dict):
        wrong.append((name, "must be an object."))
        return {}
    return value


def read_ask(request: Request) -> Ask:
    """What an agent asks. Raises FieldError with all that is wrong, UncanonicalBody."""
    body, wrong = request.data, list[tuple[str, str]]()
    if not isinstance(body, dict):
        raise FieldError([("", "must be an object with action and args.")])
    wrong += [(name, "is not known here.") for name in body if name not in _FIELDS]
    action = _text(body, "action", wrong, 64)
    if not action and not any(field == "action" for field, _ in wrong):
        wrong.append(("action", "is missing."))
    args = _object(body, "args", wrong, needed=True)
    context = _object(body, "context", wrong, needed=False)
    trace_id = _identity(body, "trace_id", 16, wrong)
    span_id = _identity(body, "span_id", 8, wrong)
    feature = _text(body, "feature", wrong, 63)
    if trace_id is None and span_id is None:
        trace_id, span_id = _parent(request.headers.get("traceparent", ""))
    claim = _text(body, "claim", wrong, _LONGEST_CLAIM)
    dry_run = body.get("dry_run", False)
    if not isinstance(dry_run, bool):
        wrong.append(("dry_run", "must be true or false."))
    key = request.headers.get("Idempotency-Key", "")
    if not key:
        wrong.append(
            ("Idempotency-Key", "is missing: send this header, made from the run and the tool call's ID.")
        )
    elif len(key) > _LONGEST_KEY or not key.isascii() or not key.isprintable():
        wrong.append(("Idempotency-Key", f"must be at most {_LONGEST_KEY} printable ASCII characters."))
    if wrong:
        raise FieldError(wrong)
    try:
        spelled = rfc8785.dumps({name: value for name, value in body.items() if name != "feature"})
        proposal = Proposal(action, canonical_object(args), canonical_object(context), claim)
    except (rfc8785.CanonicalizationError, RecursionError) as error:
        raise UncanonicalBody("not_canonical", f"This JSON cannot be taken: {error}.") from error
    return Ask(proposal, key, hashlib.sha256(spelled).digest(), trace_id, span_id, bool(dry_run), feature)


class Decisions(ClosedView):
    """An agent asks before it acts."""

    @extend_schema(
        operation_id="decisions_create",
        parameters=[
            OpenApiParameter("Idempotency-Key", OpenApiTypes.STR, OpenApiParameter.HEADER, required=True)
        ],
        request={
            "application/json": {
                "type": "object",
                "required": ["action", "args"],
                "additionalProperties": False,
                "properties": {
                    "feature": {"type": "string"},
                    "action": {"type": "string"},
                    "args": {"type": "object"},
                    "trace_id": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
                    "span_id": {"type": "string", "pattern": "^[0-9a-f]{16}$"},
                    "claim": {"type": "string"},
                    "context": {"type": "object"},
                    "dry_run": {"type": "boolean"},
                },
            }
        },
        responses={200: OpenApiTypes.OBJECT, 202: OpenApiTypes.OBJECT, 403: OpenApiTypes.OBJECT},
    )
    def post(self, request: Request) -> Response:
        ask = read_ask(request)
        own_feature(request, ask.feature)
        status, body = body_of(decided(self.key, ask), dry_run=ask.dry_run)
        return Response(body, status=status)


class OneDecision(ClosedView):
    """A decision as it stands now."""

    @extend_schema(
        operation_id="decisions_read",
        parameters=[OpenApiParameter("wait", OpenApiTypes.INT)],
        responses=OpenApiTypes.OBJECT,
    )
    def get(self, request: Request, decision_id: UUID) -> Response:
        wait_of(request.query_params.get("wait"))
        return Response(self.look(decision_id))

    def look(self, decision_id: UUID) -> dict[str, Any]:
        """The body. Raises NotFoundError for another key's."""
        decision = Decision.objects.filter(pk=decision_id, lineage=self.key.lineage).first()
        if decision is None:
            raise NotFoundError("not_found", "No decision of this key has this ID.")
        return body_of(as_it_stands(decision))[1]


class Execute(ClosedView):
    """The grant is consumed; the canonical arguments are handed out."""

    @extend_schema(
        operation_id="decisions_execute", request=OpenApiTypes.OBJECT, responses=OpenApiTypes.OBJECT
    )
    def post(self, request: Request, decision_id: UUID) -> Response:
        started = execute(self.key, decision_id, _digest(request.data))
        return Response(
            {
                "execution": str(started.execution.pk),
                "action": started.action,
                "args": started.args,
                "digest": f"sha256:{started.digest.hex()}",
                "receipt": receipt_of(started, self.key.feature.slug),
                "deadline": rfc3339(started.execution.deadline),
                "record": msgspec.to_builtins(started.record),
            }
        )


def _digest(body: Any) -> bytes | None:
    if body in (None, "", {}):
        return None
    if not isinstance(body, dict) or set(body) - {"digest"}:
        raise FieldError([("", "must be an object with digest, or nothing.")])
    value = body.get("digest")
    if value is None:
        return None
    if isinstance(value, str) and value.startswith("sha256:") and len(value) == 71:
        try:
            return bytes.fromhex(value.removeprefix("sha256:"))
        except ValueError:
            pass
    raise BadField("digest", "digest must be sha256: and 64 hexadecimal digits, as the decision has it.")


class Withdraw(ClosedView):
    """The agent wants it no more."""

    @extend_schema(operation_id="decisions_withdraw", request=None, responses=OpenApiTypes.OBJECT)
    def post(self, request: Request, decision_id: UUID) -> Response:
        return Response(body_of(as_it_stands(withdraw(self.key, decision_id)))[1])


class Outcome(ClosedView):
    """How an execution ended."""

    @extend_schema(
        operation_id="executions_outcome",
        request={
            "application/json": {
                "type": "object",
                "required": ["status"],
                "properties": {"status": {"enum": list(OUTCOMES)}, "result": {}},
            }
        },
        responses=OpenApiTypes.OBJECT,
    )
    def post(self, request: Request, execution_id: UUID) -> Response:
        body = request.data
        if not isinstance(body, dict) or set(body) - {"status", "result"}:
            raise FieldError([("", "must be an object with status and, if there is one, result.")])
        if body.get("status") not in OUTCOMES:
            raise BadField("status", f"status must be one of {', '.join(OUTCOMES)}.")
        return Response(execution_body(report(self.key, execution_id, body["status"], body.get("result"))))


class Kill(ClosedView):
    """The kill switch. No limit of calls: whoever presses it twice means it."""

    throttle_classes = ()

    @extend_schema(
        operation_id="features_kill",
        request={
            "application/json": {
                "type": "object",
                "properties": {"reason": {"type": "string"}, "action": {"type": "string"}},
            }
        },
        responses=OpenApiTypes.OBJECT,
    )
    def post(self, request: Request, slug: str) -> Response:
        feature = own_feature(request, slug)
        body, wrong = request.data, list[tuple[str, str]]()
        if not isinstance(body, dict) or set(body) - {"reason", "action"}:
            raise FieldError([("", "must be an object with reason and, for one action alone, action.")])
        reason, action = _text(body, "reason", wrong, 500), _text(body, "action", wrong, 64)
        if wrong:
            raise FieldError(wrong)
        if action and (policy := active_policy(feature.pk)) is not None:
            known = [one.name for one in policy.action]
            if action not in known:
                raise BadField(
                    "action", f"action must be one of {', '.join(known)}; leave it out to stop all."
                )
        return Response(killed_body(kill(feature, action=action, reason=reason, key=self.key)))


def wait_of(text: str | None) -> int:
    """Seconds to wait, 0..55. Raises BadField."""
    if text is None:
        return 0
    if not (text.isascii() and text.isdigit() and len(text) < 3 and int(text) <= _LONGEST_WAIT):
        raise BadField("wait", f"wait must be a whole number of seconds from 0 to {_LONGEST_WAIT}.")
    return int(text)


@csrf_exempt
async def one_decision(request: HttpRequest, decision_id: UUID) -> HttpResponse:
    """`OneDecision`, looked at again while it is pending and the wait is not over. Nothing is held between looks: no
    connection, no thread.
    """
    text = request.GET.get("wait") or ""
    loop = asyncio.get_running_loop()
    until = loop.time() + (int(text) if text.isascii() and text.isdigit() and len(text) < 3 else 0)
    view = OneDecision.as_view()
    while True:
        response = await sync_to_async(_look)(view, request, decision_id)
        # Only what waits for people is worth a wait: the change that the agent waits for may have come before it asked.
        waits = response.status_code == 200 and response.data.get("state") == "pending"
        if not waits or loop.time() >= until:
            return response
        await asyncio.sleep(min(_LOOK_EVERY, max(until - loop.time(), 0.01)))


@csrf_exempt
async def execute_when_ready(request: HttpRequest, decision_id: UUID) -> HttpResponse:
    """`Execute`; while an approval can still be taken back, it waits for the rest of those seconds first."""
    view = Execute.as_view()
    while True:
        try:
            return await sync_to_async(_look)(view, request, decision_id)
        except NotYet as error:
            await asyncio.sleep(min(error.wait + 0.01, 10))


# What waits answers as these views do: the OpenAPI document describes it by them.
for _waiting, _view in ((one_decision, OneDecision), (execute_when_ready, Execute)):
    setattr(_waiting, "cls", _view)  # noqa: B010 - functions have no such field of their own
    setattr(_waiting, "initkwargs", {})  # noqa: B010


def _look(view: Callable[..., Any], request: HttpRequest, identity: UUID) -> Response:
    """One call of a view, answered whole; its connection goes back."""
    try:
        if request.method == "POST":
            request.body  # noqa: B018 - kept by this, so that it can be read again
        response: Response = view(request, decision_id=identity)
        response.render()
        return response
    finally:
        connection.close()


@require_safe
def public_keys(request: HttpRequest) -> JsonResponse:
    """`/.well-known/jwks.json`: by which receipts are verified."""
    response = JsonResponse(jwks(), content_type="application/jwk-set+json")
    response["Cache-Control"] = "public, max-age=300"
    return response

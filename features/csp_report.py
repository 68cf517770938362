"""Where browsers report what the Content-Security-Policy stopped."""

import json
import logging
from urllib.parse import urlsplit

from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

log = logging.getLogger("clearance.csp")

_MOST_BYTES = 16 * 1024


@csrf_exempt  # browsers send it by themselves, without a token; nothing is changed by it
@require_POST
def csp_report(request: HttpRequest) -> HttpResponse:
    """Log one line a report: the page, the directive, what was stopped. Query strings are left out: they may hold what
    a person searched for.
    """
    if int(request.headers.get("Content-Length") or 0) > _MOST_BYTES:
        return HttpResponse(status=413)
    try:
        given = json.loads(request.body)
        report = given["csp-report"]
        said = {
            name: _short(report.get(name))
            for name in (
                "document-uri",
                "effective-directive",
                "violated-directive",
                "blocked-uri",
                "source-file",
            )
        }
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return HttpResponse(status=400)
    log.warning(
        "content security policy: %s", json.dumps({name: word for name, word in said.items() if word})
    )
    return HttpResponse(status=204)


def _short(value: object) -> str:
    text = value if isinstance(value, str) else ""
    try:
        parts = urlsplit(text)
    except ValueError:
        return ""
    return (f"{parts.scheme}://{parts.netloc}{parts.path}" if parts.netloc else parts.path)[:300]

"""Sessions: how one begins, how the record names it, when it ends."""

import hashlib
import time

from allauth.socialaccount.models import SocialAccount
from django.conf import settings
from django.contrib.auth import logout
from django.contrib.sessions.backends.db import SessionStore
from django.db import connection, transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.deprecation import MiddlewareMixin
from django.utils.http import urlencode

from features.identity import provider
from features.models import Person

_SEEN, _BEGAN, _CHECKED = "clearance_seen", "clearance_began", "clearance_groups_checked"
# A page more does not need a write more.
_SEEN_STEP = 60
_BY_ITSELF = ("/wait/", "/stops/")


def begin(request: HttpRequest) -> None:
    """Note when the session began, and save it."""
    now = int(time.time())
    request.session[_BEGAN] = request.session[_SEEN] = request.session[_CHECKED] = now
    request.session.save()


def session_mark(request: HttpRequest) -> str:
    """What names a session in the record without opening it: the first 64 bits of its key's SHA-256."""
    return hashlib.sha256((request.session.session_key or "").encode()).hexdigest()[:16]


class SessionGuard(MiddlewareMixin):
    """Ends sessions that were idle or open too long, and those whose provider no longer vouches for the person."""

    def process_request(self, request: HttpRequest) -> HttpResponse | None:
        """Go on, or sign in again with the reason; where to return to is kept."""
        if settings.SESSION_COOKIE_NAME not in request.COOKIES or not isinstance(request.user, Person):
            return None
        now = int(time.time())
        began, seen = (request.session.get(name, now) for name in (_BEGAN, _SEEN))
        if now - began > settings.SESSION_SECONDS:
            return _ended(request, "expired")
        if now - seen > settings.IDLE_SECONDS:
            return _ended(request, "idle")
        if settings.OIDC and _is_due(request, now) and not _vouched_for(request, request.user):
            return _ended(request, "provider")
        # What an open page asks by itself is no use of a session.
        by_itself = request.path.endswith(_BY_ITSELF) and _SEEN in request.session
        if not by_itself and (_SEEN not in request.session or now - seen >= _SEEN_STEP):
            request.session.setdefault(_BEGAN, now)
            request.session[_SEEN] = now
        return None


def _is_due(request: HttpRequest, now: int) -> bool:
    if now - request.session.get(_CHECKED, 0) < settings.OIDC_RECHECK_SECONDS:
        return False
    return bool(SocialAccount.objects.filter(user_id=request.user.pk).exists())


def _vouched_for(request: HttpRequest, person: Person) -> bool:
    """Ask the provider, once for all requests that a session has under way: a refresh token may open only once."""
    key = request.session.session_key
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"provider check {key}"])
        request.session = SessionStore(key)  # as it is now, with the tokens of whoever held the lock before
        if not _is_due(request, int(time.time())):
            return True
        if not provider.vouches_for(request, person):
            return False
        request.session[_CHECKED] = int(time.time())
        request.session.save()
    return True


def _ended(request: HttpRequest, why: str) -> HttpResponse | None:
    logout(request)
    if request.path.endswith(_BY_ITSELF):
        return None  # part of a page: its view says what becomes of it, now that nobody is signed in
    following = request.get_full_path() if request.method in ("GET", "HEAD") else "/"
    return redirect(f"{reverse('account_login')}?{urlencode({'ended': why, 'next': following})}")

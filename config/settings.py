"""Settings, from environment variables only; docs/configuration.md lists them all.

A wrong value stops the start with the variable's name.
"""

import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import dj_email_url
from csp.constants import NONE, SELF
from environs import Env

from audit.sinks import sinks_from
from features.identity.configuration import allauth_apps, oidc_from_environment
from runtime.state import StateFolder

env = Env()
BASE_DIR = Path(__file__).resolve().parent.parent

HOST = env.str("HOST", "127.0.0.1")
PORT = env.int("PORT", 8000)
CLEARANCE_URL = env.str("CLEARANCE_URL", f"http://{HOST}:{PORT}").rstrip("/")
CLEARANCE_ENVIRONMENT = env.str("CLEARANCE_ENVIRONMENT", "local")
DEBUG = env.bool("CLEARANCE_DEBUG", False)
STATE = StateFolder(Path(env.str("CLEARANCE_VAR", str(BASE_DIR / "var"))))

# --- ingest, all bounds settable -------------------------------------------------------------------------
INGEST_MAX_BODY_BYTES = env.int("CLEARANCE_INGEST_MAX_BODY_BYTES", 16 * 1024 * 1024)
INGEST_MAX_UNPACKED_BYTES = env.int("CLEARANCE_INGEST_MAX_UNPACKED_BYTES", 64 * 1024 * 1024)
INGEST_MAX_PART_BYTES = env.int("CLEARANCE_INGEST_MAX_PART_BYTES", 64 * 1024)
INGEST_MAX_SPAN_BYTES = env.int("CLEARANCE_INGEST_MAX_SPAN_BYTES", 4 * 1024 * 1024)
# Bodies in hand at once in one web process; more wait their turn, and past the second number get 429.
INGEST_THREADS = env.int("CLEARANCE_INGEST_THREADS", 4)
INGEST_MAX_WAITING = env.int("CLEARANCE_INGEST_MAX_WAITING", 256)
# Bodies one key may have under way at once in one web process.
INGEST_MAX_WAITING_PER_KEY = env.int("CLEARANCE_INGEST_MAX_WAITING_PER_KEY", 128)
# Bytes of bodies that wait or are in hand in one web process, and how large an unpacked body may be that is worked on
# beside others: a larger one is alone.
INGEST_MAX_WAITING_BYTES = env.int("CLEARANCE_INGEST_MAX_WAITING_BYTES", 128 * 1024 * 1024)
INGEST_LARGE_BYTES = 8 * 1024 * 1024
# Requests of one key a minute, over all web processes of the machine; as many may come at once.
KEY_REQUESTS_PER_MINUTE = env.int("CLEARANCE_KEY_REQUESTS_PER_MINUTE", 30_000)
SETTLE_LAG_ALARM_SECONDS = env.float("CLEARANCE_SETTLE_LAG_ALARM_SECONDS", 60.0)
RETENTION_DAYS = env.int("CLEARANCE_RETENTION_DAYS", 90)

# --- secrets ---------------------------------------------------------------------------------------------
SECRET_KEY = env.str("CLEARANCE_SECRET_KEY", "") or STATE.secret("django-secret-key")
# The root of every feature's HMAC key (traces/redaction_key.py); whoever holds it can test a guess against a
# token.
REDACTION_KEY = env.str("CLEARANCE_REDACTION_KEY", "") or STATE.secret("redaction-key")

# The Ed25519 seed, 64 hexadecimal digits, that signs the audit record's checkpoints.
AUDIT_SIGNING_KEY = env.str("CLEARANCE_AUDIT_SIGNING_KEY", "") or STATE.secret("audit-signing-key")

# Where checkpoints go besides the database (audit/sinks.py).
AUDIT_SINKS = sinks_from(env.list("CLEARANCE_AUDIT_SINKS", []), env.str("CLEARANCE_AUDIT_WEBHOOK_SECRET", ""))

# What the vault of originals is sealed with: 64 hexadecimal digits each, the newest first; older ones still open.
VAULT_KEYS = env.list("CLEARANCE_VAULT_KEYS", []) or [STATE.secret("vault-key")]
if not all(re.fullmatch(r"[0-9a-f]{64}", key) for key in VAULT_KEYS):
    raise ValueError("CLEARANCE_VAULT_KEYS must be keys of 64 hexadecimal digits, separated by commas")

# Ed25519 seeds, 64 hexadecimal digits each, that sign receipts of executions: the newest signs, all can be verified.
RECEIPT_SIGNING_KEYS = env.list("CLEARANCE_RECEIPT_SIGNING_KEYS", []) or [STATE.secret("receipt-signing-key")]

# --- applications, the rooms in the order of their imports ------------------------------------------------
INSTALLED_APPS = [
    "audit",
    "features",
    "traces",
    "approvals",
    "reviews",
    "demo",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "servestatic",
    "django.contrib.staticfiles",
    "django_htmx",
    "template_partials",
    "django.forms",
    "django.contrib.humanize",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
    "allauth.usersessions",
    "guardian",
    "csp",
    "rest_framework",
    "drf_spectacular",
]

MIDDLEWARE = [
    "features.middleware.RequestLog",
    "django.middleware.security.SecurityMiddleware",
    "servestatic.middleware.ServeStaticMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "features.identity.sessions.SessionGuard",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "allauth.account.middleware.AccountMiddleware",
]

ROOT_URLCONF = "config.urls"
ASGI_APPLICATION = "config.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "features.context.frame",
            ],
        },
    },
]
FORM_RENDERER = "django.forms.renderers.TemplatesSetting"

# --- database --------------------------------------------------------------------------------------------


def database_from_url(url: str, variable: str) -> dict[str, Any]:
    """Django's settings for a postgresql:// URL, as libpq reads it (the socket's folder may stand in
    ?host=).
    """
    parts = urlsplit(url)
    if parts.scheme not in {"postgresql", "postgres"} or not parts.path.strip("/"):
        raise ValueError(f"{variable} must look like postgresql://user:password@host:5432/name")
    options = dict(parse_qsl(parts.query))
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path.strip("/")),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": options.pop("host", "") or unquote(parts.hostname or ""),
        "PORT": options.pop("port", "") or str(parts.port or ""),
        "CONN_MAX_AGE": 0,
        "OPTIONS": {
            **options,
            "pool": {"min_size": 0, "max_size": env.int("CLEARANCE_DATABASE_POOL", 12), "timeout": 5},
            # PgBouncer in transaction mode works: no server-side prepared statements by default.
            "application_name": "clearance",
        },
        "ATOMIC_REQUESTS": False,
    }


# clearance_owner migrates and never serves: the supervisor sets CLEARANCE_ROLE=owner for `migrate` alone.
if env.str("CLEARANCE_ROLE", "app") == "owner":
    database_url = env.str("DATABASE_OWNER_URL", "") or STATE.database_urls().owner
    DATABASES = {"default": database_from_url(database_url, "DATABASE_OWNER_URL")}
else:
    database_url = env.str("DATABASE_URL", "") or STATE.database_urls().app
    DATABASES = {"default": database_from_url(database_url, "DATABASE_URL")}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- queue -----------------------------------------------------------------------------------------------
CELERY_BROKER_URL = env.str("CELERY_BROKER_URL", "")
if not CELERY_BROKER_URL:
    CELERY_BROKER_URL = "filesystem://localhost//"
    CELERY_BROKER_TRANSPORT_OPTIONS = {
        "data_folder_in": str(STATE.folder("queue")),
        "data_folder_out": str(STATE.folder("queue")),
        "control_folder": str(STATE.folder("queue/control")),
        "polling_interval": 0.2,
    }
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = False
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_MAX_TASKS_PER_CHILD = 5000
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TIMEZONE = "UTC"
CELERY_BEAT_SCHEDULE = {
    "settle-sweep": {"task": "traces.settle", "schedule": 5.0, "options": {"expires": 10}},
    "roll-up-sweep": {"task": "traces.roll_up", "schedule": 3.0, "options": {"expires": 6}},
    "reprice": {"task": "traces.reprice", "schedule": 10.0, "options": {"expires": 10}},
    "settle-lag": {"task": "traces.lag", "schedule": 10.0, "options": {"expires": 10}},
    "deliver-sweep": {"task": "features.deliver", "schedule": 10.0, "options": {"expires": 20}},
    "features-daily": {"task": "features.daily", "schedule": 86_400.0, "options": {"expires": 3600}},
    "audit-verify": {"task": "audit.verify", "schedule": 3600.0, "options": {"expires": 3600}},
    "audit-checkpoint": {"task": "audit.checkpoint", "schedule": 60.0, "options": {"expires": 60}},
    "retention": {"task": "traces.retention", "schedule": 3600.0, "options": {"expires": 3600}},
    "approvals-sweep": {"task": "approvals.sweep", "schedule": 5.0, "options": {"expires": 10}},
    "approvals-standing": {"task": "approvals.standing", "schedule": 60.0, "options": {"expires": 60}},
    "approvals-erase": {"task": "approvals.erase", "schedule": 3600.0, "options": {"expires": 3600}},
    "reviews-weekly": {"task": "reviews.weekly", "schedule": 600.0, "options": {"expires": 600}},
    "partitions": {"task": "traces.partitions", "schedule": 3600.0, "options": {"expires": 3600}},
}

# --- people and sessions ---------------------------------------------------------------------------------
AUTH_USER_MODEL = "features.Person"
AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "guardian.backends.ObjectPermissionBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
ANONYMOUS_USER_NAME = None  # guardian: nobody has rights
GUARDIAN_MONKEY_PATCH_USER = False
LOGIN_URL = "/accounts/login/"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "/accounts/login/"
SESSION_ENGINE = "django.contrib.sessions.backends.db"
# A session ends after so long without use, and after so long in all; a dangerous act wants a proof that is fresher.
SESSION_SECONDS = env.int("CLEARANCE_SESSION_SECONDS", 12 * 3600)
IDLE_SECONDS = env.int("CLEARANCE_IDLE_SECONDS", 3600)
STEP_UP_SECONDS = env.int("CLEARANCE_STEP_UP_SECONDS", 600)
# Five wrong passwords lock a login for so long.
LOCK_OUT_SECONDS = env.int("CLEARANCE_LOCK_OUT_SECONDS", 300)
SESSION_COOKIE_AGE = SESSION_SECONDS
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_SAMESITE = "Lax"
CSRF_FAILURE_VIEW = "features.views.csrf_failure"
# Shared by all processes: what is counted against guessing must not depend on which of them answers.
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.db.DatabaseCache",
        "LOCATION": "cache",
        "OPTIONS": {"MAX_ENTRIES": 1_000_000},
    }
}

# --- sign-in: allauth's settings, in docs/decisions/016 ---------------------------------------------------
ACCOUNT_ADAPTER = "features.identity.adapters.AccountAdapter"
ACCOUNT_USER_MODEL_USERNAME_FIELD = "name"
ACCOUNT_LOGIN_METHODS = {"username"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "password1*"]
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_AUTHENTICATED_LOGIN_REDIRECTS = False
ACCOUNT_PRESERVE_USERNAME_CASING = False
ACCOUNT_SESSION_REMEMBER = True
ACCOUNT_REAUTHENTICATION_TIMEOUT = STEP_UP_SECONDS
ACCOUNT_RATE_LIMITS = {
    "login": "300/m/ip",
    "login_failed": f"120/m/ip,5/{LOCK_OUT_SECONDS}s/key",
    "reauthenticate": "20/m/user",
}
MFA_ADAPTER = "features.identity.adapters.MfaAdapter"
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_TOTP_TOLERANCE = 1
SOCIALACCOUNT_ADAPTER = "features.identity.adapters.ProviderAdapter"
SOCIALACCOUNT_LOGIN_ON_GET = True
SOCIALACCOUNT_STORE_TOKENS = False
SOCIALACCOUNT_QUERY_EMAIL = False
OIDC = oidc_from_environment(env)
OIDC_RECHECK_SECONDS = env.int("CLEARANCE_OIDC_RECHECK_SECONDS", 900)
SOCIALACCOUNT_PROVIDERS = {"openid_connect": {"OAUTH_PKCE_ENABLED": True, "APPS": allauth_apps(OIDC)}}

# --- the browser -----------------------------------------------------------------------------------------
_secure = CLEARANCE_URL.startswith("https://")
_public_host = urlsplit(CLEARANCE_URL).hostname or HOST
ALLOWED_HOSTS = env.list(
    "CLEARANCE_ALLOWED_HOSTS", sorted({_public_host, HOST, "localhost", "127.0.0.1", "[::1]"})
)
CSRF_TRUSTED_ORIGINS = [CLEARANCE_URL]
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = _secure
# The proxy in front turns http into https; here it would only break its health checks.
SECURE_SSL_REDIRECT = False
SILENCED_SYSTEM_CHECKS = ["security.W008"]
SECURE_HSTS_SECONDS = 31_536_000 if _secure else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = _secure
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
BEHIND_PROXY = env.bool("CLEARANCE_BEHIND_PROXY", False)
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if BEHIND_PROXY else None
ALLAUTH_TRUSTED_PROXY_COUNT = 1 if BEHIND_PROXY else 0
MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = not _secure
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        # The hash is that of the empty style element that plotly.js makes before it fills it by script.
        "style-src": [SELF, "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='"],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "manifest-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
        "object-src": [NONE],
        "report-uri": ["/csp-report/"],
    },
}

# --- static files ----------------------------------------------------------------------------------------
STATIC_URL = "/static/"
STATIC_ROOT = STATE.path / "static"
STATICFILES_DIRS = [BASE_DIR / "static"]
STATICFILES_FINDERS = [
    "django.contrib.staticfiles.finders.FileSystemFinder",
    "django.contrib.staticfiles.finders.AppDirectoriesFinder",
    "features.staticfinder.PlotlyFinder",
]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "servestatic.storage.CompressedManifestStaticFilesStorage"},
}
SERVESTATIC_KEEP_ONLY_HASHED_FILES = False
SERVESTATIC_AUTOREFRESH = False
SERVESTATIC_USE_FINDERS = False

# --- the API ---------------------------------------------------------------------------------------------
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["features.authentication.KeyAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["features.authentication.HasScope"],
    "DEFAULT_THROTTLE_CLASSES": ["features.throttle.KeyThrottle"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "EXCEPTION_HANDLER": "features.problems.exception_handler",
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "UNAUTHENTICATED_USER": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Clearance",
    "DESCRIPTION": "The machine interface: agents send traces and ask before they act.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": [],
    "SERVE_AUTHENTICATION": [],
    "PREPROCESSING_HOOKS": [],
    "SCHEMA_PATH_PREFIX": "/api/v1",
}

# --- mail ------------------------------------------------------------------------------------------------
PUBLIC_HOST = _public_host
_mail = dj_email_url.parse(env.str("CLEARANCE_SMTP_URL", "") or "console:")
EMAIL_IS_SET_UP = bool(env.str("CLEARANCE_SMTP_URL", ""))
EMAIL_HOST, EMAIL_PORT = _mail["EMAIL_HOST"], _mail["EMAIL_PORT"]
EMAIL_HOST_USER, EMAIL_HOST_PASSWORD = _mail["EMAIL_HOST_USER"], _mail["EMAIL_HOST_PASSWORD"]
EMAIL_USE_TLS, EMAIL_USE_SSL = _mail["EMAIL_USE_TLS"], _mail["EMAIL_USE_SSL"]
EMAIL_TIMEOUT = 20
DEFAULT_FROM_EMAIL = env.str("CLEARANCE_MAIL_FROM", f"clearance@{PUBLIC_HOST}")

USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en"
USE_I18N = False

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(levelname)s %(name)s %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": "WARNING"},
    "loggers": {
        "clearance": {"level": "INFO"},
        "celery": {"level": "WARNING"},
        "django.request": {"level": "ERROR"},
    },
}

"""Settings of the panel. What differs between machines comes from the environment."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext_lazy as _

from easyapache import journal
from easyapache.database import database_from, place_for_sqlite
from easyapache.environment import Environment, peppers_from

BASE_DIR = Path(__file__).resolve().parent.parent
env = Environment()

DEBUG = env.boolean("DEBUG", False)
"""For development only: error pages show every visitor the panel's code and settings."""
SECRET_KEY = env.text("SECRET_KEY")
"""Required. A long random string that signs sessions and forms."""
if not SECRET_KEY:
    if not DEBUG:
        raise ImproperlyConfigured(
            "SECRET_KEY is not set. Create one with\n"
            "  python3 -c 'import secrets; print(secrets.token_urlsafe(50))'\n"
            "and set SECRET_KEY, or SECRET_KEY_FILE to a file that holds it. "
            "(DEBUG=true starts without one, for development only.)"
        )
    SECRET_KEY = "development only: everybody knows this key"  # noqa: S105

VAR = Path(env.text("VAR_DIR", str(BASE_DIR / "var")))
"""The folder for the SQLite database, static files and beat's schedule."""
ALLOWED_HOSTS = env.names("ALLOWED_HOSTS", ("localhost", "127.0.0.1", "[::1]"))
"""The host names that the panel answers to, separated by commas."""
CSRF_TRUSTED_ORIGINS = env.names("CSRF_TRUSTED_ORIGINS")
"""Origins whose forms are accepted, as https://panel.example.com, where a proxy changes the host
name. Separated by commas."""
TRUSTED_PROXIES = env.integer("TRUSTED_PROXIES", 0)
"""How many proxies of your own are in front of the panel. As many entries of X-Forwarded-For are
trusted."""

REDIS_URL = env.text("REDIS_URL", "redis://127.0.0.1:6379/0")
"""The address of Redis, for the panel and for agents."""
DATABASES = {"default": database_from(env.text("DATABASE_URL"), VAR / "panel.sqlite3")}
"""``postgres://user:password@host/name``. Empty: SQLite in VAR_DIR."""
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    place_for_sqlite(Path(DATABASES["default"]["NAME"]))
SECRET_FILES = env.files("SECRET_KEY", "DATABASE_URL", "REDIS_URL", "TOKEN_PEPPERS", "SMTP_URL")
"""The files that NAME_FILE names for what nobody else may read: {variable: path}."""

# -- What the panel is made of ---------------------------------------------------------
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django_htmx",
    "mpm.servers.apps.ServersConfig",
    "mpm.apps.MpmConfig",
    # In a checkout only: the demo and the lab bring a command each, and no package has them.
    *(name for name in ("demo", "lab") if find_spec(name)),
]
MIDDLEWARE = [
    "mpm.web.middleware.request_id",
    "mpm.monitoring.probes.probes",
    "mpm.web.middleware.content_security_policy",
    "mpm.web.middleware.bounded_body",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "mpm.web.middleware.Compression",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    # Programs need nothing of what follows: sessions, languages, forms, messages.
    "mpm.web.for_programs.straight_to_programs",
    "mpm.web.preferences.fragments",
    "mpm.web.preferences.reader_zone",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "mpm.web.redirects.SignInFirst",
    "mpm.access.whm_sessions.one_server",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "mpm.web.page_context.stay_on_server",
    "mpm.web.redirects.wrong_method",
]
ROOT_URLCONF = "easyapache.urls"
WSGI_APPLICATION = "easyapache.wsgi.application"
ASGI_APPLICATION = "easyapache.asgi.application"
TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.template.context_processors.i18n",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "mpm.web.context.notice",
                "mpm.web.page_context.frame",
            ],
        },
    },
]

# -- Who may come in -------------------------------------------------------------------
AUTHENTICATION_BACKENDS = [
    "mpm.access.rights.RightsByRole",
    "mpm.access.whm_sessions.WhmSessions",
]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "login"
AUTH_PASSWORD_VALIDATORS = [
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 12},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
]
HTTPS = env.boolean("HTTPS", False)
"""``true`` if the panel is reached through TLS, here or at a proxy. Cookies are then sent through
TLS only, plain HTTP is redirected, and browsers insist on TLS for a year."""
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SESSION_COOKIE_HTTPONLY = True
SESSION_ENGINE = "mpm.access.sessions"
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_AGE = 12 * 3600
CSRF_FAILURE_VIEW = "mpm.web.responses.stale_form"
SECURE_SSL_REDIRECT = HTTPS
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = env.boolean("HSTS_SUBDOMAINS", False)
"""With HTTPS: browsers insist on TLS for every subdomain of the panel's name too. Can't be undone
quickly."""
SECURE_HSTS_PRELOAD = env.boolean("HSTS_PRELOAD", False)
"""With HTTPS: browsers may add the panel's name to their built-in lists. Can't be undone
quickly."""
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]
"""The operator decides about both: the panel may be on a customer's domain or its subdomain, and
browsers remember these settings."""
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if TRUSTED_PROXIES or HTTPS else None
"""With HTTPS also of a proxy that the panel was not told of: the redirect would go round in
circles, and a visitor who lies about it gains nothing."""
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
MESSAGE_STORAGE = "mpm.web.message_storage.RememberingStorage"
LARGEST_BODY = DATA_UPLOAD_MAX_MEMORY_SIZE = FILE_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024 * 1024
"""Bytes of a request. A larger one is refused before it is read, so that every upload fits into
memory and none becomes a file."""
FILE_UPLOAD_HANDLERS = ["django.core.files.uploadhandler.MemoryFileUploadHandler"]

# -- Words and times -------------------------------------------------------------------
LANGUAGE_CODE = "en"
LANGUAGES = [("en", _("English")), ("de", _("German"))]
FORMAT_MODULE_PATH = "mpm.web.formats"
LOCALE_PATHS = [BASE_DIR / "locale"]
DOCS_DIR = BASE_DIR / "docs"
"""What Help shows; it belongs to the version that is installed."""
USE_I18N = True
USE_TZ = True
TIME_ZONE = env.text("TIME_ZONE", "UTC")
"""The time zone for times, where a user's own isn't known."""

# -- Files that do not change ------------------------------------------------------------
STATIC_URL = "/static/"
STATIC_ROOT = VAR / "static"
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": (
            "django.contrib.staticfiles.storage.StaticFilesStorage"
            if DEBUG
            else "whitenoise.storage.CompressedManifestStaticFilesStorage"
        )
    },
}

NOTICE = env.text("EA4_NOTICE")
"""A notice shown on every page."""

# -- The change machinery ----------------------------------------------------------------
PREVIEW_SECONDS = env.integer("PREVIEW_SECONDS", 30, minimum=1)
"""How long a server may take to confirm a plan, in seconds."""
SILENCE_SECONDS = env.integer("SILENCE_SECONDS", 30, minimum=5)
"""After how many seconds without a report the agent of a running change is shown as offline."""
RESCAN_SECONDS = env.integer("RESCAN_SECONDS", 50, minimum=2)
"""How often every server is scanned, in seconds. The default shows external changes within a
minute."""
HISTORY_DAYS = env.integer("HISTORY_DAYS", 730)
"""How long changes are kept, in days. The first and the last of each server stay. 0: for ever."""

# -- Programs that ask -------------------------------------------------------------------
TOKEN_PEPPERS = peppers_from(env.text("TOKEN_PEPPERS"), SECRET_KEY)
"""``id:secret,id:secret``: the keys for API tokens and the secrets of webhooks. The first is used
for new ones; the others are still accepted. Empty: derived from SECRET_KEY."""
API_PER_MINUTE = env.integer("API_PER_MINUTE", 600, minimum=1)
"""How many requests a token may send per minute, unless the token has a limit of its own."""
WEBHOOK_ALLOWED_NETWORKS = env.networks("WEBHOOK_ALLOWED_NETWORKS")
"""Private networks that webhooks may reach, as 10.20.0.0/16. Separated by commas."""
METRICS_ALLOWED_NETWORKS = env.networks("METRICS_ALLOWED_NETWORKS", ("127.0.0.0/8", "::1/128"))
"""Networks that may read /metrics without a token, as 10.20.0.0/16. From elsewhere it takes a token
with the permission read for all servers."""
PANEL_URL = env.address("PANEL_URL")
"""The address of the panel in a browser, as https://panel.example.com: for links in webhooks, and
for sign-in from WHM, which only opens this address. Without it, sign-in from WHM works only if
ALLOWED_HOSTS has a single name besides those of the machine itself."""
SMTP_URL = env.text("SMTP_URL")
"""The mail server for webhooks by e-mail, as smtp://user:password@mail.example.com:587 (STARTTLS)
or smtps://mail.example.com. Empty: no e-mail."""
MAIL_FROM = env.text("MAIL_FROM", "EasyApache 4 MPM panel <ea4@localhost>")
"""The sender of e-mail."""
WHM_SERVER = env.text("WHM_SERVER")
"""The server that a WHM client changes, if neither ``server=`` nor the host name selects one."""

# -- What is written to the log: never a body, a header, a password or a token -----------------
LOG_LEVEL = env.text("LOG_LEVEL", "INFO").upper()
"""DEBUG, INFO, WARNING or ERROR."""
if LOG_LEVEL not in {"DEBUG", "INFO", "WARNING", "ERROR"}:
    raise ImproperlyConfigured(f"LOG_LEVEL={LOG_LEVEL!r}: one of DEBUG, INFO, WARNING, ERROR.")
LOG_FORMAT = env.text("LOG_FORMAT", "text").lower()
"""``text``, or ``json``: one JSON object per line, with the IDs of the request and the change."""
if LOG_FORMAT not in {"text", "json"}:
    raise ImproperlyConfigured(f"LOG_FORMAT={LOG_FORMAT!r}: text or json.")
ACCESS_LOG = env.boolean("ACCESS_LOG", False)
"""Whether each request is logged: method, path without its query, status, milliseconds, client
address."""
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {
        "request_id": {"()": "mpm.web.middleware.RequestIdFilter"},
        "not_every_tick": {"()": "mpm.web.log_lines.NotEveryTick"},
    },
    "formatters": {
        "line": {
            "()": "mpm.web.log_lines.OneLine",
            "format": "%(asctime)s %(levelname)s %(name)s [%(request_id)s] %(message)s",
        },
        # Time, level and IDs are fields of systemd's journal.
        "journal": {"()": "mpm.web.log_lines.OneLine", "format": "%(name)s: %(message)s"},
        "json": {"()": "mpm.web.log_lines.JsonLine"},
    },
    "handlers": {
        "stderr": {
            "class": "logging.StreamHandler",
            "stream": sys.stderr,
            "filters": ["request_id"],
            "formatter": "json" if LOG_FORMAT == "json" else "line",
        },
        "journal": {
            "class": "easyapache.journal.JournalHandler",
            "filters": ["request_id"],
            "formatter": "json" if LOG_FORMAT == "json" else "journal",
        },
    },
    "root": {"handlers": ["journal" if journal.is_stderr() else "stderr"], "level": LOG_LEVEL},
    "loggers": {
        "django.db.backends": {"level": "WARNING"},
        # A line for each message and each tick, every two seconds, for ever.
        "celery.app.trace": {"level": "WARNING"},
        "celery.worker.strategy": {"level": "WARNING"},
        "celery.beat": {"filters": ["not_every_tick"]},
        # It names whole addresses, and those of webhooks may hold a secret of the receiver.
        "httpx": {"level": "WARNING"},
    },
}

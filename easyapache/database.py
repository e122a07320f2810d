"""Turns DATABASE_URL into Django's settings: SQLite and PostgreSQL, nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

_SQLITE_START = (
    "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA busy_timeout=15000; "
    "PRAGMA foreign_keys=ON"
)


def database_from(url: str, default_path: Path) -> dict[str, Any]:
    """``sqlite:///relative/or//absolute`` or ``postgres://user:password@host:port/name?option=…``.

    Empty means SQLite at ``default_path``. Raises ImproperlyConfigured for anything else; the
    message never repeats the address, because it may hold a password.
    """
    if not url:
        return _sqlite(default_path)
    parts = urlsplit(url)
    if parts.scheme == "sqlite":
        if parts.netloc:
            raise ImproperlyConfigured(
                "DATABASE_URL: sqlite:/// needs three slashes, four for an absolute path."
            )
        path = unquote(parts.path.removeprefix("/"))
        if not path:
            raise ImproperlyConfigured("DATABASE_URL: sqlite:/// needs the path of a file.")
        return _sqlite(Path(path))
    if parts.scheme in ("postgres", "postgresql"):
        try:
            port = parts.port
        except ValueError as error:
            raise ImproperlyConfigured("DATABASE_URL: the port is not a number.") from error
        options = dict(parse_qsl(parts.query))
        return {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": unquote(parts.path.removeprefix("/")),
            "USER": unquote(parts.username or ""),
            "PASSWORD": unquote(parts.password or ""),
            "HOST": options.pop("host", "") or unquote(parts.hostname or ""),
            "PORT": options.pop("port", "") or (str(port) if port else ""),
            "OPTIONS": options,
            "CONN_MAX_AGE": 60,
            "CONN_HEALTH_CHECKS": True,
        }
    raise ImproperlyConfigured("DATABASE_URL must begin with sqlite:///, postgres:// or be empty.")


def _sqlite(path: Path) -> dict[str, Any]:
    """WAL lets readers go on while one writes; IMMEDIATE takes the write lock at the start of
    a transaction, so that two writers queue up instead of failing half-way."""
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(path),
        # Closing the last connection writes the whole WAL back and waits for the disk; a
        # page that opened its own would pay for that each time.
        "CONN_MAX_AGE": 600,
        "OPTIONS": {
            "transaction_mode": "IMMEDIATE",
            "timeout": 15,
            "init_command": _SQLITE_START,
        },
    }

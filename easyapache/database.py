"""Turns DATABASE_URL into Django's settings: SQLite and PostgreSQL, nothing else."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

from easyapache.private_files import account_name

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


def place_for_sqlite(path: Path) -> None:
    """Make the folder of an SQLite database. Raises ImproperlyConfigured where this account
    cannot create or write the database: signing in and every change write it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ImproperlyConfigured(
            f"The folder of the database, {path.parent}, cannot be created: {error.strerror}. "
            "Set VAR_DIR to a folder that belongs to the panel's account."
        ) from error
    for needed, rights in ((path.parent, os.W_OK | os.X_OK), (path, os.W_OK)):
        if needed.exists() and not os.access(needed, rights):
            owner, me = account_name(needed.stat().st_uid), account_name(os.geteuid())
            raise ImproperlyConfigured(
                f"{needed} cannot be written by {me}, and belongs to {owner}. Run this as "
                f"{owner}, or give the folder with all in it to the account of the panel: "
                f"chown -R {me if me != 'root' else 'ACCOUNT'}: {path.parent}"
            )


def _sqlite(path: Path) -> dict[str, Any]:
    """WAL lets readers continue during a write; IMMEDIATE takes the write lock at the start of a
    transaction, so that two writers wait instead of failing in the middle."""
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

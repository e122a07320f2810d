"""Why the database can't be used, as one sentence for the administrator."""

from __future__ import annotations

import time
from collections.abc import Callable

from django.db import DatabaseError
from django.db.backends.base.base import BaseDatabaseWrapper

PREPARE = "Run manage.py prepare as the panel's account, with the panel's environment."
_MOST = 400

_BY_STATE = {
    "42P01": f"The database is not prepared for this version of the panel. {PREPARE}",
    "42703": f"The database is not prepared for this version of the panel. {PREPARE}",
    "25006": "The database is read-only: DATABASE_URL must point to a primary server, not to a "
    "standby.",
    "28P01": "PostgreSQL rejects the username or password in DATABASE_URL.",
    "28000": "PostgreSQL rejects the user of DATABASE_URL (see pg_hba.conf).",
    "3D000": "The database that DATABASE_URL names does not exist.",
    "42501": "The user of DATABASE_URL lacks permissions in the database.",
    "53100": "The disk of the database is full.",
    "53300": "PostgreSQL accepts no more connections (max_connections).",
    "57P01": "PostgreSQL is shutting down.",
    "57P03": "PostgreSQL is starting or stopping and accepts no connections yet.",
    "22021": "The database isn't encoded in UTF-8.",
    "22P05": "The database isn't encoded in UTF-8.",
}
"""By the state that PostgreSQL gives an error (its documentation, Appendix A)."""

_BY_CODE = {
    "SQLITE_CANTOPEN": "The SQLite database can't be opened: VAR_DIR is missing or belongs to "
    "another account.",
    "SQLITE_READONLY": "The SQLite database is read-only for this account: the file and its folder "
    "must belong to the panel's account.",
    "SQLITE_FULL": "The disk of the SQLite database is full.",
    "SQLITE_CORRUPT": "The SQLite database is damaged: restore it from a backup.",
    "SQLITE_NOTADB": "The SQLite database is damaged or not a database: restore it from a backup.",
    "SQLITE_BUSY": "The SQLite database stayed locked for too long.",
    "SQLITE_IOERR": "The disk of the SQLite database can't be read or written.",
    "SQLITE_PERM": "This account has no permissions on the SQLite database.",
}

_BY_WORDS = (
    ("no such table", _BY_STATE["42P01"]),
    ("no such column", _BY_STATE["42P01"]),
    ("has no column", _BY_STATE["42P01"]),
    ("password authentication failed", _BY_STATE["28P01"]),
    ("no password supplied", _BY_STATE["28P01"]),
    ("no pg_hba.conf entry", _BY_STATE["28000"]),
    ("role ", _BY_STATE["28000"]),
    ("does not exist", _BY_STATE["3D000"]),
    ("the database system is", _BY_STATE["57P03"]),
)
"""If there is neither: SQLite has one code for many errors, and a connection refused by PostgreSQL
has no state."""

_FOR_A_WHILE = ("57P01", "57P03", "53300")


def why(error: DatabaseError) -> str:
    """The problem of the database, and the fix; empty for a bug of the panel. It has no secrets:
    drivers do not repeat passwords."""
    cause = _driver_error(error)
    state, code = getattr(cause, "sqlstate", None), getattr(cause, "sqlite_errorname", "")
    if state:
        return _BY_STATE.get(state, "")
    for known, sentence in _BY_CODE.items():
        if code == known or code.startswith(f"{known}_"):
            return sentence
    text = " ".join(str(error).split())
    for pattern, sentence in _BY_WORDS:
        if pattern in text:
            return sentence
    if type(cause).__module__.startswith("psycopg") and type(error).__name__ == "OperationalError":
        return f"PostgreSQL cannot be reached: {text[:_MOST]}"
    return ""


def _driver_error(error: BaseException) -> BaseException:
    """What the driver raised; Django raises its own from it, now and then twice."""
    found: BaseException | None = error
    while found is not None:
        if getattr(found, "sqlstate", None) or getattr(found, "sqlite_errorname", ""):
            return found
        found = found.__cause__ or found.__context__
    return error.__cause__ or error


def passes(error: DatabaseError) -> bool:
    """Whether waiting may help: PostgreSQL is not there yet, or does not take connections yet."""
    reason = why(error)
    return reason.startswith("PostgreSQL cannot be reached") or reason in {
        _BY_STATE[state] for state in _FOR_A_WHILE
    }


def wait_for(
    connection: BaseDatabaseWrapper, seconds: float, report: Callable[[str], None]
) -> None:
    """Wait until the database accepts a connection. ``report`` gets one sentence when it has to
    wait.

    Raises DatabaseError if it refuses, or does not answer within ``seconds``.
    """
    ends, waited = time.monotonic() + seconds, False
    while True:
        try:
            connection.ensure_connection()
            return
        except DatabaseError as error:
            if not passes(error) or time.monotonic() >= ends:
                raise
            if not waited:
                report(f"Waiting for the database, {seconds:.0f} seconds at most. {why(error)}")
                waited = True
            time.sleep(min(1.0, max(0.0, ends - time.monotonic())))


def unfit(connection: BaseDatabaseWrapper) -> str:
    """Why this database can never hold the panel; empty when it can.

    SQL_ASCII and the old one-byte encodings refuse or garble names and logs that are UTF-8.
    """
    if connection.vendor != "postgresql":
        return ""
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('server_encoding')::bytea")
        encoding = bytes(cursor.fetchone()[0]).decode("ascii", "replace")
        cursor.execute("SELECT current_setting('transaction_read_only')::bool")
        read_only = cursor.fetchone()[0]
    if encoding != "UTF8":
        return (
            f"The database has the encoding {encoding}, and the panel needs UTF8: "
            "createdb --encoding UTF8 --template template0 NAME"
        )
    return _BY_STATE["25006"] if read_only else ""

"""What dnf itself remembers of the last transaction on a server: who, when, by which command."""

from __future__ import annotations

import pwd
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

HISTORY = "var/lib/dnf/history.sqlite"
NOBODY_LOGGED_IN = 2**32 - 1
"""The login user id of a process that no login began: cron, a service."""


def last_transaction(root: Path) -> dict[str, Any]:
    """{id, at, user, command, comment} of the newest completed transaction; empty if dnf has none
    or its history cannot be read (which preflight reports).

    ``at`` is ISO 8601 in UTC; ``user`` is the login user, not the account switched to, and empty if
    there was none.
    """
    path = root / HISTORY
    if not path.exists():
        return {}
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=2.0)) as history:
            columns = {row[1] for row in history.execute("pragma table_info(trans)")}
            comment = "comment" if "comment" in columns else "''"
            row = history.execute(
                f"select id, dt_end, user_id, cmdline, {comment} from trans "  # noqa: S608
                "where dt_end is not null order by id desc limit 1"
            ).fetchone()
    except sqlite3.Error:
        return {}
    if row is None:
        return {}
    number, ended, user, command, note = row
    return {
        "id": number,
        "at": datetime.fromtimestamp(ended, UTC).isoformat(timespec="seconds"),
        "user": account(user),
        "command": (command or "")[:300],
        "comment": note or "",
    }


def account(user_id: int | None) -> str:
    """The name of a login user id; its number if the account was removed."""
    if user_id is None or user_id in (-1, NOBODY_LOGGED_IN):
        return ""
    try:
        return pwd.getpwuid(user_id).pw_name
    except KeyError:
        return str(user_id)

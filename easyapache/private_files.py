"""Files of the panel that no other account of the machine may read.

A cPanel server has hundreds of accounts with a shell. An account that can read the panel's database
has its history, its webhooks and everything else in it.
"""

from __future__ import annotations

import os
import pwd
import stat
from collections.abc import Iterable
from pathlib import Path

UMASK = 0o077
"""What a process of the panel creates is its own account's alone."""

FOR_OTHERS = frozenset(
    {"demo", "lab", "collectstatic", "makemessages", "compilemessages", "makemigrations"}
)
"""Commands of ``manage.py`` that write what others are to read: a lab's web site, static files
for a web server, source code."""


def keep_files_private() -> None:
    """From here on this process creates files that only its own account can read."""
    os.umask(UMASK)


def database_files(database: Path) -> list[Path]:
    """The files of an SQLite database that exist. SQLite creates the others with the mode of the
    database."""
    beside = (database.with_name(database.name + end) for end in ("-wal", "-shm", "-journal"))
    return [path for path in (database, *beside) if path.is_file()]


def readable_by_others(paths: Iterable[Path]) -> list[Path]:
    """The paths that accounts other than the owner and the group can read. A parent folder that
    they cannot enter protects its contents."""
    return [path for path in paths if _others_read(path)]


def _others_read(path: Path) -> bool:
    try:
        place = path.resolve(strict=True)
        if not place.stat().st_mode & stat.S_IROTH:
            return False
        return all(parent.stat().st_mode & stat.S_IXOTH for parent in place.parents)
    except OSError:
        return False  # not there, or out of our own reach


def make_private(paths: Iterable[Path]) -> None:
    """Remove all permissions of group and others from our own files and folders among these. Shared
    folders (/tmp) are not changed."""
    for path in paths:
        if not path.exists():
            continue
        found = path.stat()
        shared = found.st_mode & stat.S_ISVTX
        if found.st_uid == os.geteuid() and found.st_mode & UMASK and not shared:
            path.chmod(stat.S_IMODE(found.st_mode) & ~UMASK)


def account_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def wrong_account(path: Path) -> str:
    """Why this process must not create files in ``path``: one sentence, empty when it may.

    Root may write anywhere, but the panel could not write the files that root creates in a folder
    of the panel's account.
    """
    if not path.exists():
        return ""
    owner, me = path.stat().st_uid, os.geteuid()
    if me == 0 and owner != 0:
        name = account_name(owner)
        return (
            f"{path} belongs to {name}: run this command as {name} (sudo -u {name} …), not as "
            "root, which would leave files there that the panel cannot write."
        )
    if not os.access(path, os.W_OK | os.X_OK):
        return (
            f"{path} belongs to {account_name(owner)}, and {account_name(me)} cannot write "
            f"there: run this command as {account_name(owner)}, or give the folder to "
            f"{account_name(me)}."
        )
    return ""

"""Checks of ``manage.py check`` for the machine that the panel runs on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core import checks
from django.db import connection

from easyapache.private_files import database_files, readable_by_others


def exposed_database() -> list[Path]:
    """The files of the SQLite database that other accounts of this machine can read."""
    if connection.vendor != "sqlite":
        return []
    return readable_by_others(database_files(Path(connection.settings_dict["NAME"])))


def exposed_secrets() -> dict[str, Path]:
    """The files of secrets that other accounts can read: {variable that names it: path}."""
    secrets: dict[str, Path] = settings.SECRET_FILES
    return {name: path for name, path in secrets.items() if readable_by_others([path])}


def files_are_private(**_: Any) -> list[checks.CheckMessage]:
    """Only the panel's account may read its database and its secrets."""
    found: list[checks.CheckMessage] = [
        checks.Warning(
            f"Other accounts on this machine can read the database: {path}",
            hint="Run manage.py prepare as the panel's account, or: "
            f"chmod go= {path.parent} {path}",
            id="easyapache.W001",
        )
        for path in exposed_database()
    ]
    found += [
        checks.Warning(
            f"Other accounts on this machine can read {path}, which {variable} names.",
            hint=f"chmod o= {path}",
            id="easyapache.W002",
        )
        for variable, path in exposed_secrets().items()
    ]
    return found

"""Checks of ``manage.py check --database default``, also run by ``migrate``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.core import checks
from django.db import connections

from mpm.history.models.search_index import MISSING, REMEDY, indexed


def words_have_an_index(
    databases: Sequence[str] | None = None, **_: Any
) -> list[checks.CheckMessage]:
    """Free text is found without its index as well, but slowly in a long history."""
    found: list[checks.CheckMessage] = []
    for alias in databases or ():
        connection = connections[alias]
        if "mpm_change" in connection.introspection.table_names() and not indexed(connection):
            found.append(checks.Warning(MISSING, hint=REMEDY[connection.vendor], id="mpm.W001"))
    return found

"""Which problems an operation may end with, for its description."""

from __future__ import annotations

from mpm.access.scopes import Scope

ALWAYS = frozenset({401, 422, 429, 500, 503})
"""422 is a parameter that does not exist, 503 a database that is away."""
BODY = frozenset({400, 411, 413, 415})
"""What can be wrong with a body before anything in it is read."""

DESCRIBED = None
"""The schema of problems in the operations' responses. They share one (see
``mpm.api.description``): a model for each status of each operation would be 250 models, created at
the start of every process and command."""


def problems(scope: Scope, *more: int, named: bool = True, body: bool = False) -> frozenset[int]:
    """Of an operation that needs ``scope``. ``named``: its address names a resource, which may not
    exist. ``body``: it reads one. ``more``: what only this operation may end with.

    Every token may read, so that reading is never refused for a scope.
    """
    refused = set() if scope is Scope.READ else {403}
    return ALWAYS | refused | ({404} if named else set()) | (BODY if body else set()) | set(more)

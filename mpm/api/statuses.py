"""Which problems an operation may end with, for its description."""

from __future__ import annotations

READS = frozenset({400, 401, 403, 404, 409, 422, 429, 500, 503})
"""Of every operation: 409 is a server nobody has looked at yet, 503 a database that is away."""
WRITES = READS | {413}
"""Of one that reads a body."""
CONDITIONAL = WRITES | {412, 428}

"""What a request may hold beside what its operation reads: nothing, as in its body."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from django.http import HttpRequest

from mpm.api.problems import Problem

_PLACE = re.compile(r"<(?:\w+:)?(\w+)>")
_descriptions: list[Callable[[], Mapping[str, Any]]] = []


def described_by(describe: Callable[[], Mapping[str, Any]]) -> None:
    """Hand in what returns the OpenAPI description of the assembled API. It is called with the
    first request that has a query: working out the description takes long."""
    _descriptions[:] = [describe]
    _known.cache_clear()


@cache
def _known(route: str, method: str) -> frozenset[str] | None:
    """The query parameters that the description has of an operation; None where it has none."""
    [describe] = _descriptions
    address = "/" + _PLACE.sub(r"{\1}", route)
    operation = describe()["paths"].get(address, {}).get(method.lower())
    if operation is None:
        return None
    parameters = operation.get("parameters", ())
    return frozenset(item["name"] for item in parameters if item["in"] == "query")


def refuse_unknown(request: HttpRequest) -> None:
    """Raises Problem 422 for a query parameter that the operation does not have.

    A filter with a slip of the pen would otherwise answer with everything.
    """
    if not request.GET or request.resolver_match is None:
        return
    known = _known(request.resolver_match.route, str(request.method))
    unknown = sorted(set(request.GET) - known) if known is not None else []
    if not unknown:
        return
    has = f"It takes {', '.join(sorted(known or ()))}." if known else "It takes none."
    told = [{"where": f"query.{name[:200]}", "message": f"Unknown. {has}"} for name in unknown[:20]]
    first = f"{told[0]['where']}: {told[0]['message']}"
    raise Problem(422, "invalid", first, errors=told)


def refused_type(request: HttpRequest) -> Problem | None:
    """415 for a body that is not JSON, or that is encoded: it would be read as what it is not."""
    if str(request.META.get("CONTENT_LENGTH") or "0") == "0":
        return None
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    kind = (request.content_type or "").lower()
    if encoding != "identity":
        detail = "Send the body without Content-Encoding."
    elif kind in ("", "application/json") or kind.endswith("+json"):
        return None
    else:
        detail = "Send the body as JSON, with Content-Type: application/json."
    return Problem(415, "unsupported_media_type", detail)

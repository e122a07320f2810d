"""Refuses query parameters that an operation does not have, as for members of the body, and bodies
of another type."""

from __future__ import annotations

import re
from collections.abc import Mapping

from django.http import HttpRequest
from ninja import NinjaAPI
from ninja.utils import normalize_path

from mpm.api.problems import Problem, invalid

_PLACE = re.compile(r"<(?:\w+:)?(\w+)>")
_CONVERTER = re.compile(r"{\w+:")
_known: dict[tuple[str, str], Mapping[str, bool]] = {}


def learn(api: NinjaAPI, prefix: str) -> None:
    """Collect the query parameters of every operation from its function; ``prefix`` is the API's
    path, as in a route.

    The OpenAPI description has them too, but generating it takes a second of CPU time: the first
    requests after a start would wait for it.
    """
    _known.clear()
    for router in api._get_bound_routers():  # noqa: SLF001 -- ninja shows them nowhere else
        for path, view in router.path_operations.items():
            place = normalize_path(f"{prefix}/{router.prefix}/{path}").strip("/")
            for operation in view.operations:
                names = {
                    name: name in getattr(model, "__ninja_collection_fields__", ())
                    for model in operation.models
                    if model.__ninja_param_source__ == "query"
                    for name in getattr(model, "__ninja_flatten_map__", ())
                }
                for method in operation.methods:
                    _known[_CONVERTER.sub("{", place), method] = names


def known(route: str, method: str) -> frozenset[str] | None:
    """The query parameters of an operation; None where there is none at ``route``."""
    parameters = _parameters(route, method)
    return None if parameters is None else frozenset(parameters)


def _parameters(route: str, method: str) -> Mapping[str, bool] | None:
    """The same, with whether each may be repeated."""
    return _known.get((_PLACE.sub(r"{\1}", route).strip("/"), method))


def check_query(request: HttpRequest) -> None:
    """Raises Problem 422 for a query parameter that the operation does not have, for an empty one,
    and for one sent twice that has one value; and takes ``state=a,b`` apart, which is the same as
    ``state=a&state=b``.

    A filter with a typo, or with a variable that was not set, would otherwise answer with
    everything, and one of two would be ignored.
    """
    if not request.META.get("QUERY_STRING") or request.resolver_match is None:
        return
    taken = _parameters(request.resolver_match.route, str(request.method))
    if taken is None:
        return
    unknown = sorted(set(request.GET) - set(taken))
    if unknown:
        has = f"It takes {', '.join(sorted(taken))}." if taken else "It takes none."
        found = [{"detail": f"Unknown. {has}", "parameter": name[:200]} for name in unknown[:20]]
        named = unknown[0][:200] if unknown[0].isprintable() and unknown[0] else repr(unknown[0])
        raise Problem(422, "invalid", f"{named}: Unknown. {has}", errors=found)
    doubled = sorted(
        name for name in request.GET if not taken[name] and len(request.GET.getlist(name)) > 1
    )
    if doubled:
        found = [{"detail": "Send it once.", "parameter": name} for name in doubled]
        raise Problem(422, "invalid", f"{doubled[0]}: Send it once.", errors=found)
    empty = sorted(name for name, value in request.GET.items() if not value and name != "cursor")
    if empty:
        raise invalid("is empty: send a value, or leave the parameter out", parameter=empty[0])
    if any(taken[name] for name in request.GET):
        query = request.GET.copy()
        for name in filter(taken.__getitem__, list(query)):
            values = (part for value in query.getlist(name) for part in value.split(","))
            query.setlist(name, list(values))
        request.GET = query  # type: ignore[assignment]


def check_headers(request: HttpRequest) -> None:
    """Raises Problem 422 for an empty header that makes a request safe: a script whose variable was
    not set would otherwise go on without that."""
    for key, name in _SAFE.items():
        value = request.META.get(key)
        if value is not None and not value.strip():
            raise invalid("is empty: send its value, or leave the header out", header=name)


_SAFE = {"HTTP_IF_MATCH": "If-Match", "HTTP_IDEMPOTENCY_KEY": "Idempotency-Key"}


def refused_type(request: HttpRequest) -> Problem | None:
    """415 for a body that is not JSON in UTF-8, or that has a content encoding."""
    if str(request.META.get("CONTENT_LENGTH") or "0") == "0":
        return None
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    kind = (request.content_type or "").lower()
    if encoding != "identity":
        detail = "Send the body without Content-Encoding."
    elif (request.content_params or {}).get("charset", "utf-8").lower() not in ("utf-8", "utf8"):
        detail = "Send the body in UTF-8."
    elif kind in ("", "application/json") or kind.endswith("+json"):
        return None
    else:
        detail = "Send the body as JSON, with Content-Type: application/json."
    return Problem(415, "unsupported_media_type", detail)

"""The addresses of the panel, and one bare view of the same framework."""

from __future__ import annotations

import json
from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, URLResolver, path
from ninja import NinjaAPI

from easyapache.urls import urlpatterns as of_the_panel
from mpm.web.for_programs import for_programs

bare = NinjaAPI(urls_namespace="bare", docs_url=None, openapi_url=None)
BODY = json.dumps({"filler": "x" * 560}).encode()


@bare.get("mpm")
def mpm(request: HttpRequest) -> Any:  # noqa: ARG001
    return HttpResponse(BODY, content_type="application/json")


def _open(patterns: list[Any]) -> list[URLPattern]:
    for pattern in patterns:
        pattern.callback = for_programs(login_not_required(pattern.callback))
    return patterns


_OPEN = _open(bare.urls[0])
urlpatterns: list[URLPattern | URLResolver] = [
    *(path(f"bare/{item.pattern}", item.callback) for item in _OPEN),
    *(path(f"api/v1/bare/{item.pattern}", item.callback) for item in _OPEN),
    *of_the_panel,
]
"""At an address of the API, the view is behind the API's middleware; at the other, behind all of
the panel's."""

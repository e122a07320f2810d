"""Context of every template, also before sign-in."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest


def notice(request: HttpRequest) -> dict[str, str]:  # noqa: ARG001
    """``notice``: one sentence that belongs on every page, or "". See EA4_NOTICE."""
    return {"notice": settings.NOTICE}

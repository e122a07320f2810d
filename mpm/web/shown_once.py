"""Values shown on one page and never again: a secret that was just created.

A form's answer is a redirect, so that reloading a page sends nothing again. In between, the secret
is in the session, and the page that shows it removes it.
"""

from __future__ import annotations

from collections.abc import Mapping

from django.http import HttpRequest

_PREFIX = "shown_once."


def keep(request: HttpRequest, name: str, values: Mapping[str, str]) -> None:
    """For the next page that takes ``name``, of this session alone."""
    request.session[_PREFIX + name] = dict(values)


def take(request: HttpRequest, name: str) -> Mapping[str, str] | None:
    """Remove and return the value stored under ``name``; None if there is none."""
    found = request.session.pop(_PREFIX + name, None)
    return found if isinstance(found, dict) else None

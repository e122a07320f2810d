"""The person behind a request, in the words that services and history keep."""

from __future__ import annotations

from django.http import HttpRequest

from mpm.access.rights import (
    ADMINISTRATOR,
    ROLES,
    SUPPORT,
    can_change,
    can_read,
    may_change,
    may_read,
    role_of,
)
from mpm.access.services.actor import Actor
from mpm.web.address import client_address

__all__ = [
    "ADMINISTRATOR",
    "ROLES",
    "SUPPORT",
    "actor_of",
    "agent_class",
    "can_change",
    "can_read",
    "may_change",
    "may_read",
    "role_of",
]


def agent_class(user_agent: str) -> str:
    """A rough kind of client, kept in history instead of the whole header."""
    known = ("curl", "wget", "python", "ea4mpm", "ansible", "firefox", "edg/", "chrome", "safari")
    lowered = user_agent.lower()
    return next((name.strip("/") for name in known if name in lowered), "other")


def actor_of(request: HttpRequest, origin: str = "web") -> Actor:
    """The person behind a request, as services and history want them."""
    user = request.user
    return Actor(
        name=user.get_username() if user.is_authenticated else "",
        role=role_of(user),
        user_id=user.pk if user.is_authenticated else None,
        origin=origin,
        address=client_address(request),
        agent_class=agent_class(request.headers.get("User-Agent", "")),
        request_id=str(getattr(request, "id", "")),
    )

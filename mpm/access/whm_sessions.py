"""The rights of a session that started in the WHM of a server: for that server only.

Its account has no role. The right to read, and to change if the server's key allows it, belongs to
the session, and ends with the key. Its pages are a list: all others, and those of other servers,
are refused.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib.auth.backends import BaseBackend
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, User
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.utils.translation import gettext as _

from mpm.models import Change, Preview
from mpm.servers.models import Server

BACKEND = "mpm.access.whm_sessions.WhmSessions"
LASTS = 3600
"""Seconds, whether it is used or not. WHM opens the next one with a click."""

OF_THE_CHOSEN_SERVER = frozenset(
    {
        *("home", "frame", "ea4", "packages", "package", "mpm", "mpm-plan", "review-ask"),
        *("doctor", "doctor-repair", "doctor-result", "history", "history-export"),
    }
)
"""Pages about the server that a request chooses; it can only choose its own (``Frame.servers``)."""
OF_NO_SERVER = frozenset(
    {"preferences", "messages", "tools", "tools-found", "help", "help-page", "logout"}
)
OF_A_CHANGE = frozenset(
    {
        *("change", "change-live", "change-log", "change-raw-log", "change-cancel"),
        *("change-schedule", "rollback", "rollback-plan", "rollback-answer", "rollback-confirm"),
        *("change-adopt", "change-recover"),
    }
)
OF_A_PLAN = frozenset({"review", "review-answer", "review-again", "review-confirm"})
OF_A_SERVER = frozenset({"server"})
OPEN = OF_THE_CHOSEN_SERVER | OF_NO_SERVER | OF_A_CHANGE | OF_A_PLAN | OF_A_SERVER


class WhmSessions(BaseBackend):
    """Gives a session from WHM its account and rights. It accepts no passwords."""

    def get_user(self, user_id: int) -> User | None:
        rows = User.objects.select_related("whm__server__whm_key")
        found = rows.filter(
            pk=user_id,
            is_active=True,
            whm__server__active=True,
            whm__server__whm_key__isnull=False,
        ).first()
        if found is None:
            return None
        whm: Any = found.whm
        rights = {"mpm.read"}
        if whm.root and whm.server.whm_key.may_change:
            rights.add("mpm.change")
        found.rights = rights  # type: ignore[attr-defined]
        found.only_server = whm.server  # type: ignore[attr-defined]
        return found


def only_server(user: AbstractBaseUser | AnonymousUser) -> Server | None:
    """The only server of a session; None for a session from a sign-in here."""
    found: Server | None = getattr(user, "only_server", None)
    return found


def open_to(user: AbstractBaseUser | AnonymousUser, route: str) -> bool:
    """Whether a page of this name may be open to such a session at all."""
    return only_server(user) is None or route in OPEN


GetResponse = Callable[[HttpRequest], HttpResponseBase]


def one_server(get_response: GetResponse) -> GetResponse:
    """Middleware: closes every page to a session from WHM that is not of its own server."""

    def handle(request: HttpRequest) -> HttpResponseBase:
        return get_response(request)

    def process_view(
        request: HttpRequest, view: Callable[..., Any], _args: Any, kwargs: dict[str, Any]
    ) -> None:
        if not getattr(view, "login_required", True):
            return  # open to everyone, or with its own authentication
        server = only_server(request.user)
        if server is None:
            return
        route = request.resolver_match.view_name if request.resolver_match else ""
        if route not in OPEN:
            raise PermissionDenied(
                _("You signed in from WHM. That opens %(server)s only.") % {"server": server}
            )
        if not _is_of(server, route, kwargs):
            raise Http404(_("Unknown server."))

    handle.process_view = process_view  # type: ignore[attr-defined]
    return handle


def _is_of(server: Server, route: str, kwargs: dict[str, Any]) -> bool:
    if route in OF_A_CHANGE:
        return Change.objects.filter(pk=kwargs["pk"], server=server).exists()
    if route in OF_A_PLAN:
        return Preview.objects.filter(uuid=kwargs["uuid"], server=server).exists()
    return route not in OF_A_SERVER or kwargs["name"] == server.name

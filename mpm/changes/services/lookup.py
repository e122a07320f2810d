"""Finds the objects that a request names, or raises a clear error."""

from __future__ import annotations

from collections.abc import Iterable

from easyapache.ea4.sentences import Sentence, joined
from mpm.access.services.actor import Actor, BadRequest, NotAllowed, NotFound
from mpm.models import Change, Preview
from mpm.servers.models import Server


def server_named(name: str) -> Server:
    """Raises NotFound, naming the servers that exist."""
    try:
        return Server.objects.get(name=name)
    except Server.DoesNotExist:
        known = ", ".join(Server.objects.order_by("name").values_list("name", flat=True)[:20])
        message = Sentence("There is no server called {name!r}.", name=name[:80])
        more = (
            Sentence("Known servers: {names}.", names=known)
            if known
            else Sentence("No server has been added yet.")
        )
        raise NotFound(
            joined(" ", [message, more]),
            code="unknown_server",
        ) from None


def check_server(name: str) -> None:
    """Raises NotFound for a server that neither exists nor has a history."""
    if not Change.objects.filter(server_name=name).exists():
        server_named(name)


def check_servers(names: Iterable[str]) -> list[str]:
    """``names`` in order, each once. Raises BadRequest for one that no server has."""
    wanted = sorted(set(names))
    known = set(Server.objects.filter(name__in=wanted).values_list("name", flat=True))
    missing = [name for name in wanted if name not in known]
    if missing:
        raise BadRequest(
            Sentence("There is no server called {missing!r}.", missing=missing[0][:63]),
            code="unknown_server",
            field="servers",
        )
    return wanted


def only_server() -> Server:
    """The server that is meant when none is named. Raises NotFound unless there is exactly one."""
    servers = list(Server.objects.filter(active=True).order_by("name")[:2])
    if len(servers) == 1:
        return servers[0]
    if not servers:
        raise NotFound(Sentence("No server has been added yet."), code="no_server")
    raise NotFound(Sentence("There are several servers. Name one."), code="which_server")


def change_numbered(number: int | str) -> Change:
    """A change by its number (``1284`` or ``#1284``) or its id. Raises NotFound."""
    text = str(number).removeprefix("#").strip()
    if text.isascii() and text.isdigit() and len(text) < 19:
        found = Change.objects.filter(pk=int(text)).first()
    else:
        found = Change.objects.filter(uuid=text[:32]).first() if len(text) == 32 else None
    if found is None:
        raise NotFound(
            Sentence("There is no change {name!r}.", name=text[:40]), code="unknown_change"
        )
    return found


def preview_with(uuid: str) -> Preview:
    """A preview of a selection, and its server. Raises NotFound."""
    rows = Preview.objects.select_related("server").filter(undo_of="")
    found = rows.filter(uuid=uuid).first() if len(uuid) == 32 else None
    if found is None:
        raise NotFound(Sentence("Unknown plan. Request a new one."), code="unknown_preview")
    return found


def must_be_allowed(actor: Actor, what: str = Sentence("change servers")) -> None:
    """Raises NotAllowed. Every service that writes checks this first, for every interface."""
    if not actor.may_change:
        raise NotAllowed(
            Sentence(
                "{account} has view-only access and can't {what}.",
                account=actor.name or Sentence("This account"),
                what=what,
            ),
            remedy=Sentence("Ask an administrator."),
        )

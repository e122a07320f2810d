"""Adds and alters servers."""

from __future__ import annotations

from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from easyapache.ea4.protocol import SERVER_NAME
from easyapache.ea4.sentences import Sentence
from mpm.access.services.actor import Actor, BadRequest, Refused
from mpm.changes.services.lookup import must_be_allowed
from mpm.history.services.events import append
from mpm.history.services.text_checks import one_text
from mpm.servers.models import Server


def add_server(
    name: str,
    *,
    actor: Actor,
    hostname: str = "",
    kind: str = Server.Kind.REAL,
    require_digest: bool = False,
    note: str = "",
) -> Server:
    """Make a server known. ``name`` also names the queue its agent listens to, so it never changes.

    Raises NotAllowed, BadRequest for a name or kind that cannot be, Refused ``exists``.
    """
    must_be_allowed(actor, Sentence("add servers"))
    if not SERVER_NAME.match(name):
        raise BadRequest(
            Sentence(
                "{name!r} is not a valid server name. Use up to 63 lowercase letters, digits, "
                "dots, and dashes, with a letter or digit at both ends.",
                name=name[:80],
            ),
            code="bad_server_name",
        )
    if kind not in Server.Kind.values:
        raise BadRequest(
            Sentence(
                "Unknown server kind {kind!r}. Use one of: {kinds}.",
                kind=kind[:40],
                kinds=", ".join(Server.Kind.values),
            ),
            code="bad_kind",
        )
    now = timezone.now()
    values = {
        "hostname": one_text("hostname", hostname, 253),
        "kind": kind,
        "require_digest": require_digest,
        "note": one_text("note", note, 500),
    }
    try:
        with transaction.atomic():
            server = Server.objects.create(name=name, created_at=now, **values)
            append("server.created", now, server_name=name, actor=actor, data=values)
    except IntegrityError:
        raise Refused(
            Sentence("A server named {name} already exists.", name=name),
            code="exists",
            status=409,
        ) from None
    return server


def alter_server(server: Server, actor: Actor, **values: Any) -> Server:
    """Set ``hostname``, ``note``, ``active``, ``require_digest``. Raises NotAllowed, BadRequest."""
    must_be_allowed(actor, Sentence("update servers"))
    texts = {"hostname": 253, "note": 500}
    unknown = set(values) - set(texts) - {"active", "require_digest"}
    if unknown:
        raise BadRequest(Sentence("A server has no setting {unknown!r}.", unknown=min(unknown)))
    for name, longest in texts.items():
        if name in values:
            values[name] = one_text(name, str(values[name]), longest)
    before = {name: getattr(server, name) for name in values}
    moved = {name: value for name, value in values.items() if before[name] != value}
    if not moved:
        return server
    now = timezone.now()
    with transaction.atomic():
        Server.objects.filter(pk=server.pk).update(**moved)
        append(
            "server.updated",
            now,
            server_name=server.name,
            actor=actor,
            data={"before": {name: before[name] for name in moved}, "after": moved},
        )
    server.refresh_from_db()
    return server

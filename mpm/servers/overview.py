"""Servers as every door shows them: with their MPM, their health and the change on them."""

from __future__ import annotations

from django.db.models import Max, QuerySet

from mpm.models import ACTIVE_STATES, Change
from mpm.schemas.server import Server as ServerSchema
from mpm.servers.health import health_of, with_health
from mpm.servers.models import InstalledProfile, Server


def servers_now(rows: QuerySet[Server]) -> list[ServerSchema]:
    """``rows`` in their order, by three queries."""
    servers = list(with_health(rows))
    profiles = latest_profiles(servers)
    active = dict(
        Change.objects.filter(server__in=servers, state__in=ACTIVE_STATES).values_list(
            "server_id", "pk"
        )
    )
    return [
        ServerSchema.of(
            server,
            health=health_of(server),
            latest=profiles.get(server.pk),
            active=active.get(server.pk),
        )
        for server in servers
    ]


def server_now(server: Server) -> ServerSchema:
    return servers_now(Server.objects.filter(pk=server.pk))[0]


def latest_profiles(servers: list[Server]) -> dict[int, InstalledProfile]:
    """The latest profile of each server, in one query."""
    newest = (
        InstalledProfile.objects.filter(server__in=servers)
        .values("server")
        .annotate(newest=Max("pk"))
        .values("newest")
    )
    return {item.server_id: item for item in InstalledProfile.objects.filter(pk__in=newest)}

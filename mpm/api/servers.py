"""``/servers``: which servers there are, what is installed, and which MPM holds."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from django.db.models import Max
from django.http import HttpRequest, HttpResponse
from ninja import Header, Router, Schema, Status
from pydantic import Field

from easyapache.ea4.mpm import installed
from easyapache.ea4.profile import Observation
from mpm.access.scopes import Scope
from mpm.api.auth import Bearer, reachable, reachable_names, token_of
from mpm.api.conditions import etag, none_matches, weak_etag
from mpm.api.mpm_state import latest_of, mpm_answer
from mpm.api.shapes import ProblemOut
from mpm.api.statuses import READS
from mpm.models import ACTIVE_STATES, Change
from mpm.servers.health import health_of, with_health
from mpm.servers.models import InstalledProfile, Server

router = Router(tags=["servers"])


class ProblemOfServerOut(Schema):
    code: str
    state: str = Field(description="warning or critical.")
    message: str
    change: int | None = Field(description="The number of the change it is about.")


class HealthOut(Schema):
    state: str = Field(description="healthy, unknown (never scanned), warning or critical.")
    problems: list[ProblemOfServerOut] = Field(description="The worst first.")


class ServerOut(Schema):
    name: str
    hostname: str
    kind: str = Field(description="real, lab or simulated.")
    active: bool
    require_digest: bool = Field(description="A change must name the digest of its plan.")
    last_seen_at: datetime | None
    mpm: str | None = Field(description="The MPM by packages; null before the first scan.")
    itk: bool
    digest: str | None = Field(description="Names the state the server was last seen in.")
    active_change: int | None
    health: HealthOut = Field(description="Whether the server is whole, and what keeps it from it.")


class ServersOut(Schema):
    items: list[ServerOut]


class ObservationOut(Schema):
    mpms: list[str]
    itk: bool


class RecommendationOut(Schema):
    mpm: str
    why: list[str]
    threads: bool
    safe_polling: bool
    detected: dict[str, bool | None] = Field(
        description="What the server itself answered; null where it could not tell."
    )


class MpmOut(Schema):
    server: str
    mpm: str | None = Field(description="The one MPM installed; null when it is not exactly one.")
    itk: bool
    sound: bool = Field(description="Packages, configuration and running httpd agree on one MPM.")
    installed: ObservationOut
    configured: ObservationOut | None
    running: ObservationOut | None
    digest: str
    recommendation: RecommendationOut


class PackageOut(Schema):
    name: str
    epoch: int
    version: str
    release: str
    arch: str


class ProfileOut(Schema):
    server: str
    digest: str
    observed_at: datetime
    confirmed_at: datetime
    source: str
    packages: list[PackageOut]
    configured: ObservationOut | None
    running: ObservationOut | None
    facts: dict[str, Any]


@router.get(
    "servers",
    auth=Bearer(Scope.READ),
    response={200: ServersOut, READS: ProblemOut},
    operation_id="listServers",
    summary="Servers this token reaches",
)
def list_servers(request: HttpRequest) -> dict[str, Any]:
    """Every server the token may know of, by name."""
    names = reachable_names(token_of(request))
    servers = Server.objects.order_by("name")
    if names is not None:
        servers = servers.filter(name__in=names)
    found = list(with_health(servers))
    profiles = latest_profiles(found)
    running = dict(
        Change.objects.filter(server__in=found, state__in=ACTIVE_STATES).values_list(
            "server_id", "pk"
        )
    )
    return {"items": [shown(item, profiles.get(item.pk), running.get(item.pk)) for item in found]}


@router.get(
    "servers/{server}",
    auth=Bearer(Scope.READ),
    response={200: ServerOut, READS: ProblemOut},
    operation_id="getServer",
    summary="One server",
)
def get_server(request: HttpRequest, server: str) -> dict[str, Any]:
    """The server, its MPM by packages, and the change that is under way on it."""
    row = reachable(token_of(request), server)
    active = row.changes.filter(state__in=ACTIVE_STATES).values_list("pk", flat=True).first()
    return shown(row, latest_profiles([row]).get(row.pk), active)


@router.get(
    "servers/{server}/profile",
    auth=Bearer(Scope.READ),
    response={200: ProfileOut, 304: None, READS: ProblemOut},
    operation_id="getProfile",
    summary="What is installed",
)
def get_profile(
    request: HttpRequest,
    server: str,
    response: HttpResponse,
    if_none_match: Annotated[str, Header(alias="If-None-Match", max_length=1000)] = "",
) -> Any:
    """The installed profile as last seen: packages, configuration, running httpd and facts."""
    row = reachable(token_of(request), server)
    latest = latest_of(row)
    version = f"{latest.pk}.{latest.confirmed_at.timestamp():.0f}"
    response["ETag"] = weak_etag(version)
    if if_none_match and not none_matches(if_none_match, version):
        return Status(304, None)
    return {
        "server": row.name,
        "digest": latest.digest,
        "observed_at": latest.observed_at,
        "confirmed_at": latest.confirmed_at,
        "source": latest.source,
        "packages": latest.packages,
        "configured": latest.configured,
        "running": latest.running,
        "facts": latest.facts,
    }


@router.get(
    "servers/{server}/mpm",
    auth=Bearer(Scope.READ),
    response={200: MpmOut, 304: None, READS: ProblemOut},
    operation_id="getMpm",
    summary="Which MPM holds",
)
def get_mpm(
    request: HttpRequest,
    server: str,
    if_none_match: Annotated[str, Header(alias="If-None-Match", max_length=1000)] = "",
) -> HttpResponse:
    """Installed, configured and running MPM, each observed on its own, and ITK.

    The `ETag` is the digest of that state: send it back as `If-Match` with a change, and
    nothing happens unless the server is still so.
    """
    digest, body = mpm_answer(token_of(request), server)
    tag = etag(digest)
    if if_none_match and not none_matches(if_none_match, digest):
        answer = HttpResponse(status=304)
    else:
        answer = HttpResponse(body, content_type="application/json")
    answer["ETag"] = tag
    return answer


def latest_profiles(servers: list[Server]) -> dict[int, InstalledProfile]:
    """The latest profile of each server, in one query."""
    newest = (
        InstalledProfile.objects.filter(server__in=servers)
        .values("server")
        .annotate(newest=Max("pk"))
        .values("newest")
    )
    return {item.server_id: item for item in InstalledProfile.objects.filter(pk__in=newest)}


def shown(server: Server, latest: InstalledProfile | None, active: int | None) -> dict[str, Any]:
    seen = installed(latest.profile.names) if latest else Observation()
    return {
        "name": server.name,
        "hostname": server.hostname,
        "kind": server.kind,
        "active": server.active,
        "require_digest": server.require_digest,
        "last_seen_at": server.last_seen_at,
        "mpm": seen.mpm,
        "itk": seen.itk,
        "digest": latest.digest if latest else None,
        "active_change": active,
        "health": health_of(server).as_json(),
    }

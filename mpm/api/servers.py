"""``/servers``: which servers there are, what is installed, and which MPM holds."""

from __future__ import annotations

from typing import Annotated, Any

from django.http import HttpRequest, HttpResponse
from ninja import Header, Router, Schema, Status

from mpm.access.scopes import Scope
from mpm.api.auth import Bearer, reachable, reachable_names, token_of
from mpm.api.conditions import etag, none_matches, weak_etag
from mpm.api.mpm_state import latest_of, mpm_answer
from mpm.api.shapes import ProblemDetails
from mpm.api.statuses import READS
from mpm.schemas.server import MpmStatus, Profile
from mpm.schemas.server import Server as ServerSchema
from mpm.servers.models import Server
from mpm.servers.overview import server_now, servers_now

router = Router(tags=["servers"])


class ServerList(Schema):
    items: list[ServerSchema]


@router.get(
    "servers",
    auth=Bearer(Scope.READ),
    response={200: ServerList, READS: ProblemDetails},
    operation_id="listServers",
    summary="Servers this token reaches",
)
def list_servers(request: HttpRequest) -> dict[str, Any]:
    """Every server the token may know of, by name."""
    names = reachable_names(token_of(request))
    servers = Server.objects.order_by("name")
    if names is not None:
        servers = servers.filter(name__in=names)
    return {"items": servers_now(servers)}


@router.get(
    "servers/{server}",
    auth=Bearer(Scope.READ),
    response={200: ServerSchema, READS: ProblemDetails},
    operation_id="getServer",
    summary="One server",
)
def get_server(request: HttpRequest, server: str) -> ServerSchema:
    """The server, its MPM by packages, and the change that is under way on it."""
    return server_now(reachable(token_of(request), server))


@router.get(
    "servers/{server}/profile",
    auth=Bearer(Scope.READ),
    response={200: Profile, 304: None, READS: ProblemDetails},
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
    return Profile.of(row.name, latest)


@router.get(
    "servers/{server}/mpm",
    auth=Bearer(Scope.READ),
    response={200: MpmStatus, 304: None, READS: ProblemDetails},
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

"""``/servers``: the servers, their packages, and their MPM."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from django.http import HttpRequest, HttpResponse
from ninja import Header, Query, Router, Schema, Status
from pydantic import Field

from mpm.access.scopes import Scope
from mpm.api.auth import Bearer, reachable, reachable_names, token_of
from mpm.api.conditions import etag, none_matches, weak_etag
from mpm.api.mpm_state import admit_for_state, latest_of, mpm_answer
from mpm.api.paging import Limit, NameCursor, link_next
from mpm.api.shapes import Mpm, QueryFlag
from mpm.api.statuses import DESCRIBED, problems
from mpm.schemas.server import MpmStatus, Profile
from mpm.schemas.server import Server as ServerSchema
from mpm.servers.models import Server
from mpm.servers.overview import server_now, servers_now

router = Router(tags=["servers"], by_alias=True)


Healths = Annotated[
    list[Literal["healthy", "unknown", "warning", "critical"]] | None,
    Query(
        None, max_length=10, description="The health. Repeat it, or separate several with commas."
    ),
]


class ServerList(Schema):
    """Servers, by name."""

    items: list[ServerSchema]
    next: str | None = Field(description="`cursor` of the next page.")


@router.get(
    "servers",
    auth=Bearer(Scope.READ),
    response={200: ServerList, problems(Scope.READ, named=False): DESCRIBED},
    operation_id="listServers",
    summary="List servers",
)
def list_servers(
    request: HttpRequest,
    response: HttpResponse,
    *,
    mpm: Annotated[Mpm | None, Query(description="The MPM that is installed.")] = None,
    itk: QueryFlag | None = None,
    kind: Literal["real", "lab", "simulated"] | None = None,
    active: QueryFlag | None = None,
    health: Healths,
    cursor: NameCursor,
    limit: Limit,
) -> dict[str, Any]:
    """All servers that this token can access, by name."""
    names = reachable_names(token_of(request))
    rows = Server.objects.filter(name__gt=cursor).order_by("name")
    if names is not None:
        rows = rows.filter(name__in=names)
    if kind is not None:
        rows = rows.filter(kind=kind)
    if active is not None:
        rows = rows.filter(active=active)
    found = [
        item
        for item in servers_now(rows)
        if (mpm is None or item.mpm == mpm)
        and (itk is None or item.itk == itk)
        and (not health or item.health.state in health)
    ]
    more = found[limit - 1].name if len(found) > limit else None
    return {"items": found[:limit], "next": link_next(request, response, more)}


@router.get(
    "servers/{server}",
    auth=Bearer(Scope.READ),
    response={200: ServerSchema, problems(Scope.READ): DESCRIBED},
    operation_id="getServer",
    summary="Get a server",
)
def get_server(request: HttpRequest, server: str) -> ServerSchema:
    """The server, the MPM that is installed, its health, and the change that isn't finished."""
    return server_now(reachable(token_of(request), server))


@router.get(
    "servers/{server}/profile",
    auth=Bearer(Scope.READ),
    response={200: Profile, 304: None, problems(Scope.READ, 409): DESCRIBED},
    operation_id="getProfile",
    summary="Get the installed profile",
)
def get_profile(
    request: HttpRequest,
    server: str,
    response: HttpResponse,
    if_none_match: Annotated[str, Header(alias="If-None-Match", max_length=1000)] = "",
) -> Any:
    """Packages, configuration, the running Apache and facts, as they were last seen."""
    row = reachable(token_of(request), server)
    latest = latest_of(row)
    version = f"{latest.pk}.{latest.confirmed_at.timestamp():.0f}"
    response["ETag"] = weak_etag(version)
    if if_none_match and not none_matches(if_none_match, version):
        return Status(304, None)
    return Profile.of(row.name, latest)


READS_STATE = Bearer(Scope.READ, admit_for_state)
STATE = "servers/{server}/mpm"
LONGEST_TAGS = 1000


@router.get(
    STATE,
    auth=READS_STATE,
    response={200: MpmStatus, 304: None, problems(Scope.READ, 409): DESCRIBED},
    operation_id="getMpm",
    summary="Get the MPM",
)
def get_mpm(
    request: HttpRequest,
    server: str,
    if_none_match: Annotated[str, Header(alias="If-None-Match", max_length=LONGEST_TAGS)] = "",
) -> HttpResponse:
    """The MPM as packages, configuration and the running Apache show it, and MPM ITK.

    The `ETag` is the digest of that state. Send it as `If-Match` with a change, and nothing happens
    unless the server is still in that state.
    """
    digest, body = mpm_answer(request, token_of(request), server)
    tag = etag(digest)
    if if_none_match and not none_matches(if_none_match, digest):
        answer = HttpResponse(status=304)
        del answer["Content-Type"]  # there is no body that could be of a type
    else:
        answer = HttpResponse(body, content_type="application/json")
    answer["ETag"] = tag
    return answer

"""``/servers/{server}/plans``: what a choice would do, before anything is done."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from django.http import HttpRequest, HttpResponse
from ninja import Query, Router, Status
from pydantic import Field

from easyapache.ea4.mpm import BadChoice, Choice
from easyapache.ea4.plan import Plan
from mpm.access.scopes import Scope
from mpm.access.services.actor import BadRequest, NotFound
from mpm.api.auth import Bearer, actor_of, reachable, token_of
from mpm.api.shapes import Flag, Packages, ProblemDetails, QueryNumber, Wish
from mpm.api.statuses import READS, WRITES
from mpm.changes.detail import plan_of_server
from mpm.changes.services.lookup import preview_with
from mpm.changes.services.planning import plan_for, request_preview, settled
from mpm.models import Preview
from mpm.schemas.plan import PendingPlan
from mpm.schemas.plan import Plan as PlanSchema
from mpm.servers.models import Server
from mpm.web.broker_trouble import need_the_broker
from mpm.web.polling import wait_for

router = Router(tags=["plans"], by_alias=True)
Mpm = Literal["event", "worker", "prefork"]


class ChoiceIn(Wish):
    mpm: Mpm = Field(description="ITK is not an MPM: choose prefork and set itk.")
    itk: Flag = False
    add: Packages = Field(default_factory=list, description="Packages to install along with it.")
    keep: Packages = Field(
        default_factory=list, description="Packages that must still be there afterwards."
    )

    def choice(self) -> Choice:
        """Raises BadRequest for names that EasyApache 4 could not have."""
        try:
            return Choice.parse(self.mpm, self.itk, self.add, self.keep)
        except BadChoice as error:
            raise BadRequest(str(error), code="invalid") from error


@router.post(
    "servers/{server}/plans",
    auth=Bearer(Scope.PLAN),
    response={200: PlanSchema, 202: PendingPlan, WRITES: ProblemDetails},
    operation_id="createPlan",
    summary="Plan a change",
)
def make_plan(
    request: HttpRequest,
    server: str,
    body: ChoiceIn,
    response: HttpResponse,
    *,
    source: Annotated[
        Literal["stored", "server"],
        Query(description="stored answers at once; server asks the server's own dnf."),
    ] = "stored",
    wait: Annotated[
        QueryNumber, Query(20, ge=0, le=30, description="Seconds to wait for the server's answer.")
    ],
) -> Any:
    """Every package in and out with its reason, the findings, and the digest that confirms it.

    Changes nothing. Rules that block are findings here, not an error.
    """
    token = token_of(request)
    row = reachable(token, server)
    if source == "stored":
        return plan_of_server(row, plan_for(row, body.choice()))
    choice = body.choice()
    need_the_broker()
    preview = request_preview(row, choice, actor_of(request, token))
    return _answered(row, preview, wait, response)


@router.get(
    "servers/{server}/plans/{plan}",
    auth=Bearer(Scope.PLAN),
    response={200: PlanSchema, 202: PendingPlan, READS: ProblemDetails},
    operation_id="getPlan",
    summary="The answer of a server that was asked",
)
def get_plan(
    request: HttpRequest,
    server: str,
    plan: str,
    response: HttpResponse,
    wait: Annotated[QueryNumber, Query(0, ge=0, le=30)],
) -> Any:
    """A plan that was asked of the server itself, once it is there."""
    row = reachable(token_of(request), server)
    preview = preview_with(plan if plan.isalnum() else "")
    if preview.server_id != row.pk:
        raise NotFound("There is no such plan.", code="unknown_preview")
    return _answered(row, preview, wait, response)


def _answered(server: Server, preview: Preview, wait: int, response: HttpResponse) -> Any:
    found = wait_for(lambda: settled(preview), wait)
    if found is None:
        href = f"/api/v1/servers/{server.name}/plans/{preview.uuid}"
        response["Location"] = href
        response["Retry-After"] = "1"
        return Status(202, PendingPlan(id=preview.uuid, href=href, state="pending"))
    return plan_of_server(server, Plan.from_json(found.plan or {}), preview.uuid)

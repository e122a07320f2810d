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
from mpm.api.shapes import Flag, Mpm, Packages, QueryNumber, Wish
from mpm.api.statuses import DESCRIBED, problems
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


class ChoiceIn(Wish):
    """The MPM, the add-on and the packages that are selected."""

    mpm: Mpm = Field(description="MPM ITK is an add-on: select prefork and set itk.")
    itk: Flag = False
    add: Packages = Field(default_factory=list, description="Extra packages to install.")
    keep: Packages = Field(default_factory=list, description="Packages that must not be removed.")

    def choice(self) -> Choice:
        """Raises BadRequest for names that EasyApache 4 could not have."""
        try:
            return Choice.parse(self.mpm, self.itk, self.add, self.keep)
        except BadChoice as error:
            raise BadRequest(str(error), code="invalid") from error


@router.post(
    "servers/{server}/plans",
    auth=Bearer(Scope.PLAN),
    response={
        200: PlanSchema,
        202: PendingPlan,
        problems(Scope.PLAN, 409, body=True): DESCRIBED,
    },
    operation_id="createPlan",
    summary="Create a plan",
)
def create_plan(
    request: HttpRequest,
    server: str,
    body: ChoiceIn,
    response: HttpResponse,
    *,
    source: Annotated[
        Literal["stored", "server"],
        Query(description="stored: an estimate; server: a plan made by the server's dnf."),
    ] = "stored",
    wait: Annotated[
        QueryNumber, Query(20, ge=0, le=30, description="Seconds to wait for the server's answer.")
    ],
) -> Any:
    """Every package that would be installed or removed, the findings, and the digest to confirm.

    Nothing changes. Blockers are findings here, not an error.
    """
    token = token_of(request)
    row = reachable(token, server)
    if source == "stored":
        return plan_of_server(row, plan_for(row, body.choice()))
    choice = body.choice()
    need_the_broker()
    preview = request_preview(row, choice, actor_of(request, token))
    return _plan_response(row, preview, wait, response)


@router.get(
    "servers/{server}/plans/{plan}",
    auth=Bearer(Scope.PLAN),
    response={200: PlanSchema, 202: PendingPlan, problems(Scope.PLAN, 409): DESCRIBED},
    operation_id="getPlan",
    summary="Get a plan of the server",
)
def get_plan(
    request: HttpRequest,
    server: str,
    plan: str,
    response: HttpResponse,
    wait: Annotated[QueryNumber, Query(0, ge=0, le=30)],
) -> Any:
    """A plan that was created with `source=server`. 202 until the server has answered."""
    row = reachable(token_of(request), server)
    preview = preview_with(plan if plan.isalnum() else "")
    if preview.server_id != row.pk:
        raise NotFound("There is no such plan.", code="unknown_preview")
    return _plan_response(row, preview, wait, response)


def _plan_response(server: Server, preview: Preview, wait: int, response: HttpResponse) -> Any:
    found = wait_for(lambda: settled(preview), wait)
    if found is None:
        href = f"/api/v1/servers/{server.name}/plans/{preview.uuid}"
        response["Location"] = href
        response["Retry-After"] = "1"
        return Status(202, PendingPlan(id=preview.uuid, href=href, state="pending"))
    return plan_of_server(server, Plan.from_json(found.plan or {}), preview.uuid)

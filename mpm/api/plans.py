"""``/servers/{server}/plans``: what a choice would do, before anything is done."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from django.http import HttpRequest, HttpResponse
from ninja import Query, Router, Schema, Status
from pydantic import Field

from easyapache.ea4.mpm import BadChoice, Choice
from easyapache.ea4.plan import Plan
from easyapache.ea4.sentences import plain
from mpm.access.scopes import Scope
from mpm.access.services.actor import BadRequest, NotFound
from mpm.api.auth import Bearer, actor_of, reachable, token_of
from mpm.api.shapes import FindingOut, Flag, Packages, ProblemOut, QueryNumber, Wish
from mpm.api.statuses import READS, WRITES
from mpm.changes.services.lookup import preview_with
from mpm.changes.services.planning import plan_for, profile_of, request_preview, settled
from mpm.changes.services.request import satisfied
from mpm.history.prediction import Prediction, predicted
from mpm.models import Preview
from mpm.servers.models import Server
from mpm.web.polling import wait_for

router = Router(tags=["plans"])
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


class PlannedOut(Schema):
    name: str
    evr: str
    reason: str


class InterruptionOut(Schema):
    """What visitors would notice, by what they noticed of the last changes of this server, and how
    httpd would be replaced. As the page of the plan says it; null where neither is known."""

    samples: int = Field(description="Measured changes this rests on; 0 before the first.")
    refused: int | None = Field(description="Most refused connections in one of them.")
    longest_wait_ms: float | None = Field(description="The longest wait in any of them.")
    seconds: float | None = Field(description="The median of how long they took.")
    fastest: float | None = Field(description="The shortest of them, in seconds.")
    slowest: float | None = Field(description="The longest of them, in seconds.")
    smooth: int = Field(description="How many of the samples refused no connection.")
    restored: int = Field(description="How many failed and were rolled back automatically.")
    failed: int = Field(description="How many failed and could not be undone.")
    method: str = Field(description="overlap, graceful-stop or script; empty where nobody said.")
    why: str = Field(description="Why that method, in the server's own words.")


class PlanOut(Schema):
    server: str
    source: str = Field(description="stored: worked out at once; server: its own dnf answered.")
    mpm: str
    itk: bool
    headline: str
    install: list[PlannedOut]
    remove: list[PlannedOut]
    findings: list[FindingOut]
    blocked: bool
    nothing_to_do: bool = Field(description="No package would move.")
    satisfied: bool = Field(
        description="Packages, configuration and running httpd are so already. While this is "
        "false a change restarts httpd, even where no package moves."
    )
    digest: str = Field(description="Send it with the change: it confirms exactly this plan.")
    base_digest: str = Field(description="The state of the server this plan starts from.")
    predicted_interruption: InterruptionOut | None


class PendingOut(Schema):
    """The server has been asked and has not answered yet."""

    href: str
    state: str


@router.post(
    "servers/{server}/plans",
    auth=Bearer(Scope.PLAN),
    response={200: PlanOut, 202: PendingOut, WRITES: ProblemOut},
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
        return plan_json(row, plan_for(row, body.choice()))
    preview = request_preview(row, body.choice(), actor_of(request, token))
    return _answered(row, preview, wait, response)


@router.get(
    "servers/{server}/plans/{plan}",
    auth=Bearer(Scope.PLAN),
    response={200: PlanOut, 202: PendingOut, READS: ProblemOut},
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
        return Status(202, {"href": href, "state": "pending"})
    return plan_json(server, Plan.from_json(found.plan or {}))


def plan_json(server: Server, plan: Plan) -> dict[str, Any]:
    return {
        "server": server.name,
        "source": plan.source,
        "mpm": plan.choice.mpm.value,
        "itk": plan.choice.itk,
        "headline": plan.headline,
        "install": [_planned(item) for item in plan.install],
        "remove": [_planned(item) for item in plan.remove],
        "findings": [plain(finding.as_json()) for finding in plan.findings],
        "blocked": plan.blocked,
        "nothing_to_do": plan.empty,
        "satisfied": satisfied(plan, profile_of(server)),
        "digest": plan.digest,
        "base_digest": plan.base_digest,
        "predicted_interruption": _expected(predicted(server)),
    }


def _planned(item: Any) -> dict[str, str]:
    return {"name": item.name, "evr": item.evr, "reason": item.reason}


def _expected(prediction: Prediction) -> dict[str, Any] | None:
    if not prediction.changes and not prediction.method:
        return None
    measured = prediction.changes > 0
    return {
        "samples": prediction.changes,
        "refused": prediction.refused if measured else None,
        "longest_wait_ms": prediction.longest_wait_ms if measured else None,
        "seconds": prediction.seconds if measured else None,
        "fastest": prediction.fastest if measured else None,
        "slowest": prediction.slowest if measured else None,
        "smooth": prediction.smooth,
        "restored": prediction.restored,
        "failed": prediction.failed,
        "method": prediction.method,
        "why": str(prediction.why),
    }

"""``PUT /servers/{server}/mpm``: one call that changes the MPM, at most once."""

from __future__ import annotations

from typing import Annotated, Any

from django.http import HttpRequest, HttpResponse
from ninja import Header, Schema
from pydantic import Field

from easyapache.ea4.mpm import Choice
from easyapache.ea4.plan import Plan
from easyapache.ea4.profile import Profile
from mpm.access.scopes import Scope
from mpm.access.services.actor import Actor, NothingToDo, Refused, UnderWay
from mpm.api.auth import Bearer, actor_of, reachable, token_of
from mpm.api.conditions import BadCondition, etag, matches, parse_tags
from mpm.api.idempotency import Answer, fingerprint, once
from mpm.api.plans import ChoiceIn
from mpm.api.problems import Problem, from_refusal
from mpm.api.servers import router
from mpm.api.shapes import KEY, Digest, Flag, Line, Moment
from mpm.api.statuses import DESCRIBED, problems
from mpm.changes.detail import plan_of_server
from mpm.changes.services.fresh_look import OF_ITS_STATE, on_a_fresh_look
from mpm.changes.services.request import Check, Terms, request_change, would_change
from mpm.schemas.change import Change as ChangeSchema
from mpm.schemas.plan import Plan as PlanSchema
from mpm.servers.models import Server

Key = Annotated[
    str,
    Header(
        alias="Idempotency-Key",
        max_length=255,
        pattern=KEY,
        description=(
            "The same key with the same body gets the same answer for 24 hours. Not kept: "
            "answers with `Retry-After`, that no changes are needed, or that a rule blocks."
        ),
    ),
]


class SwitchIn(ChoiceIn):
    """Which MPM to switch to, why and when."""

    reason: Annotated[str, Field(max_length=500, description="Shown in the history.")] = ""
    ticket: Line = ""
    digest: Digest | None = Field(None, description="The digest of the plan you confirm.")
    dry_run: Flag = Field(False, description="Check everything, change nothing.")
    not_before: Moment | None = Field(None, description="Start after this time.")
    not_after: Moment | None = Field(None, description="Don't start after this time.")


class SwitchOut(Schema):
    """The result of the request, or of a dry run."""

    changed: bool = Field(
        description="The server is being changed: by a new change, or by one that already leads to "
        "this state. false where no changes are needed, and for a dry run."
    )
    would_change: bool = Field(description="What `changed` is without `dry_run`.")
    dry_run: bool
    detail: str
    change: ChangeSchema | None
    plan: PlanSchema | None


@router.put(
    "servers/{server}/mpm",
    auth=Bearer(Scope.CHANGE),
    response={
        200: SwitchOut,
        202: SwitchOut,
        problems(Scope.CHANGE, 409, 412, 428, body=True): DESCRIBED,
    },
    operation_id="updateMpm",
    summary="Change the MPM",
)
def update_mpm(
    request: HttpRequest,
    server: str,
    body: SwitchIn,
    idempotency_key: Key = "",
    if_match: Annotated[
        str,
        Header(
            alias="If-Match", max_length=1000, description="The ETag of GET /servers/{server}/mpm."
        ),
    ] = "",
) -> HttpResponse:
    """Switch a server to this MPM, with or without MPM ITK.

    `digest` names an estimate or a plan made by the server. The server's dnf plans again before
    anything changes. If its plan differs, the change ends as `not_started`; the same request then
    uses the server's plan.

    * 200: no changes are needed, or `dry_run`. Never while a change of the server isn't finished.
    * 202: a change was created; `Location` is its address. Where an unfinished change already leads
      to this state, it is that change.
    * 409 `busy`: another change isn't finished (`change` names it), or it is scheduled for another
      time. 409 `stale`: the plan behind `digest` is not what would happen now (`plan` is). 409
      `inactive`: the server is disabled in this panel.
    * 412: the server isn't in the state named in `If-Match` any more.
    * 422: a rule blocks it (`findings` name the rule and the recommended action). Neither this nor
      200 is answered before the server was checked once more; where it does not respond, `detail`
      says how old the last check is.
    * 428: this server requires the `digest` of a plan.
    """
    token = token_of(request)
    row = reachable(token, server)
    choice = body.choice()
    actor = actor_of(request, token)

    def act() -> Answer:
        try:
            return _switch(row, choice, body, actor, _condition(row, if_match))
        except Refused as refused:
            if refused.code in OF_ITS_STATE:
                raise  # ends the transaction, and nothing is kept for the key
            return _problem(request, from_refusal(refused))
        except Problem as problem:
            return _problem(request, problem)

    # A dry run is never stored: it is evaluated on each request.
    key = "" if body.dry_run else idempotency_key
    print_ = fingerprint(request, body.dict())
    try:
        return on_a_fresh_look(row, lambda: once(token, key, print_, act))
    except NothingToDo as nothing:
        return Answer(200, _result(nothing.message, dry_run=body.dry_run)).response()


def _problem(request: HttpRequest, problem: Problem) -> Answer:
    return Answer(problem.status, problem.as_json(request), problem.headers)


def _condition(server: Server, if_match: str) -> Check | None:
    """Raises Problem 412, when called, unless the server is in the state the caller saw."""
    if not if_match:
        return None
    try:
        tags = parse_tags(if_match) or []
    except BadCondition as error:
        raise Problem(400, "bad_request", str(error)) from error

    def check(profile: Profile, _plan: Plan, _accepted: bool) -> None:
        if matches(if_match, profile.digest):
            return
        detail = f"{server} changed after you read its state. Read it again before you decide."
        if (True, profile.digest) in tags:
            detail = (
                "This is the current state, but a tag that starts with W/ never matches "
                "If-Match. A proxy that compresses answers adds W/: send the tag without it."
            )
        headers = {"ETag": etag(profile.digest)}
        raise Problem(412, "digest_mismatch", detail, headers=headers, digest=profile.digest)

    return check


def _switch(
    server: Server, choice: Choice, body: SwitchIn, actor: Actor, check: Check | None
) -> Answer:
    terms: Terms = {
        "digest": body.digest,
        "check": check,
        "reason": body.reason,
        "ticket": body.ticket,
        "not_before": body.not_before,
        "not_after": body.not_after,
    }
    try:
        if body.dry_run:
            plan = would_change(server, choice, actor=actor, **terms)
            made = plan_of_server(server, plan).as_json()
            result = _result(f"Would do: {plan.headline}.", plan=made, would=True, dry_run=True)
            return Answer(200, result)
        change = request_change(server, choice, actor=actor, **terms)
        detail = f"Change #{change.pk} was created."
    except UnderWay as same:
        change, detail = same.change, same.message
    resource = ChangeSchema.of(change)
    if body.dry_run:
        return Answer(200, _result(detail, change=resource.as_json(), would=True, dry_run=True))
    result = _result(detail, change=resource.as_json(), changed=True)
    return Answer(202, result, {"Location": resource.href}, change)


def _result(
    detail: str,
    *,
    change: dict[str, Any] | None = None,
    plan: dict[str, Any] | None = None,
    changed: bool = False,
    would: bool = False,
    dry_run: bool = False,
) -> dict[str, Any]:
    return {
        "changed": changed,
        "would_change": changed or would,
        "dry_run": dry_run,
        "detail": detail,
        "change": change,
        "plan": plan,
    }

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
from mpm.api.shapes import Digest, Flag, Line, Moment, ProblemDetails
from mpm.api.statuses import CONDITIONAL
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
        pattern=r"^[\x21-\x7e]*$",
        description="The same key with the same body gives the same answer for 24 hours. What says "
        "`Retry-After` is decided anew, and so is what only holds at the moment it is said: that "
        "no changes are needed, or that a rule blocks.",
    ),
]


class SwitchIn(ChoiceIn):
    reason: Annotated[str, Field(max_length=500, description="Why, for history.")] = ""
    ticket: Line = ""
    digest: Digest | None = Field(None, description="Of the plan that is confirmed.")
    dry_run: Flag = Field(False, description="Check everything, change nothing.")
    not_before: Moment | None = Field(None, description="Wait for this moment.")
    not_after: Moment | None = Field(None, description="Do not begin later than this.")


class SwitchOut(Schema):
    """``changed`` is false where no changes are needed, and for a dry run."""

    changed: bool
    dry_run: bool
    detail: str
    change: ChangeSchema | None
    plan: PlanSchema | None


@router.put(
    "servers/{server}/mpm",
    auth=Bearer(Scope.CHANGE),
    response={200: SwitchOut, 202: SwitchOut, CONDITIONAL: ProblemDetails},
    operation_id="updateMpm",
    summary="Change the MPM",
)
def put_mpm(
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
    """Make the server run this MPM, with or without ITK.

    `digest` may be that of a plan worked out at once or of one the server was asked for. The
    server's own package manager is asked once more before anything is touched. Where it would do
    something else the change fails with nothing touched; asked again, this call takes what the
    server said.

    * 200: no changes are needed, or `dry_run`. Never while a change of the server has not finished.
    * 202: a change was made; `Location` is its address. Where an unfinished change already leads to
      this state, it is that change.
    * 409 `busy`: another change has not finished (`change` names it), or it is scheduled for
      another time. 409 `stale`: the plan
      behind `digest` is not what would happen now (`plan` is). 409 `inactive`: the server is
      switched off in this panel.
    * 412: the server is no longer in the state named in `If-Match`.
    * 422: a rule blocks it (`findings` say which, and the way out).
      Neither this nor "no changes needed" is said before the server was looked at once more; where
      it does not answer, `detail` says how old the knowledge is.
    * 428: this server wants the `digest` of a plan.
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

    # A dry run is a question, and is asked anew each time.
    key = "" if body.dry_run else idempotency_key
    print_ = fingerprint(request, body.dict())
    try:
        return on_a_fresh_look(row, lambda: once(token, key, print_, act))
    except NothingToDo as nothing:
        return Answer(200, _said(nothing.message, dry_run=body.dry_run)).response()


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

    def check(profile: Profile, _plan: Plan) -> None:
        if matches(if_match, profile.digest):
            return
        detail = f"{server} has changed since you looked. Look again before you decide."
        if (True, profile.digest) in tags:
            detail = (
                "This is the state the server is in, but a tag that begins with W/ never fulfils "
                "If-Match. Something between you and the panel has made it so, as a proxy does "
                "that compresses: send it without W/."
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
            said = _said(
                f"Would do: {plan.headline}.",
                plan=plan_of_server(server, plan).as_json(),
                dry_run=True,
            )
            return Answer(200, said)
        change = request_change(server, choice, actor=actor, **terms)
        detail = f"Change #{change.pk} was made."
    except UnderWay as same:
        change, detail = same.change, same.message
        if body.dry_run:
            return Answer(
                200, _said(detail, change=ChangeSchema.of(change).as_json(), dry_run=True)
            )
    href = f"/api/v1/changes/{change.pk}"
    said = _said(detail, change=ChangeSchema.of(change).as_json(), changed=True)
    return Answer(202, said, {"Location": href}, change)


def _said(
    detail: str,
    *,
    change: dict[str, Any] | None = None,
    plan: dict[str, Any] | None = None,
    changed: bool = False,
    dry_run: bool = False,
) -> dict[str, Any]:
    return {
        "changed": changed,
        "dry_run": dry_run,
        "detail": detail,
        "change": change,
        "plan": plan,
    }

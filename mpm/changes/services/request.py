"""Requests of changes: shared by pages, both APIs and the command line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypedDict, Unpack

from django.db import IntegrityError, transaction
from django.utils import timezone

from easyapache.ea4.mpm import Choice
from easyapache.ea4.plan import Plan
from easyapache.ea4.profile import Profile
from easyapache.ea4.rules.panel import PANEL_CODES
from easyapache.ea4.scope import beyond
from easyapache.ea4.sentences import Sentence, joined
from mpm.access.services.actor import Actor, BadRequest, NothingToDo, Refused, Stale, UnderWay
from mpm.changes.services.dispatch import dispatch
from mpm.changes.services.lookup import must_be_allowed
from mpm.changes.services.planning import answer_for, plan_for, profile_of
from mpm.changes.services.unfinished import in_the_way, unfinished
from mpm.history import seal_payload
from mpm.history.services.events import append
from mpm.history.services.text_checks import one_text
from mpm.models import Change, Preview, State
from mpm.servers.inventory import observed_mpm
from mpm.servers.models import Server

FARTHEST = timedelta(days=366)
"""How far ahead a window may be: until then no other change of its server can be requested."""
LATE = timedelta(days=1)
"""How long ago an open-ended window may have started; more is a typing error."""

Check = Callable[[Profile, Plan, bool], None]
"""Called with the profile, the plan, and whether the plan is that of an unfinished change, which
was accepted before; raises to refuse."""


class Terms(TypedDict, total=False):
    """The parts of a request besides the choice.

    ``digest`` is that of the confirmed plan. With ``preview`` the plan is that answer of the
    server. ``check`` is a condition of the caller on what is used. ``not_before`` and
    ``not_after`` (aware) are the window in which the change may start.
    """

    digest: str | None
    preview: Preview | None
    check: Check | None
    reason: str
    ticket: str
    not_before: datetime | None
    not_after: datetime | None


def request_change(
    server: Server, choice: Choice, *, actor: Actor, **terms: Unpack[Terms]
) -> Change:
    """Create a change to ``choice`` on ``server``; it is sent to the agent after the commit.

    The plan is the server's own last answer for this choice in this state, else the instant one; in
    both cases the agent resolves again before it changes anything.

    Raises NotAllowed, BadRequest, UnderWay (the unfinished change already does this), Busy (naming
    the change in the way), Stale (carrying the plan as it is now), NothingToDo, and Refused with
    the findings of a blocked plan. While another change is unfinished it is one of the first four.
    """
    with transaction.atomic():
        # No scan is recorded between reading the profile and creating the row.
        server = Server.objects.select_for_update().get(pk=server.pk)
        ready = _weighed(server, choice, actor, terms)
        return create_change(
            server,
            ready.profile,
            ready.plan,
            actor=actor,
            preview=ready.preview,
            reason=ready.reason,
            ticket=ready.ticket,
            not_before=terms.get("not_before"),
            not_after=terms.get("not_after"),
            at=ready.at,
        )


def would_change(server: Server, choice: Choice, *, actor: Actor, **terms: Unpack[Terms]) -> Plan:
    """What request_change would do, refused for the same reasons, and no write."""
    server = Server.objects.get(pk=server.pk)
    return _weighed(server, choice, actor, terms).plan


def refuse_if_unfinished(server: Server, choice: Choice, terms: Terms) -> None:
    """Raises UnderWay or Busy while a change of ``server`` has not ended.

    Checked before the server's state, which that change is altering.
    """
    active = unfinished(server)
    if active is None:
        return
    wanted = in_the_way(
        active,
        choice,
        now=timezone.now(),
        digest=terms.get("digest"),
        not_before=terms.get("not_before"),
        not_after=terms.get("not_after"),
    )
    check = terms.get("check")
    if check is not None and isinstance(wanted, UnderWay):
        check(profile_of(server), Plan.from_json(active.plan), True)
    raise wanted


@dataclass(frozen=True, slots=True)
class _Ready:
    """A request that passed all checks before its row is created."""

    profile: Profile
    plan: Plan
    preview: Preview | None
    reason: str
    ticket: str
    at: datetime


def _weighed(server: Server, choice: Choice, actor: Actor, terms: Terms) -> _Ready:
    """Check a request; raises as request_change."""
    must_be_allowed(actor)
    reason = one_text("reason", terms.get("reason", ""), 500, lines=True)
    ticket = one_text("ticket", terms.get("ticket", ""), 100)
    if not server.active:
        raise Refused(
            Sentence("{server} is disabled in this panel.", server=str(server)),
            code="inactive",
            status=409,
        )
    now = timezone.now()
    check_window(now, terms.get("not_before"), terms.get("not_after"))
    digest = terms.get("digest")
    if digest is None and server.require_digest:
        raise Refused(
            Sentence(
                "On {server}, every change must include the digest of the confirmed plan.",
                server=str(server),
            ),
            code="digest_required",
            status=428,
            remedy=Sentence("Request a plan and send its digest."),
        )
    refuse_if_unfinished(server, choice, terms)
    profile = profile_of(server)
    plan, preview = _plan_meant(server, profile, choice, terms)
    plan = plan.seen_now(profile)
    check = terms.get("check")
    if check is not None:
        check(profile, plan, False)
    if digest is not None and digest != plan.digest:
        raise Stale(plan)
    refuse_if_blocked(plan, profile)
    _refuse_beyond(plan, profile)
    return _Ready(profile, plan, preview, reason, ticket, now)


def check_window(now: datetime, not_before: datetime | None, not_after: datetime | None) -> None:
    """Raises BadRequest for a window that cannot be meant."""
    for field, moment in (("not_before", not_before), ("not_after", not_after)):
        if moment is not None and timezone.is_naive(moment):
            raise BadRequest(
                Sentence("Include a time zone, as in 2026-03-03T21:00:00Z."),
                code="no_zone",
                field=field,
            )
        if moment is not None and moment > now + FARTHEST:
            raise BadRequest(
                Sentence("A maintenance window must be within a year from now."),
                code="far_window",
                field=field,
            )
    if not_after is not None and not_after <= (not_before or now):
        raise BadRequest(
            Sentence("The maintenance window ends before it starts."),
            code="empty_window",
            field="not_after",
        )
    if not_after is not None and not_after <= now:
        raise BadRequest(
            Sentence("The maintenance window has already passed."),
            code="past_window",
            field="not_after",
        )
    if not_after is None and not_before is not None and not_before < now - LATE:
        raise BadRequest(
            Sentence(
                "The maintenance window started more than a day ago. To start now, leave it out."
            ),
            code="past_window",
            field="not_before",
        )


def _plan_meant(
    server: Server, profile: Profile, choice: Choice, terms: Terms
) -> tuple[Plan, Preview | None]:
    """The plan to carry out, and the preview it is from.

    A digest may be that of the instant plan or of the server's last answer. If it is neither, the
    server's answer is the better one to show.
    """
    preview = terms.get("preview")
    if preview is not None:
        return _plan_of(server, profile, choice, preview), preview
    answer = answer_for(server, choice, profile)
    if answer is None or answer.plan is None:
        return plan_for(server, choice), None
    if terms.get("digest") not in (None, answer.digest):
        stored = plan_for(server, choice)
        if stored.digest == terms.get("digest"):
            return stored, None
    return Plan.from_json(answer.plan), answer


def _plan_of(server: Server, profile: Profile, choice: Choice, preview: Preview) -> Plan:
    if preview.server_id != server.pk or preview.choice != choice.as_json():
        raise BadRequest(
            Sentence("This plan is for another server or another selection."), code="other_preview"
        )
    if preview.state != Preview.State.READY or preview.plan is None:
        raise Refused(
            Sentence("The server hasn't sent this plan yet."),
            code="preview_not_ready",
            status=409,
        )
    plan = Plan.from_json(preview.plan)
    if plan.base_digest != profile.digest:
        raise Stale(plan_for(server, choice))
    return plan


def refuse_if_satisfied(server: Server, choice: Choice) -> None:
    """Raises NothingToDo if ``server`` had this configuration at the last check."""
    _refuse_if_satisfied(plan_for(server, choice), profile_of(server))


def _refuse_if_satisfied(plan: Plan, profile: Profile) -> None:
    whole = not any(finding.code in PANEL_CODES for finding in plan.blocks)
    if whole and satisfied(plan, profile):
        raise NothingToDo(
            Sentence(
                "No changes needed: the server already runs {choice} with all required packages.",
                choice=plan.choice.label,
            ),
            findings=plan.findings,
        )


def refuse_if_blocked(plan: Plan, profile: Profile) -> None:
    """Raises NothingToDo if the server already has it, and Refused for a blocked plan."""
    _refuse_if_satisfied(plan, profile)
    if plan.blocked:
        raise Refused(
            Sentence(
                "{blocks}. Nothing was started.",
                blocks=joined("; ", [finding.title for finding in plan.blocks]),
            ),
            code="blocked",
            findings=plan.findings,
            remedy=plan.blocks[0].remedy,
        )


def _refuse_beyond(plan: Plan, profile: Profile) -> None:
    """Raises Refused for more than an MPM change: the agent would refuse it."""
    goal = plan.goal
    if wrong := beyond(goal.install, goal.remove, profile, plan.choice.mpm.value):
        raise Refused(wrong, code="beyond_the_mpm")


UP_TO_THE_SERVER = frozenset({"no_such_package", "unsatisfiable", "extra_package_conflicts"})
"""Blockers of an instant plan that the server's own package manager may resolve: it knows
repositories and relations that this panel does not."""


def satisfied(plan: Plan, profile: Profile) -> bool:
    """Whether packages, configuration and running httpd already match the plan.

    Packages alone are not enough: a server whose httpd still runs the old MPM needs a restart,
    which is a change.
    """
    if not plan.empty or (profile.running is None and profile.configured is None):
        return False
    if not plan.choice.add <= profile.names:
        # There is no solution for it, which is why no package would change.
        return False
    wanted = ((plan.choice.mpm.value,), plan.choice.itk)
    seen = [item for item in (profile.configured, profile.running, plan.before) if item]
    return all((item.mpms, item.itk) == wanted for item in seen)


def create_change(
    server: Server,
    profile: Profile,
    plan: Plan,
    *,
    actor: Actor,
    at: datetime,
    reason: str = "",
    ticket: str = "",
    preview: Preview | None = None,
    not_before: datetime | None = None,
    not_after: datetime | None = None,
    rollback_of: Change | None = None,
) -> Change:
    """Insert the row and its first event, and send it to the agent after the commit.

    Raises Busy or UnderWay if the database's constraint shows another unfinished change.
    """
    before = observed_mpm(profile)
    waits = not_before is not None and not_before > at
    values = {
        "server_name": server.name,
        "state": State.SCHEDULED if waits else State.QUEUED,
        "from_mpm": before.mpm or "",
        "from_itk": before.itk,
        "to_mpm": plan.choice.mpm.value,
        "to_itk": plan.choice.itk,
        "choice": plan.choice.as_json(),
        "plan": plan.as_json(),
        "transaction": plan.transaction.as_json(),
        "goal": plan.goal.as_json(),
        "digest": plan.digest,
        "base_digest": plan.base_digest,
        "preview": preview,
        "rollback_of": rollback_of,
        "undo_of": rollback_of.uuid if rollback_of else "",
        "reason": reason,
        "ticket": ticket,
        "origin": actor.origin,
        "user_id": actor.user_id,
        "actor_name": actor.name,
        "actor_role": actor.role,
        "token_name": actor.token_name,
        "address": actor.address,
        "agent_class": actor.agent_class,
        "request_id": actor.request_id,
        "requested_at": at,
        "not_before": not_before,
        "not_after": not_after,
        "queued_at": None if waits else at,
        "search": search_text(reason, ticket, plan),
    }
    try:
        with transaction.atomic():
            change = Change.objects.create(server=server, **values)
    except IntegrityError:
        active = unfinished(server)
        if active is None:
            raise
        window = {"not_before": not_before, "not_after": not_after}
        raise in_the_way(active, plan.choice, now=at, digest=plan.digest, **window) from None
    append(
        f"change.{change.state}",
        at,
        server_name=server.name,
        change=change,
        actor=actor,
        data=seal_payload.requested(change),
    )
    if not waits:
        transaction.on_commit(lambda: dispatch(change, timezone.now()))
    return change


def search_text(reason: str, ticket: str, plan: Plan, error: str = "") -> str:
    """The column that free text looks through, in lower case."""
    names = [item.name for item in (*plan.install, *plan.remove)]
    return "\n".join(part for part in (reason, ticket, " ".join(names), error) if part).lower()

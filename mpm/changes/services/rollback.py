"""Rolls a server back to its state before a change, whatever has happened since."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import replace
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone

from easyapache.ea4.mpm import MPM, Choice
from easyapache.ea4.plan import Plan, PlannedPackage, goal_of, plan_from_transaction
from easyapache.ea4.profile import Package, Profile
from easyapache.ea4.relations import MAIN, Unsolvable, load_catalogue
from easyapache.ea4.rules.panel import PANEL_CODES
from easyapache.ea4.sentences import Sentence, joined
from mpm.access.services.actor import Actor, Busy, NothingToDo, Refused, Stale, UnderWay
from mpm.changes.aftermath import aftermath
from mpm.changes.lifecycle import past_the_point
from mpm.changes.models.change import Origin
from mpm.changes.services.lookup import must_be_allowed
from mpm.changes.services.planning import profile_of, send_plan
from mpm.changes.services.request import (
    check_window,
    create_change,
    refuse_if_blocked,
    satisfied,
)
from mpm.changes.services.unfinished import unfinished
from mpm.history.services.text_checks import one_text
from mpm.models import Change, Preview, State
from mpm.servers.models import Server


def why_not_roll_back(change: Change) -> str:
    """Why there is nothing to go back from, in a sentence; "" when there is: a change that
    succeeded, or one that failed half-way and could not be undone."""
    if change.active:
        return Sentence(
            "Change #{number} hasn't finished. Cancel it, or wait until it finishes.",
            number=change.pk,
        )
    half_way = change.state == State.FAILED and past_the_point(change.step)
    if change.state != State.SUCCEEDED and not half_way:
        ended = str(change.get_state_display()).lower()
        return Sentence(
            "Change #{number} {ended}. There is nothing to roll back.",
            number=change.pk,
            ended=_ENDINGS.get(State(change.state), ended),
        )
    if not change.from_mpm:
        return Sentence(
            "Before change #{number}, the server didn't have exactly one MPM. Choose an MPM "
            "instead.",
            number=change.pk,
        )
    after = aftermath(change)
    if after.repaired_at is not None:
        return Sentence(
            "Change #{number} was already undone by a repair. There is nothing to roll back.",
            number=change.pk,
        )
    if after.being_rolled_back_by:
        return Sentence(
            "Change #{other} is rolling back change #{number}.",
            number=change.pk,
            other=after.being_rolled_back_by,
        )
    if again := after.rolled_back_by:
        return Sentence(
            "Change #{number} was already rolled back by change #{other}.",
            number=change.pk,
            other=again,
        )
    return ""


_ENDINGS = {
    State.RESTORED: Sentence("failed and was restored automatically"),
    State.NOT_STARTED: Sentence("did not succeed"),
    State.FAILED: Sentence("did not succeed"),
    State.CANCELED: Sentence("was canceled before anything was changed"),
}


def rollback_plan(change: Change) -> Plan:
    """The plan from the current state of the server to the one before ``change``.

    If no package has changed since, it is the exact inverse, version by version. Otherwise it
    undoes this change and the later ones of this panel, and keeps external changes. Raises Refused
    with the reason.
    """
    if reason := why_not_roll_back(change):
        raise Refused(reason, code="nothing_to_roll_back", status=409)
    profile = profile_of(change.server, undoing=change)
    exact = _inverse_of(change, profile)
    return exact if exact is not None else _way_back(change, profile)


def request_rollback_plan(change: Change, actor: Actor) -> Preview:
    """Request the plan of a rollback from the server's own package manager. The answer arrives
    later.

    It covers the repositories only: packages they no longer have are taken from restore points by
    the agent. Raises NotAllowed, and Refused as ``rollback_plan`` does.
    """
    must_be_allowed(actor, Sentence("request plans"))
    return send_plan(rollback_plan(change), change.server, actor, undo_of=change.uuid)


def _inverse_of(change: Change, profile: Profile) -> Plan | None:
    if change.origin == Origin.OUTSIDE:
        return None
    inverse = Plan.from_json(change.plan).inverse
    expected = {item.package for item in (*inverse.keep, *inverse.remove)}
    if expected != set(profile.packages):
        return None
    looked_at = plan_from_transaction(
        profile, inverse.choice, inverse.transaction, load_catalogue()
    )
    reasons = {item.name: item for item in (*inverse.install, *inverse.remove)}
    return replace(
        looked_at,
        install=tuple(reasons.get(item.name, item) for item in looked_at.install),
        remove=tuple(reasons.get(item.name, item) for item in looked_at.remove),
        goal=inverse.goal,
        source=inverse.source,
    )


def _way_back(change: Change, profile: Profile) -> Plan:
    since = (
        Change.objects.filter(server=change.server, state=State.SUCCEEDED, pk__gt=change.pk)
        .exclude(origin=Origin.OUTSIDE)
        .order_by("pk")
        .values_list("plan", flat=True)
    )
    installed, removed = _builds(change.plan, "install"), _builds(change.plan, "remove")
    kept = _builds(change.plan, "keep")
    before = removed.keys() | kept.keys()
    for plan in since.iterator(chunk_size=50):
        installed |= _builds(plan, "install")
        removed = _builds(plan, "remove") | removed
    bring = (before & removed.keys()) - profile.names
    take = (profile.names & installed.keys()) - before
    choice = Choice(mpm=MPM(change.from_mpm), itk=change.from_itk, add=frozenset(bring))
    goal = goal_of(profile, choice)
    relations = load_catalogue()
    scene = relations.for_server(profile.packages, profile.facts.get("relations"))
    remove = tuple(sorted((take | set(goal.remove)) - set(goal.install)))
    try:
        moves = scene.resolve(goal.install, remove)
    except Unsolvable as error:
        raise Refused(
            Sentence(
                "Change #{number} can't be rolled back: {reasons}",
                number=change.pk,
                reasons=joined("; ", error.reasons),
            ),
            code="no_way_back",
        ) from error
    if kept.get(MAIN) in profile.packages:
        # In the builds that left: they fit this Apache, and the server's kits have them.
        back = tuple(sorted(removed.get(item.name, item) for item in moves.install))
        moves = replace(moves, install=back)
    plan = plan_from_transaction(profile, choice, moves, relations)
    return replace(
        plan,
        install=_because(plan.install, bring, Sentence("previously installed")),
        remove=_because(plan.remove, take, Sentence("installed by the change")),
        goal=replace(plan.goal, remove=remove),
        source="stored",
    )


def _because(
    items: Iterable[PlannedPackage], names: Set[str], reason: str
) -> tuple[PlannedPackage, ...]:
    return tuple(replace(item, reason=reason) if item.name in names else item for item in items)


def _builds(plan: Mapping[str, Any], key: str) -> dict[str, Package]:
    """The packages of one list of a stored plan, by name."""
    items = map(PlannedPackage.from_json, plan.get(key) or ())
    return {item.name: item.package for item in items}


def roll_back(
    change: Change,
    actor: Actor,
    reason: str = "",
    *,
    ticket: str = "",
    digest: str | None = None,
    not_before: datetime | None = None,
    not_after: datetime | None = None,
) -> Change:
    """Request the rollback to the state before ``change``.

    ``not_before``, ``not_after``: the window in which it may start. Raises NotAllowed, BadRequest
    for an invalid window, UnderWay (the unfinished change is this rollback), Busy, Refused with the
    reason why it can't be rolled back, and Stale if ``digest`` is not that of the current plan.
    """
    must_be_allowed(actor, Sentence("roll back changes"))
    reason = one_text("reason", reason, 500, lines=True)
    ticket = one_text("ticket", ticket, 100)
    check_window(timezone.now(), not_before, not_after)
    with transaction.atomic():
        server = Server.objects.select_for_update().get(pk=change.server_id)
        active = unfinished(server)
        if active is not None and active.pk != change.pk:
            same = active.rollback_of_id == change.pk and digest in (None, active.digest)
            raise UnderWay(active) if same and active.state != State.CANCELING else Busy(active)
        plan = rollback_plan(change)
        profile = profile_of(server, undoing=change)
        if digest is not None and digest != plan.digest:
            raise Stale(plan)
        whole = not any(finding.code in PANEL_CODES for finding in plan.blocks)
        if whole and satisfied(plan, profile):
            raise NothingToDo(
                Sentence(
                    "No changes needed: the server is already in the state before change "
                    "#{number}.",
                    number=change.pk,
                )
            )
        refuse_if_blocked(plan, profile)
        return create_change(
            server,
            profile,
            plan,
            actor=actor,
            at=timezone.now(),
            reason=reason or f"Roll back change #{change.pk}",
            ticket=ticket or change.ticket,
            rollback_of=change,
            not_before=not_before,
            not_after=not_after,
        )

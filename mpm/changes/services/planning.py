"""Plans: the instant one, and the one requested from the server."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction
from django.utils import timezone

from easyapache.ea4.mpm import Choice
from easyapache.ea4.plan import Plan, make_plan, plan_from_transaction
from easyapache.ea4.profile import Profile, Transaction
from easyapache.ea4.protocol import PreviewRequest
from easyapache.ea4.relations import load_catalogue
from easyapache.ea4.sentences import Sentence
from mpm.access.services.actor import Actor, Refused, Unanswered
from mpm.changes.incomplete import incomplete
from mpm.changes.services.lookup import must_be_allowed
from mpm.history.services.events import append
from mpm.models import Change, Preview
from mpm.servers.agents import wake
from mpm.servers.health import INCOMPLETE, judged
from mpm.servers.models import Server


def profile_of(server: Server, *, undoing: Change | None = None) -> Profile:
    """The latest profile, with the server's health problems among its facts.

    ``undoing``: an incomplete change that is about to be undone, which therefore does not block.
    Raises Refused ``no_profile`` before the first scan.
    """
    row = (
        server.installed_profiles.annotate(incomplete=incomplete("server__name"))
        .order_by("-pk")
        .first()
    )
    if row is None:
        raise Refused(
            Sentence(
                "{server} hasn't been checked yet, so no plan can be made.",
                server=str(server),
            ),
            code="no_profile",
            status=409,
            remedy=Sentence(
                "Check that its agent is running. The panel checks the server every minute."
            ),
        )
    number = getattr(row, "incomplete", None)
    if undoing is not None and number == undoing.pk:
        number = None
    return judged(server, row.faults, {INCOMPLETE: number}).beside(row.profile)


def plan_for(server: Server, choice: Choice) -> Plan:
    """What ``choice`` would do, worked out at once from the stored profile. Writes nothing."""
    return make_plan(profile_of(server), choice, load_catalogue())


def answer_for(server: Server, choice: Choice, profile: Profile) -> Preview | None:
    """The server's own last answer for ``choice`` in exactly this state."""
    answers = server.previews.filter(
        state=Preview.State.READY, base_digest=profile.digest, undo_of=""
    )
    wanted = choice.as_json()
    for number, stored in answers.order_by("-answered_at", "-pk").values_list("pk", "choice"):
        if stored == wanted:
            return Preview.objects.get(pk=number)
    return None


def keep_answer(change: Change, profile: Profile, moves: Transaction, at: datetime) -> Preview:
    """Keep the plan of a server that refused a change because of a different plan: it answers the
    same request, and may be confirmed like a requested one."""
    choice = Choice.from_json(change.choice)
    plan = plan_from_transaction(profile, choice, moves, load_catalogue())
    return Preview.objects.create(
        server_id=change.server_id,
        choice=choice.as_json(),
        base_digest=plan.base_digest,
        stored_digest=change.digest,
        goal=change.goal,
        actor_name=change.actor_name,
        requested_at=at,
        answered_at=at,
        state=Preview.State.READY,
        plan=plan.as_json(),
        transaction=moves.as_json(),
        digest=plan.digest,
    )


def request_preview(server: Server, choice: Choice, actor: Actor) -> Preview:
    """Request the plan for ``choice`` from the server's own package manager; the answer arrives
    later.

    Raises NotAllowed (a preview costs the server a solver run, so it needs the right to change) and
    Refused ``no_profile``. A blocked choice is requested as well: the page shows both plans, and
    only confirming is refused.
    """
    must_be_allowed(actor, Sentence("request plans"))
    return send_plan(plan_for(server, choice), server, actor)


def send_plan(plan: Plan, server: Server, actor: Actor, *, undo_of: str = "") -> Preview:
    """Request the goal of ``plan`` from the server's own package manager. ``undo_of``: the uuid of
    the change that it rolls back."""
    now = timezone.now()
    with transaction.atomic():
        preview = Preview.objects.create(
            server=server,
            choice=plan.choice.as_json(),
            base_digest=plan.base_digest,
            stored_digest=plan.digest,
            goal=plan.goal.as_json(),
            actor_name=actor.name,
            requested_at=now,
            undo_of=undo_of,
        )
        data = {"preview": preview.uuid, "choice": preview.choice, "digest": plan.digest}
        append("preview.requested", now, server_name=server.name, actor=actor, data=data)
    transaction.on_commit(lambda: resend_preview(preview))
    return preview


def settled(preview: Preview) -> Preview | None:
    """The preview once the server has answered; None until then.

    Raises Unanswered with the server's own error if it could not resolve it.
    """
    found = Preview.objects.exclude(state=Preview.State.PENDING).filter(pk=preview.pk).first()
    if found is not None and found.state == Preview.State.FAILED:
        error = found.error or {}
        raise Unanswered(
            str(error.get("message") or "The server gave no reason."),
            code=str(error.get("code") or "") or None,
            remedy=str(error.get("remedy") or ""),
        )
    return found


def resend_preview(preview: Preview) -> bool:
    """Send a pending preview's request to its server; repeating it does no harm."""
    from easyapache.ea4.protocol import Goal

    request = PreviewRequest(preview=preview.uuid, goal=Goal.from_json(preview.goal))
    return wake(preview.server.name, "preview", request.as_json())

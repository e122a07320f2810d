"""External changes: by hand, by WHM, by a package update.

Each becomes a change in the history, which an administrator can accept or roll back.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from django.db import transaction
from django.utils import timezone

from easyapache.ea4.mpm import Choice
from easyapache.ea4.plan import plan_from_transaction
from easyapache.ea4.profile import Transaction
from easyapache.ea4.relations import load_catalogue
from easyapache.ea4.sentences import Sentence, all_of, joined, words_of
from mpm.access.services.actor import Actor, Refused, agent_of
from mpm.changes.models.change import SOMEBODY, Origin
from mpm.changes.services import unrequested
from mpm.changes.services.lookup import must_be_allowed
from mpm.changes.services.request import search_text
from mpm.history import seal_payload
from mpm.history.services.events import append
from mpm.models import Change, State
from mpm.servers.inventory import Movement, observed_mpm
from mpm.servers.models import Server


def _last_transaction(movement: Movement) -> Mapping[str, Any]:
    """The package manager's record of the transaction that made the difference; empty if its newest
    one is older than the difference."""
    before = movement.before.facts.get("last_transaction") or {}
    latest: Mapping[str, Any] = movement.after.facts.get("last_transaction") or {}
    earlier_id, latest_id = before.get("id"), latest.get("id")
    # Its numbers only grow; a smaller one is of a history that was put back.
    return (
        latest if latest_id is not None and (earlier_id is None or latest_id > earlier_id) else {}
    )


def ours(server: Server, movement: Movement) -> bool:
    """Whether a change of this panel made it after all: one closed manually while its agent was
    offline continues, and its transaction has its id."""
    comment = str(_last_transaction(movement).get("comment") or "")
    if not comment:
        return False
    ours = server.changes.exclude(origin=Origin.OUTSIDE).filter(uuid=comment).first()
    if ours is None or not ours.transaction:
        return False
    # The comment alone proves nothing: any user on the server can set one.
    return Transaction.from_json(ours.transaction).digest == movement.transaction.digest


def outside_change(server: Server, movement: Movement, at: datetime) -> Change | None:
    """Record an external change, with user and time if the server's package manager has them. None
    if there were too many recently."""
    if unrequested.one_too_many(server.name, at, agent_of(server.name)):
        return None
    before, after = observed_mpm(movement.before), observed_mpm(movement.after)
    entry = _last_transaction(movement)
    who = str(entry.get("user") or "")[:150]
    moves = Transaction(install=movement.arrived, remove=movement.left)
    choice = Choice.parse(after.mpm or before.mpm, itk=after.itk)
    plan = plan_from_transaction(movement.before, choice, moves, load_catalogue())
    started = _moment(entry.get("at")) or at
    sentence = _outside_sentence(movement, entry)
    change = Change.objects.create(
        server=server,
        server_name=server.name,
        state=State.SUCCEEDED,
        from_mpm=before.mpm or "",
        from_itk=before.itk,
        to_mpm=after.mpm or "",
        to_itk=after.itk,
        choice=choice.as_json(),
        plan={**plan.as_json(), "findings": [], "source": "outside", "told": dict(entry)},
        transaction=moves.as_json(),
        digest=plan.digest,
        base_digest=plan.base_digest,
        origin=Origin.OUTSIDE,
        actor_name=who or SOMEBODY,
        reason=str(entry.get("command") or "")[:500],
        requested_at=at,
        started_at=started,
        finished_at=at,
        sentence=sentence,
        sentence_words=words_of(sentence),
        decided_by="scan",
        search=search_text(str(entry.get("command") or ""), "", plan),
    )
    append(
        seal_payload.OUTSIDE,
        at,
        server_name=server.name,
        change=change,
        actor=agent_of(server.name),
        data={
            **seal_payload.found(change),
            **seal_payload.ended(change),
            "transaction": dict(entry),
        },
    )
    return change


def _outside_sentence(movement: Movement, entry: Mapping[str, Any]) -> str:
    before, after = observed_mpm(movement.before), observed_mpm(movement.after)
    parts = []
    if before != after:
        one, other = _name(before.mpms, before.itk), _name(after.mpms, after.itk)
        parts.append(Sentence("MPM changed from {before} to {after}", before=one, after=other))
    if movement.arrived:
        names = ", ".join(item.name for item in movement.arrived)
        parts.append(Sentence("installed: {names}", names=names))
    if movement.left:
        names = ", ".join(item.name for item in movement.left)
        parts.append(Sentence("removed: {names}", names=names))
    if not parts:
        parts.append(Sentence("the configured and running MPM changed"))
    what = joined("; ", parts)
    if not entry.get("id"):
        return Sentence("Changed outside this panel: {what}.", what=what)
    return Sentence(
        "Changed outside this panel by package transaction {id}: {what}.",
        id=str(entry["id"]),
        what=what,
    )


def _name(mpms: tuple[str, ...], itk: bool) -> str:
    names = all_of(mpms) or Sentence("no MPM")
    return Sentence("{mpm} with ITK", mpm=names) if itk else names


def _moment(value: Any) -> datetime | None:
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def adopt(change: Change, actor: Actor) -> Change:
    """Accept a change made outside: it is no longer shown as one that wants a decision.

    Raises NotAllowed, and Refused when it was not made outside or is adopted already.
    """
    must_be_allowed(actor, Sentence("accept external changes"))
    if change.origin != Origin.OUTSIDE:
        raise Refused(
            Sentence("Change #{number} was made by this panel.", number=change.pk),
            code="not_outside",
        )
    now = timezone.now()
    with transaction.atomic():
        taken = Change.objects.filter(pk=change.pk, adopted_at=None)
        if taken.update(adopted_at=now, adopted_by=actor.name) != 1:
            raise Refused(
                Sentence("Change #{number} was already accepted.", number=change.pk),
                code="adopted",
                status=409,
            )
        append(
            seal_payload.ADOPTED, now, server_name=change.server_name, change=change, actor=actor
        )
    change.refresh_from_db()
    return change

"""Scans and previews: asking a server what it is and what it would do, and keeping the answer.

Also what was changed without the panel: by hand, by WHM, by a package update. It becomes a
change of its own in the history, which an administrator can adopt or revert.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.crypto import constant_time_compare, salted_hmac

from easyapache.ea4.mpm import Choice
from easyapache.ea4.package_metadata import Particulars
from easyapache.ea4.plan import plan_from_transaction
from easyapache.ea4.profile import Profile, Transaction
from easyapache.ea4.protocol import BadMessage
from easyapache.ea4.relations import load_catalogue
from easyapache.ea4.sentences import Sentence, all_of, joined, words_of
from mpm.access.services.actor import Actor, Refused
from mpm.changes.models.change import SOMEBODY, Origin
from mpm.changes.services import unrequested
from mpm.changes.services.lookup import must_be_allowed
from mpm.changes.services.record import agent_of, heard
from mpm.changes.services.request import search_text
from mpm.history import seal_payload
from mpm.history.services.events import append
from mpm.history.services.text_checks import storable
from mpm.models import ACTIVE_STATES, Change, Preview, State
from mpm.servers.agents import wake
from mpm.servers.inventory import (
    Movement,
    observed_mpm,
    record_particulars,
    record_peak,
    record_scan,
)
from mpm.servers.models import Server, ServerParticulars
from mpm.servers.reading import read_until

ANSWERED_WITHIN = timedelta(hours=1)
"""A look that was asked for longer ago shows another server than today's."""


def request_number(moment: datetime) -> str:
    """An id of 32 hexadecimal digits that remembers when it was asked, to the millisecond, and that
    nobody else can make."""
    begin = f"{int(moment.timestamp() * 1000):012x}{secrets.token_hex(4)}"
    return begin + _mark(begin)


def _mark(begin: str) -> str:
    return salted_hmac("easyapache.request", begin, algorithm="sha256").hexdigest()[:12]


def asked_at(request: str) -> datetime:
    """When request_number() made ``request``. Raises ValueError for anything else."""
    if len(request) != 32 or not constant_time_compare(_mark(request[:20]), request[20:]):
        raise ValueError("not the number of a request of this panel")
    return datetime.fromtimestamp(int(request[:12], 16) / 1000, UTC)


def rescan(server: Server) -> str:
    """Ask the agent to look at its server; returns the number of the question."""
    known = ServerParticulars.objects.filter(server=server).values_list("digest", flat=True).first()
    return ask_for_look(server.name, known)


def ask_for_look(server: str, known: str | None) -> str:
    """The same where it is ``known`` already which particulars the panel has, by their digest."""
    number = request_number(timezone.now())
    wake(server, "inspect", {"request": number, "particulars": known or ""})
    return number


def first_look(server: str) -> None:
    """The agent of ``server`` was just heard: if nobody has seen yet what is on that server,
    ask now instead of at the next round. Not while the panel is behind with reading, when the
    answer may wait there already."""
    now = timezone.now()
    if read_until(now) < now:
        return
    unseen = Server.objects.filter(name=server, installed_profiles=None).only("name").first()
    if unseen is not None:
        rescan(unseen)


def record_inspection(
    server: str,
    request: str,
    profile: Mapping[str, Any] | None = None,
    error: Mapping[str, Any] | None = None,
) -> Change | None:
    """Keep what a scan found. Returns the change it revealed, when somebody made one outside.

    A look that was taken while a change of ours was at work (or before it ended) shows
    neither the old nor the new server and is passed over: the change's own last report
    carries what the server was at its end.
    """
    now = timezone.now()
    with transaction.atomic():
        row = Server.objects.select_for_update().filter(name=server).first()
        if row is None:
            return None
        heard(server, now)
        asked = asked_at(request)
        if now - asked > ANSWERED_WITHIN:
            raise BadMessage("the answer to a question of long ago")
        if error is not None or profile is None:
            _note_error(row, storable(dict(error or {})))
            return None
        if _disturbed(row, asked):
            return None
        seen = Profile.from_json(storable(dict(profile)))
        scan = record_scan(row, seen, now, "scan")
        record_peak(row, seen, now)
        _note_error(row, None)
        if scan.movement is None:
            return None
        if not scan.movement.significant or _ours(row, scan.movement):
            _tell_update(row, scan.movement, now)
            return None
        return outside_change(row, scan.movement, now)


def note_particulars(server: str, said: Mapping[str, Any]) -> None:
    """Keep what an agent tells of its server's packages beyond their names."""
    now = timezone.now()
    particulars = Particulars.from_json(storable(dict(said)))
    with transaction.atomic():
        row = Server.objects.select_for_update().filter(name=server).first()
        if row is not None:
            heard(server, now)
            record_particulars(row, particulars, now)


def _note_error(server: Server, error: dict[str, Any] | None) -> None:
    """The last scan's error is kept with what the agent says of itself, until one succeeds."""
    agent = {key: value for key, value in server.agent.items() if key != "scan_error"}
    if error is not None:
        agent["scan_error"] = error
    if agent != server.agent:
        Server.objects.filter(pk=server.pk).update(agent=agent)


def _disturbed(server: Server, asked: datetime) -> bool:
    ours = server.changes.exclude(origin=Origin.OUTSIDE)
    at_work = ours.filter(state__in=ACTIVE_STATES).exclude(dispatched_at=None)
    return at_work.exists() or ours.filter(finished_at__gte=asked).exists()


def _last_transaction(movement: Movement) -> Mapping[str, Any]:
    """What the package manager remembers of the transaction that made the difference; empty
    where the newest one it knows is older than the difference."""
    before = movement.before.facts.get("last_transaction") or {}
    said: Mapping[str, Any] = movement.after.facts.get("last_transaction") or {}
    known, told = before.get("id"), said.get("id")
    # Its numbers only grow; a smaller one is of a history that was put back.
    return said if told is not None and (known is None or told > known) else {}


def _ours(server: Server, movement: Movement) -> bool:
    """Whether a change of this panel made it after all: one that was closed here while its
    agent was silent goes on, and its transaction carries its id."""
    comment = str(_last_transaction(movement).get("comment") or "")
    if not comment:
        return False
    ours = server.changes.exclude(origin=Origin.OUTSIDE).filter(uuid=comment).first()
    if ours is None or not ours.transaction:
        return False
    # The comment alone says nothing: anybody on the server can give theirs any.
    return Transaction.from_json(ours.transaction).digest == movement.transaction.digest


def _tell_update(server: Server, movement: Movement, at: datetime) -> None:
    """Packages in another version, or httpd no longer answering: worth an event, no change."""
    append(
        "profile.observed",
        at,
        server_name=server.name,
        actor=agent_of(server.name),
        data={
            "updated": list(movement.updated),
            "before": movement.before.digest,
            "after": movement.after.digest,
            "running": movement.after.running.as_json() if movement.after.running else None,
        },
    )


def outside_change(server: Server, movement: Movement, at: datetime) -> Change | None:
    """Tell as a change what somebody did without this panel, with who and when where the
    server's package manager remembers it. None where there were too many of late."""
    if unrequested.one_too_many(server.name, at, agent_of(server.name)):
        return None
    before, after = observed_mpm(movement.before), observed_mpm(movement.after)
    said = _last_transaction(movement)
    who = str(said.get("user") or "")[:150]
    moves = Transaction(install=movement.arrived, remove=movement.left)
    choice = Choice.parse(after.mpm or before.mpm, itk=after.itk)
    plan = plan_from_transaction(movement.before, choice, moves, load_catalogue())
    started = _moment(said.get("at")) or at
    sentence = _outside_sentence(movement, said)
    change = Change.objects.create(
        server=server,
        server_name=server.name,
        state=State.SUCCEEDED,
        from_mpm=before.mpm or "",
        from_itk=before.itk,
        to_mpm=after.mpm or "",
        to_itk=after.itk,
        choice=choice.as_json(),
        plan={**plan.as_json(), "findings": [], "source": "outside", "told": dict(said)},
        transaction=moves.as_json(),
        digest=plan.digest,
        base_digest=plan.base_digest,
        origin=Origin.OUTSIDE,
        actor_name=who or SOMEBODY,
        reason=str(said.get("command") or "")[:500],
        requested_at=at,
        started_at=started,
        finished_at=at,
        sentence=sentence,
        sentence_words=words_of(sentence),
        decided_by="scan",
        search=search_text(str(said.get("command") or ""), "", plan),
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
            "transaction": dict(said),
        },
    )
    return change


def _outside_sentence(movement: Movement, said: Mapping[str, Any]) -> str:
    before, after = observed_mpm(movement.before), observed_mpm(movement.after)
    parts = []
    if before != after:
        one, other = _name(before.mpms, before.itk), _name(after.mpms, after.itk)
        parts.append(Sentence("{before} became {after}", before=one, after=other))
    if movement.arrived:
        names = ", ".join(item.name for item in movement.arrived)
        parts.append(Sentence("installed: {names}", names=names))
    if movement.left:
        names = ", ".join(item.name for item in movement.left)
        parts.append(Sentence("removed: {names}", names=names))
    if not parts:
        parts.append(Sentence("the configured and the running MPM moved"))
    what = joined("; ", parts)
    if not said.get("id"):
        return Sentence("Changed outside this panel: {what}.", what=what)
    return Sentence(
        "Changed outside this panel by package transaction {id}: {what}.",
        id=str(said["id"]),
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
    must_be_allowed(actor, Sentence("adopt changes"))
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
                Sentence("Change #{number} was adopted already.", number=change.pk),
                code="adopted",
                status=409,
            )
        append(
            seal_payload.ADOPTED, now, server_name=change.server_name, change=change, actor=actor
        )
    change.refresh_from_db()
    return change


def record_preview(
    server: str,
    preview: str,
    transaction_json: Mapping[str, Any] | None = None,
    error: Mapping[str, Any] | None = None,
    profile: Mapping[str, Any] | None = None,
) -> Preview | None:
    """Keep the server's answer to a preview, once. Returns the preview when this was the answer.

    The plan is made from the profile the server sent along, which is what it resolved against;
    when that has moved since, the confirm will say so.
    """
    row = Preview.objects.filter(uuid=preview, server__name=server).first()
    if row is None or row.state != Preview.State.PENDING:
        return None
    now = timezone.now()
    fields: dict[str, Any]
    if error is not None or transaction_json is None:
        fields = {
            "state": Preview.State.FAILED,
            "error": storable(dict(error or {"code": "no_answer", "message": "No answer."})),
        }
    else:
        seen = Profile.from_json(storable(dict(profile))) if profile else row.server.profile
        if seen is None:
            return None
        moves = Transaction.from_json(storable(dict(transaction_json)))
        plan = plan_from_transaction(seen, Choice.from_json(row.choice), moves, load_catalogue())
        fields = {
            "state": Preview.State.READY,
            "plan": plan.as_json(),
            "transaction": moves.as_json(),
            "digest": plan.digest,
            "base_digest": plan.base_digest,
        }
    with transaction.atomic():
        pending = Preview.objects.filter(pk=row.pk, state=Preview.State.PENDING)
        if pending.update(answered_at=now, **fields) != 1:
            return None
        heard(server, now)
    if profile is not None and error is None:
        record_inspection(server, request_number(row.requested_at), profile)
    row.refresh_from_db()
    return row

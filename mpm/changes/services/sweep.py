"""The sweep: finds in the database what is still to be done, whatever messages were lost.

Every part is a guarded UPDATE or a message that may come twice, so two sweeps at once, or one
that died half-way, do no harm. Nothing is declared dead here: a change ends by what its
server says. Where nobody answers, the change is shown as silent, with since when.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from easyapache.ea4.protocol import CancelRequest, Ping
from easyapache.ea4.sentences import Sentence, joined
from mpm.access.services.actor import Actor, Refused
from mpm.changes.lifecycle import past_the_point
from mpm.changes.services.dispatch import dispatch
from mpm.changes.services.lookup import must_be_allowed
from mpm.changes.services.planning import resend_preview
from mpm.changes.services.record import request_rest, seal_late_reports
from mpm.changes.services.repairs import repeat_unanswered
from mpm.changes.services.transition import move
from mpm.history.services.events import append
from mpm.models import ACTIVE_STATES, Change, Preview, State
from mpm.servers.agents import backlogs, wake
from mpm.servers.looks import request_scan, rescan
from mpm.servers.models import Pulse, Server
from mpm.servers.reading import SLACK, look, read_until

REPEAT = timedelta(seconds=8)
"""A message is sent again when it has not led to anything for this long."""
LONGEST_PAUSE = timedelta(seconds=60)
"""Of a change that an agent does not take. Below EXPIRES_SECONDS, so that one waits for it."""
SEEN_LATELY = timedelta(seconds=25)
"""Two heartbeats of an agent: one that was heard need not be asked for another."""
TAIL = timedelta(seconds=45)
"""For this long after its end a change is asked once more for the rest of its log."""
FULL_QUEUE = 30
"""An agent with this many messages waiting is away; more would only pile up."""


def sweep(now: datetime | None = None) -> None:
    """One round over everything that is not finished. Idempotent.

    Whether somebody was silent is judged by what has been read (``mpm.servers.reading``): an
    answer that waits unread is neither a silence nor a reason to ask again.
    """
    now = now or timezone.now()
    Pulse.beat("control", now)
    Pulse.beat("beat", now)
    read = look(now)
    _queue_what_is_due(now)
    full = _servers_with_full_queues()
    active = Change.objects.filter(state__in=ACTIVE_STATES).select_related("server").order_by("pk")
    for change in active.iterator(chunk_size=200):
        if change.server_name not in full:
            _remind(change, now, read)
        _note_request(change, now, read)
        _notice_silence(change, now, read)
    for change in Change.objects.filter(
        finished_at__range=(read - TAIL, read), dispatched_at__isnull=False
    ).exclude(server_name__in=full):
        request_rest(change)
    seal_late_reports(now)
    _previews(now, read)
    repeat_unanswered(read, full)


def _servers_with_full_queues() -> set[str]:
    names = Server.objects.filter(active=True).values_list("name", flat=True)
    return {name for name, length in backlogs(names).items() if length >= FULL_QUEUE}


def _queue_what_is_due(now: datetime) -> None:
    """A window that was missed once or ten times leads to one change, and only while it lasts."""
    due = Change.objects.filter(state=State.SCHEDULED, not_before__lte=now).order_by("pk")
    for change in due:
        if change.not_after is not None and change.not_after < now:
            move(
                change,
                (State.SCHEDULED,),
                State.CANCELED,
                now,
                finished_at=now,
                sentence=Sentence(
                    "The maintenance window passed before the change could start. Nothing was "
                    "changed."
                ),
                decided_by="window",
            )
        elif move(change, (State.SCHEDULED,), State.QUEUED, now, queued_at=now):
            dispatch(change, now)


def _remind(change: Change, now: datetime, read: datetime) -> None:
    if change.state == State.QUEUED:
        if change.dispatched_at is None or read - change.dispatched_at >= _pause(change):
            dispatch(change, now)
    elif change.state in (State.RUNNING, State.CANCELING):
        if change.state == State.CANCELING:
            wake(change.server_name, "cancel", CancelRequest(change.uuid).as_json())
        quiet = change.heartbeat_at is None or read - change.heartbeat_at >= REPEAT
        if quiet and (_needs_request(change) or read - (change.asked_at or read) >= REPEAT):
            request_rest(change)


def _pause(change: Change) -> timedelta:
    """How long to wait until a change is sent again: as long as it took so far, within bounds."""
    sent, since = change.dispatched_at, change.queued_at or change.requested_at
    return min(max(sent - since, REPEAT), LONGEST_PAUSE) if sent else REPEAT


def _last_sign(change: Change) -> datetime:
    """When anything was last heard of the change or of its server."""
    moments = (change.heartbeat_at, change.server.last_seen_at, change.queued_at)
    return max((moment for moment in moments if moment is not None), default=change.requested_at)


def _needs_request(change: Change) -> bool:
    return change.asked_at is None or change.asked_at <= _last_sign(change)


def _note_request(change: Change, now: datetime, read: datetime) -> None:
    """When the server was first asked since its last word. (A full queue is questions that wait.)
    After an outage of the panel's own the first round only asks."""
    if _needs_request(change) and read - _last_sign(change) >= REPEAT:
        change.asked_at = now
        Change.objects.filter(pk=change.pk).update(asked_at=now)


def _notice_silence(change: Change, now: datetime, read: datetime) -> None:
    """Say that nobody has been heard of, once, as soon as it is so: the host has been asked and
    has had time to answer. heard() takes it back."""
    if change.state == State.SCHEDULED or change.silent_since is not None:
        return
    last = _last_sign(change)
    if read - last < timedelta(seconds=settings.SILENCE_SECONDS):
        return
    if change.asked_at is None or read - change.asked_at < REPEAT:
        return
    with transaction.atomic():
        unreported = Change.objects.filter(pk=change.pk, state=change.state, silent_since=None)
        if unreported.update(silent_since=last) == 1:
            append(
                "change.silent",
                now,
                server_name=change.server_name,
                change=change,
                data={"since": last.isoformat(), "state": change.state, "step": change.step},
            )


def _previews(now: datetime, read: datetime) -> None:
    pending = Preview.objects.filter(state=Preview.State.PENDING)
    limit = read - timedelta(seconds=settings.PREVIEW_SECONDS)
    pending.filter(requested_at__lt=limit).update(
        state=Preview.State.FAILED,
        answered_at=now,
        error={
            "code": "no_answer",
            "message": f"The server did not answer within {settings.PREVIEW_SECONDS} seconds.",
            "remedy": "Check that its agent is running, then try again.",
        },
    )
    if now - read < SLACK:  # else the answers to those that were asked may be among the unread
        lost = pending.filter(requested_at__lt=read - REPEAT)
        for preview in lost.select_related("server")[:50]:
            resend_preview(preview)
    Preview.objects.filter(requested_at__lt=now - timedelta(days=7), changes=None).delete()


def ping_all(now: datetime | None = None) -> None:
    """Ask every agent for a sign of life that has given none lately. While the panel is behind with
    reading, their answers would only make it later."""
    now = now or timezone.now()
    Pulse.beat("beat", now)
    if now - read_until(now) >= SLACK:
        return
    not_seen = Q(last_seen_at=None) | Q(last_seen_at__lt=now - SEEN_LATELY)
    names = Server.objects.filter(not_seen, active=True).values_list("name", flat=True)
    for name, length in backlogs(names).items():
        if length < FULL_QUEUE:
            wake(name, "ping", Ping(f"{int(now.timestamp() * 1000):x}").as_json())


def rescan_all(now: datetime | None = None) -> None:
    """Have every server looked at, so that what is done outside shows up within a minute. While
    the answers of the last round are unread, another one would only make them more."""
    now = now or timezone.now()
    if now - read_until(now) > timedelta(seconds=settings.RESCAN_SECONDS):
        return
    digests = dict(Server.objects.filter(active=True).values_list("name", "particulars__digest"))
    for name, length in backlogs(digests).items():
        if length < FULL_QUEUE:
            request_scan(name, digests[name])


def recover(change: Change, actor: Actor, *, close: bool = False) -> Change:
    """Help a change that seems stuck. Always audited; no state needs a shell or SQL.

    First this asks the agent again for everything. With ``close`` it also ends, as failed, a
    change whose agent is silent, so that the server is free for another; what the agent
    did or will do is not undone by that, and is told in the history when it comes back.
    Raises NotAllowed, and Refused when the change has ended or its agent is not silent.
    """
    must_be_allowed(actor, Sentence("recover changes"))
    if change.finished:
        raise Refused(
            Sentence("Change #{number} has finished.", number=change.pk), code="ended", status=409
        )
    if close and change.silent_since is None:
        raise Refused(
            Sentence(
                "The agent of {server} is online and reports how change #{number} ends.",
                server=change.server_name,
                number=change.pk,
            ),
            code="not_silent",
            status=409,
        )
    now = timezone.now()
    with transaction.atomic():
        append(
            "change.recover",
            now,
            server_name=change.server_name,
            change=change,
            actor=actor,
            data={"close": close, "state": change.state, "step": change.step},
        )
        if close:
            _close(change, actor, now)
    if change.state == State.QUEUED:
        dispatch(change, now)
    elif change.active:
        request_rest(change)
    rescan(change.server)
    return change


def _close(change: Change, actor: Actor, now: datetime) -> None:
    touched = past_the_point(change.step)
    closed = Sentence(
        "Closed manually by {person}. The agent has been offline since {since} UTC (last "
        "step: {step}).",
        person=actor.name,
        since=f"{change.silent_since:%Y-%m-%d %H:%M:%S}",
        step=change.step or Sentence("none"),
    )
    look = (
        Sentence(
            "Packages may have been changed. Check the server before you request another change."
        )
        if touched
        else Sentence(
            "The agent may still finish or undo it. Check the server before you request "
            "another change."
        )
    )
    sentence = joined(" ", [closed, look])
    expected = (State.QUEUED, State.RUNNING, State.CANCELING)
    if not move(
        change,
        expected,
        State.FAILED,
        now,
        actor=actor,
        data={"closed": True},
        finished_at=now,
        sentence=sentence,
        error=sentence,
        decided_by="recover",
    ):
        raise Refused(
            Sentence("Change #{number} just changed its state. Try again.", number=change.pk),
            code="ended",
            status=409,
        )

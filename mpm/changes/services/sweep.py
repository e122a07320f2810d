"""The sweep: finds open work in the database, so that lost messages do no harm.

Every part is a guarded UPDATE or a message that may be repeated, so concurrent or interrupted
sweeps do no harm. The sweep ends no change: only the server's reports do. If the agent is offline,
the change shows since when.
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
"""For a change that its agent does not accept. Below EXPIRES_SECONDS, so that one message is always
waiting."""
SEEN_LATELY = timedelta(seconds=25)
"""Two heartbeats: an agent seen within this time gets no ping."""
TAIL = timedelta(seconds=45)
"""For this long after the end of a change the rest of its log is requested again."""
FULL_QUEUE = 30
"""An agent with this many waiting messages is offline; no more are sent."""


def sweep(now: datetime | None = None) -> None:
    """One round over all unfinished changes and requests. Idempotent.

    Silence is judged by the time of the messages read so far (``mpm.servers.reading``): an unread
    answer is neither silence nor a reason to repeat a request.
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
    """Queue due changes; cancel those whose window has passed."""
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
    """How long to wait until a change is sent again: as long as it has waited so far, within
    bounds."""
    sent, since = change.dispatched_at, change.queued_at or change.requested_at
    return min(max(sent - since, REPEAT), LONGEST_PAUSE) if sent else REPEAT


def _last_sign(change: Change) -> datetime:
    """The time of the last message about the change or from its server."""
    moments = (change.heartbeat_at, change.server.last_seen_at, change.queued_at)
    return max((moment for moment in moments if moment is not None), default=change.requested_at)


def _needs_request(change: Change) -> bool:
    return change.asked_at is None or change.asked_at <= _last_sign(change)


def _note_request(change: Change, now: datetime, read: datetime) -> None:
    """Record the first request to the server since its last message. (In a full queue, requests are
    waiting.) After an outage of the panel, the first round only sends requests."""
    if _needs_request(change) and read - _last_sign(change) >= REPEAT:
        change.asked_at = now
        Change.objects.filter(pk=change.pk).update(asked_at=now)


def _notice_silence(change: Change, now: datetime, read: datetime) -> None:
    """Record that the agent is offline, once, after a request that it had time to answer.
    mark_seen() clears it."""
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
    if now - read < SLACK:  # else the answers may be among the unread messages
        lost = pending.filter(requested_at__lt=read - REPEAT)
        for preview in lost.select_related("server")[:50]:
            resend_preview(preview)
    Preview.objects.filter(requested_at__lt=now - timedelta(days=7), changes=None).delete()


def ping_all(now: datetime | None = None) -> None:
    """Ping every agent that was not seen recently. Not while the panel is behind with reading:
    their answers would delay it further."""
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
    """Scan every server, so that external changes are found within a minute. Not while answers of
    the last round are unread."""
    now = now or timezone.now()
    if now - read_until(now) > timedelta(seconds=settings.RESCAN_SECONDS):
        return
    digests = dict(Server.objects.filter(active=True).values_list("name", "particulars__digest"))
    for name, length in backlogs(digests).items():
        if length < FULL_QUEUE:
            request_scan(name, digests[name])


def recover(change: Change, actor: Actor, *, close: bool = False) -> Change:
    """Help a change that seems stuck. Always audited; no state needs a shell or SQL.

    It requests everything from the agent again. With ``close`` it also ends, as failed, a change
    whose agent is offline, so that the server is free for another; this undoes nothing the agent
    did or will do, which is recorded in the history when it is online again. Raises NotAllowed, and
    Refused if the change has ended or its agent is online.
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

"""Scans and previews: stores a server's answers about its state and its plans."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from easyapache.ea4.mpm import Choice
from easyapache.ea4.opinion import Opinion
from easyapache.ea4.package_metadata import Particulars
from easyapache.ea4.plan import plan_from_transaction
from easyapache.ea4.profile import Profile, Transaction
from easyapache.ea4.protocol import Failure
from easyapache.ea4.relations import load_catalogue
from easyapache.ea4.schema import BadMessage
from mpm.access.services.actor import agent_of
from mpm.changes.models.change import Origin
from mpm.changes.services.outside import ours, outside_change
from mpm.changes.services.record import mark_seen
from mpm.history.services.events import append
from mpm.models import ACTIVE_STATES, Change, Preview
from mpm.servers.inventory import (
    Movement,
    record_memory,
    record_particulars,
    record_peak,
    record_scan,
)
from mpm.servers.looks import request_number, request_time
from mpm.servers.models import Server

ANSWER_WITHIN = timedelta(hours=1)
"""The result of an older request is outdated."""


def record_inspection(
    server: str,
    request: str,
    profile: Profile | None = None,
    error: Failure | None = None,
) -> Change | None:
    """Store the result of a scan. Returns the external change it revealed, if any.

    A scan during a change of the panel shows neither the old nor the new state and is skipped: the
    change's last report has the state at its end.
    """
    now = timezone.now()
    with transaction.atomic():
        row = Server.objects.select_for_update().filter(name=server).first()
        if row is None:
            return None
        mark_seen(server, now)
        requested = request_time(request)
        if now - requested > ANSWER_WITHIN:
            raise BadMessage("the answer to an expired request")
        if error is not None or profile is None:
            _note_error(row, error.as_json() if error else {})
            return None
        if _disturbed(row, requested):
            return None
        scan = record_scan(row, profile, now, "scan")
        record_peak(row, profile, now)
        record_memory(row, profile, now)
        _note_error(row, None)
        if scan.movement is None:
            return None
        if not scan.movement.significant or ours(row, scan.movement):
            _record_update(row, scan.movement, now)
            return None
        return outside_change(row, scan.movement, now)


def note_particulars(server: str, particulars: Particulars) -> None:
    """Store an agent's package metadata."""
    now = timezone.now()
    with transaction.atomic():
        row = Server.objects.select_for_update().filter(name=server).first()
        if row is not None:
            mark_seen(server, now)
            record_particulars(row, particulars, now)


def _note_error(server: Server, error: dict[str, Any] | None) -> None:
    """The last scan's error is stored with the agent's data, until a scan succeeds."""
    agent = {key: value for key, value in server.agent.items() if key != "scan_error"}
    if error is not None:
        agent["scan_error"] = error
    if agent != server.agent:
        Server.objects.filter(pk=server.pk).update(agent=agent)


def _disturbed(server: Server, requested: datetime) -> bool:
    ours = server.changes.exclude(origin=Origin.OUTSIDE)
    at_work = ours.filter(state__in=ACTIVE_STATES).exclude(dispatched_at=None)
    return at_work.exists() or ours.filter(finished_at__gte=requested).exists()


def _record_update(server: Server, movement: Movement, at: datetime) -> None:
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


def record_preview(
    server: str,
    preview: str,
    moves: Transaction | None = None,
    error: Failure | None = None,
    profile: Profile | None = None,
    opinion: Opinion | None = None,
) -> Preview | None:
    """Store the server's answer to a preview, once. Returns the preview if this was its answer.
    ``moves``: the transaction of its package manager. ``opinion``: what its WHM said to the same
    question, where it was asked.

    The plan is made from the profile sent with the answer, against which it was resolved; if the
    server has changed since, confirming reports that.
    """
    row = Preview.objects.filter(uuid=preview, server__name=server).first()
    if row is None or row.state != Preview.State.PENDING:
        return None
    now = timezone.now()
    fields: dict[str, Any]
    if error is not None or moves is None:
        failure = error or Failure("no_answer", "No answer.")
        fields = {"state": Preview.State.FAILED, "error": failure.as_json()}
    else:
        seen = profile or row.server.profile
        if seen is None:
            return None
        plan = plan_from_transaction(
            seen, Choice.from_json(row.choice), moves, load_catalogue(), opinion
        )
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
        mark_seen(server, now)
    if profile is not None and error is None:
        record_inspection(server, request_number(row.requested_at), profile)
    row.refresh_from_db()
    return row

"""Checks messages of agents for plausibility: contents, amounts, and whether they were
requested."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from easyapache.ea4.plan import Plan
from easyapache.ea4.profile import Package, Profile
from easyapache.ea4.protocol import CHANGE_ID, Report
from mpm.access.services.actor import Actor
from mpm.history.services.events import append
from mpm.history.unrequested import CONTRADICTED, TOO_MANY, UNREQUESTED
from mpm.models import Change, Event
from mpm.models import Report as ReportRow
from mpm.servers.models import Server

LONGEST_LOG = 64 * 1024 * 1024
"""Bytes of log kept of one change; a chatty one has a hundredth of it."""
MOST_REPORTS = 5000
MOST_AN_HOUR = 20
"""The most external or unrequested changes recorded per server and hour."""


def unexpected(change: Change, seen: Profile) -> tuple[tuple[Package, ...], tuple[Package, ...]]:
    """Packages added and missing at the end of ``change`` besides the confirmed ones."""
    plan = Plan.from_json(change.plan)
    confirmed = {item.package for item in (*plan.keep, *plan.install)}
    now = set(seen.packages)
    return tuple(sorted(now - confirmed)), tuple(sorted(confirmed - now))


def confirmed_profile(change: Change, seen: Profile) -> Profile:
    """What the server would be had only the confirmed packages moved."""
    plan = Plan.from_json(change.plan)
    packages = sorted(item.package for item in (*plan.keep, *plan.install))
    return Profile(tuple(packages), seen.configured, seen.running, seen.facts)


def note_contradiction(change: Change, report: Report, now: datetime, agent: Actor) -> None:
    """Record a report that differs from the known one, once for each change."""
    row = ReportRow.objects.filter(change=change, seq=report.seq).first()
    if row is None or (row.kind, row.data) == (report.kind, dict(report.data)):
        return
    if Event.objects.filter(change=change, kind=CONTRADICTED).exists():
        return
    append(
        CONTRADICTED,
        now,
        server_name=change.server_name,
        change=change,
        actor=agent,
        data={"seq": report.seq, "kind": report.kind[:40]},
    )


def note_unrequested(server: str, uuid: str, now: datetime, agent: Actor) -> None:
    """Record a report on a change that this panel did not request, once for each, within a
    limit."""
    if not CHANGE_ID.match(uuid):
        return
    with transaction.atomic():
        if not Server.objects.select_for_update().filter(name=server).exists():
            return
        recorded = Event.objects.filter(server_name=server, kind=UNREQUESTED)
        if recorded.filter(data__change=uuid).exists() or _many(recorded, now):
            return
        append(UNREQUESTED, now, server_name=server, actor=agent, data={"change": uuid})


def one_too_many(server: str, now: datetime, agent: Actor) -> bool:
    """Whether a server has more external changes than the hourly limit; recorded once an hour."""
    lately = Change.objects.filter(
        server_name=server, origin="outside", requested_at__gt=now - timedelta(hours=1)
    )
    if lately.count() < MOST_AN_HOUR:
        return False
    recorded = Event.objects.filter(server_name=server, kind=TOO_MANY)
    if not recorded.filter(at__gt=now - timedelta(hours=1)).exists():
        append(TOO_MANY, now, server_name=server, actor=agent, data={"most": MOST_AN_HOUR})
    return True


def _many(events: Any, now: datetime) -> bool:
    return bool(events.filter(at__gt=now - timedelta(hours=1)).count() >= MOST_AN_HOUR)

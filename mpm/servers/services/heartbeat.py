"""Records heartbeats of agents: the most frequent message, and the cheapest."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Exists, OuterRef
from django.utils import timezone

from mpm.changes.services.record import mark_seen
from mpm.history.services.text_checks import storable
from mpm.models import ACTIVE_STATES, Change
from mpm.servers.models import Pulse, Server
from mpm.servers.reading import sent_at

AT_MOST_EVERY, SIGN_EVERY = timedelta(seconds=1), timedelta(seconds=5)
_lived: list[datetime] = []
"""When this process last wrote down that it lives."""


def record_heartbeat(
    server: str, agent: str, capabilities: Mapping[str, Any], at: object = None
) -> None:
    """Record that the agent is online, with its host's capabilities. ``at`` is its time (ISO 8601).

    One without news is one UPDATE, and none if another was just recorded.
    """
    now = timezone.now()
    _sign_of_life(now)
    silent = Change.objects.filter(
        server=OuterRef("pk"), state__in=ACTIVE_STATES, silent_since__isnull=False
    )
    row = Server.objects.filter(name=server).annotate(silent=Exists(silent)).first()
    if row is None:
        return
    fields: dict[str, Any] = {}
    agent_info = storable({"version": agent, "capabilities": dict(capabilities)})
    kept = {key: value for key, value in row.agent.items() if key == "scan_error"}
    if row.agent != {**agent_info, **kept}:
        fields["agent"] = {**agent_info, **kept}
    seen = sent_at(now, at)
    if row.last_seen_at is None or seen - row.last_seen_at > AT_MOST_EVERY:
        fields["last_seen_at"] = seen
    if fields:
        Server.objects.filter(pk=row.pk).update(**fields)
    if row.silent:
        mark_seen(server, now)


def _sign_of_life(now: datetime) -> None:
    """The control worker works. Every heartbeat shows that; some of them are written down."""
    if _lived and timedelta() <= now - _lived[0] < SIGN_EVERY:
        return
    _lived[:] = [now]
    Pulse.beat("control", now)

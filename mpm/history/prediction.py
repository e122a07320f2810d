"""The expected visitor impact, from earlier changes on the same server."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Q
from django.utils.formats import number_format

from easyapache.ea4.plan import Plan
from easyapache.ea4.sentences import with_sentences
from mpm.changes.incomplete import PAST_THE_POINT
from mpm.changes.models.change import Origin
from mpm.models import Change, State
from mpm.servers.models import Server

DOWN = "httpd_down"
"""The condition of a server on which no httpd runs (``easyapache.ea4.conditions``)."""

LOOKED_AT = 20


@dataclass(frozen=True, slots=True)
class Prediction:
    """``changes``: the number of changes it is based on, with any outcome. ``smooth``: those that
    refused no connection. ``restored`` failed and were rolled back automatically, ``failed`` could
    not be undone.

    ``seconds`` is the median time from the first step to the last, between ``fastest`` and
    ``slowest``. ``method`` and ``why`` are the agent's current restart method and its reason.
    """

    changes: int
    smooth: int
    restored: int
    failed: int
    refused: int
    longest_wait_ms: float
    seconds: float
    fastest: float
    slowest: float
    method: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class _Past:
    """One earlier change: its figures where its restart was measured."""

    state: str
    refused: int | None
    longest_wait_ms: float | None
    started_at: datetime | None
    finished_at: datetime | None
    method: str | None

    @property
    def seconds(self) -> float | None:
        if self.started_at is None or self.finished_at is None:
            return None
        return (self.finished_at - self.started_at).total_seconds()


def predicted(server: Server, plan: Plan | None = None) -> Prediction:
    """From the last changes of this server that replaced httpd the same way, however they ended:
    one that failed is what a prediction is for. ``plan``: of the change to come."""
    restart = restart_of(server, plan)
    method = str(restart.get("method", ""))
    touched = Q(state=State.SUCCEEDED, refused__isnull=False) | Q(
        state__in=(State.RESTORED, State.FAILED), step__in=PAST_THE_POINT
    )
    rows = (
        Change.objects.filter(touched, server=server)
        .exclude(origin=Origin.OUTSIDE)
        .order_by("-pk")
        .values_list(
            "state",
            "refused",
            "longest_wait_ms",
            "started_at",
            "finished_at",
            "interruption__method",
        )[: LOOKED_AT * 3]
    )
    # One that ended before its restart has no method, but still counts.
    past = [
        one
        for one in (_Past(*row) for row in rows)
        if not method or one.method in (method, None, "")
    ]
    past = past[:LOOKED_AT]
    times = sorted(one.seconds for one in past if one.seconds is not None)
    return Prediction(
        changes=len(past),
        smooth=sum(one.refused == 0 and one.state != State.FAILED for one in past),
        restored=sum(one.state == State.RESTORED for one in past),
        failed=sum(one.state == State.FAILED for one in past),
        refused=max((one.refused or 0 for one in past), default=0),
        longest_wait_ms=max((one.longest_wait_ms or 0.0 for one in past), default=0.0),
        seconds=times[len(times) // 2] if times else 0.0,
        fastest=times[0] if times else 0.0,
        slowest=times[-1] if times else 0.0,
        method=method,
        why=restart.get("reason") or "",
    )


def usual_time(prediction: Prediction) -> str:
    """``2–9 s``, one figure where the shortest and the longest are the same, "" where no change
    was measured yet."""
    if not prediction.changes or not prediction.slowest:
        return ""
    fastest, slowest = (
        number_format(seconds, 1 if seconds < 10 else 0, force_grouping=False)
        for seconds in (prediction.fastest, prediction.slowest)
    )
    return f"{slowest} s" if fastest == slowest else f"{fastest}–{slowest} s"


def restart_of(server: Server, plan: Plan | None = None) -> dict[str, Any]:
    """The agent's own words on how it would replace httpd: {method, reason}, or {}. Where ``plan``
    finds that none runs, it is started, whatever the agent would do else."""
    if plan is not None and any(one.code == DOWN for one in plan.findings):
        return {"method": "start", "reason": ""}
    capabilities = server.agent.get("capabilities")
    if not isinstance(capabilities, dict):
        return {}
    restart = capabilities.get("restart")
    if isinstance(restart, dict):
        return restart
    data = with_sentences(capabilities)
    return {"method": data.get("restart_method", ""), "reason": data.get("restart_reason", "")}

"""The figures of ``/metrics``, made from the database and the broker at each scrape.

Nothing is counted in a process: all web processes show the same, and a restart loses nothing.
Figures of the history are of its last day, so that they cost the same whether it holds a thousand
changes or a million.
"""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Min, OuterRef, Q, Subquery, Sum
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from easyapache.celery import TICKS_QUEUE
from easyapache.ea4.protocol import CONTROL_QUEUE, Step
from mpm.models import Change, Delivery, Report, State
from mpm.servers.agents import messages_waiting
from mpm.servers.health import State as Health
from mpm.servers.health import health_of, with_health
from mpm.servers.models import InstalledProfile, Pulse, Server
from mpm.web.background_parts import DROPPED

PREFIX = "ea4_mpm"
DAY = timedelta(days=1)
LATEST_CHANGES = 200
"""Steps are timed by so many of the latest changes."""
PARTS = ("control", "beat")
MPMS = ("event", "worker", "prefork", "unknown")
ENDED = (State.SUCCEEDED, State.RESTORED, State.NOT_STARTED, State.FAILED, State.CANCELED)


def registry(now: datetime) -> CollectorRegistry:
    found = CollectorRegistry(auto_describe=False)
    found.register(Figures(now))
    return found


class Figures(Collector):
    """``now``: what ages are counted from. About a dozen queries, and one question to the
    broker."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def collect(self) -> Iterator[Metric]:
        yield from self._servers()
        yield from self._changes()
        yield from self._steps()
        yield from self._parts()
        yield from self._webhooks()

    # -- servers -----------------------------------------------------------------------------

    def _servers(self) -> Iterator[Metric]:
        latest = InstalledProfile.objects.filter(server=OuterRef("pk")).order_by("-pk")
        rows = list(
            with_health(Server.objects.filter(active=True)).annotate(
                seen_running=Subquery(latest.values("running")[:1]),
                seen_configured=Subquery(latest.values("configured")[:1]),
            )
        )
        servers: Counter[tuple[str, str]] = Counter()
        problems: Counter[str] = Counter()
        silence = _gauge(
            "agent_silence_seconds", "Since the agent of a server was last heard.", "server"
        )
        for row in rows:
            health = health_of(row)
            servers[_mpm_of(row.seen_running, row.seen_configured), health.state.value] += 1
            problems.update(problem.code for problem in health.problems)
            if row.last_seen_at is not None:
                silence.add_metric([row.name], self._age(row.last_seen_at))
        counted = _gauge("servers", "Servers by MPM and health.", "mpm", "health")
        for mpm in MPMS:
            for state in Health:
                counted.add_metric([mpm, state.value], servers[mpm, state.value])
        yield counted
        found = _gauge("server_problems", "Problems of servers by their code.", "code")
        for code in sorted(problems):
            found.add_metric([code], problems[code])
        yield found
        yield silence

    # -- changes -----------------------------------------------------------------------------

    def _changes(self) -> Iterator[Metric]:
        counts = dict(Change.objects.order_by().values_list("state").annotate(count=Count("pk")))
        kept = _gauge("changes", "Changes in the history by state.", "state")
        for state in State:
            kept.add_metric([state.value], counts.get(state.value, 0))
        yield kept
        lately = Change.objects.filter(requested_at__gte=self.now - DAY).order_by()
        results = dict(lately.values_list("state").annotate(count=Count("pk")))
        ended = _gauge(
            "changes_last_day", "Changes requested in the last day by how they ended.", "result"
        )
        for state in ENDED:
            ended.add_metric([state.value], results.get(state.value, 0))
        yield ended
        refused = lately.aggregate(sum=Sum("refused"))["sum"] or 0
        yield _single(
            "visitors_refused_last_day",
            "Visitors whose connection was refused while an MPM was changed, in the last day.",
            refused,
        )
        ages = (
            Change.objects.aggregate(
                queued=Min("queued_at", filter=Q(state=State.QUEUED)),
                running=Min("started_at", filter=Q(state__in=[State.RUNNING, State.CANCELING])),
            )
            if counts.keys() & {State.QUEUED, State.RUNNING, State.CANCELING}
            else {}
        )
        yield _single(
            "queue_age_seconds",
            "Since the oldest change that waits for its agent was queued; 0 when none waits.",
            self._age(ages.get("queued")),
        )
        yield _single(
            "running_age_seconds",
            "Since the start of the oldest running change; 0 when none is.",
            self._age(ages.get("running")),
        )

    def _steps(self) -> Iterator[Metric]:
        latest = Change.objects.order_by("-id").values_list("id", "requested_at")[:LATEST_CHANGES]
        changes = [number for number, at in latest if at >= self.now - DAY]
        durations = step_durations(
            Report.objects.filter(change__in=changes, kind="step")
            .order_by("change_id", "seq")
            .values_list("change_id", "at", "data")
        )
        seconds = _gauge(
            "step_duration_seconds",
            f"Steps of the last day's changes (the latest {LATEST_CHANGES} at most).",
            "step",
            "quantile",
        )
        count = _gauge("steps_last_day", "How many of them were timed.", "step")
        for step in Step:
            values = durations.get(step.value, [])
            count.add_metric([step.value], len(values))
            if values:
                seconds.add_metric([step.value, "0.5"], statistics.median(values))
                seconds.add_metric([step.value, "0.95"], _within(values, 0.95))
                seconds.add_metric([step.value, "1"], max(values))
        yield seconds
        yield count

    # -- the panel itself --------------------------------------------------------------------

    def _parts(self) -> Iterator[Metric]:
        pulses = {pulse.name: pulse for pulse in Pulse.objects.filter(name__in=(*PARTS, DROPPED))}
        silence = _gauge(
            "part_silence_seconds",
            "Since the control worker and the scheduler (beat) were last heard.",
            "part",
        )
        for part in PARTS:
            if part in pulses:
                silence.add_metric([part], self._age(pulses[part].at))
        yield silence
        dropped = CounterMetricFamily(
            f"{PREFIX}_dropped_messages", "Messages that the control worker could not read."
        )
        dropped.add_metric([], pulses[DROPPED].count if DROPPED in pulses else 0)
        yield dropped
        waiting = messages_waiting((CONTROL_QUEUE, TICKS_QUEUE))
        yield _single("broker_up", "Whether the broker (Redis) answers.", waiting is not None)
        queues = _gauge("queue_messages", "Messages that wait in the broker.", "queue")
        for name, length in (waiting or {}).items():
            queues.add_metric([name], length)
        yield queues

    def _webhooks(self) -> Iterator[Metric]:
        lately = Delivery.objects.filter(created_at__gte=self.now - DAY).order_by()
        counts = dict(lately.values_list("state").annotate(count=Count("pk")))
        states = _gauge(
            "webhook_deliveries_last_day", "Webhook deliveries of the last day by state.", "state"
        )
        for state in Delivery.State:
            states.add_metric([state.value], counts.get(state.value, 0))
        yield states
        unsent = Delivery.objects.filter(state__in=["pending", "sending"]).order_by()
        oldest = unsent.aggregate(oldest=Min("created_at"))["oldest"]
        yield _single(
            "webhook_oldest_seconds",
            "Since the oldest event that a webhook hasn't received; 0 when there is none.",
            self._age(oldest),
        )

    def _age(self, at: datetime | None) -> float:
        return max(0.0, (self.now - at).total_seconds()) if at else 0.0


def step_durations(rows: Iterable[tuple[int, datetime, Any]]) -> dict[str, list[float]]:
    """Seconds from the start of each step to its end, by step, of reports in their order."""
    began: dict[tuple[int, str], datetime] = {}
    found: dict[str, list[float]] = defaultdict(list)
    for change, at, data in rows:
        step, status = str(data.get("step")), data.get("status")
        if status == "started":
            began[change, step] = at
        elif (start := began.pop((change, step), None)) is not None:
            found[step].append(max(0.0, (at - start).total_seconds()))
    return found


def _mpm_of(*observations: Any) -> str:
    """The running MPM, else the configured one; ``unknown`` if neither is one known MPM."""
    for seen in observations:
        mpms = seen.get("mpms") if isinstance(seen, dict) else None
        if mpms:
            return mpms[0] if len(mpms) == 1 and mpms[0] in MPMS else "unknown"
    return "unknown"


def _within(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def _gauge(name: str, about: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"{PREFIX}_{name}", about, labels=labels)


def _single(name: str, about: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"{PREFIX}_{name}", about, value=value)

"""A change and a plan with everything a program may want to know of them."""

from __future__ import annotations

from django.utils.translation import override

from easyapache.ea4.plan import Plan
from easyapache.ea4.sentences import plain
from mpm.changes.services.cancel import why_not_cancel
from mpm.changes.services.planning import profile_of
from mpm.changes.services.request import satisfied
from mpm.changes.services.rollback import why_not_roll_back
from mpm.history.prediction import Prediction, predicted
from mpm.history.story import observations_of, story, timeline
from mpm.models import Change
from mpm.schemas.change import ChangeDetail, Check, Evidence, StepReport, TimelineEntry
from mpm.schemas.plan import Plan as PlanSchema
from mpm.schemas.plan import PredictedInterruption
from mpm.servers.models import Server


def change_detail(change: Change) -> ChangeDetail:
    """``change`` with its steps, evidence, timeline and story, in English. Two queries."""
    with override("en"):
        return _detail(change)


def _detail(change: Change) -> ChangeDetail:
    reports = list(change.reports.order_by("seq"))
    return ChangeDetail.with_more(
        change,
        steps=[
            StepReport(
                step=str(report.data.get("step") or ""),
                status=str(report.data.get("status") or ""),
                at=report.at,
                detail=str(report.data.get("detail") or ""),
            )
            for report in reports
            if report.kind == "step"
        ],
        evidence=[
            Evidence(
                phase=str(report.data.get("phase") or "after"),
                checks=[Check.of(plain(dict(item))) for item in observations_of(report.data)],
            )
            for report in reports
            if report.kind == "evidence"
        ],
        timeline=[
            TimelineEntry(
                at=entry.at,
                kind=entry.kind,
                title=str(entry.title),
                detail=str(entry.detail),
                status=entry.status,
            )
            for entry in timeline(change, reports)
        ],
        story=story(change),
        why_not_cancel=why_not_cancel(change),
        why_not_roll_back=why_not_roll_back(change),
    )


def plan_of_server(server: Server, plan: Plan, preview: str | None = None) -> PlanSchema:
    """``plan`` for ``server``; ``preview``: the id under which the server itself made it."""
    return PlanSchema.of(
        plan,
        server=server.name,
        satisfied=satisfied(plan, profile_of(server)),
        predicted=_expected(predicted(server, plan)),
        id=preview,
    )


def _expected(prediction: Prediction) -> PredictedInterruption | None:
    if not prediction.changes and not prediction.method:
        return None
    measured = prediction.changes > 0
    return PredictedInterruption(
        samples=prediction.changes,
        refused=prediction.refused if measured else None,
        longest_wait_ms=prediction.longest_wait_ms if measured else None,
        seconds=prediction.seconds if measured else None,
        fastest=prediction.fastest if measured else None,
        slowest=prediction.slowest if measured else None,
        smooth=prediction.smooth,
        restored=prediction.restored,
        failed=prediction.failed,
        method=prediction.method,
        why=str(prediction.why),
    )

"""What an agent would tell of a change, for tests that need no agent."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from easyapache.ea4.mpm import Choice
from easyapache.ea4.profile import Observation, Profile
from easyapache.ea4.protocol import Report
from mpm.access.services.actor import Actor
from mpm.changes.services.planning import plan_for
from mpm.changes.services.record import record_reports
from mpm.changes.services.request import request_change
from mpm.models import Change
from mpm.servers.looks import request_number
from mpm.servers.models import Server
from mpm.servers.services.inspection import record_inspection

EVENT, PREFORK = Choice.parse("event"), Choice.parse("prefork")
ADMIN = Actor(name="anna", role="administrator", request_id="req-1")


def report(seq: int, kind: str, **data: Any) -> Report:
    return Report(seq, timezone.now().isoformat(), kind, data)


def step(seq: int, name: str, status: str = "started") -> Report:
    return report(seq, "step", step=name, status=status, detail="")


def outcome(seq: int, result: str, profile: Profile | None = None, **data: Any) -> Report:
    return report(
        seq,
        "outcome",
        outcome=result,
        decided_by=data.get("decided_by", "verify"),
        sentence=data.get("sentence", f"It {result}."),
        profile=profile.as_json() if profile else None,
    )


def after(change: Change) -> Profile:
    """The profile a server shows when the plan of ``change`` was carried out."""
    from easyapache.ea4.plan import Plan

    plan = Plan.from_json(change.plan)
    seen = Observation((change.to_mpm,), change.to_itk)
    packages = sorted(item.package for item in (*plan.keep, *plan.install))
    return Profile(packages=tuple(packages), configured=seen, running=seen)


def carried_out(server: Server, choice: Choice, **values: Any) -> Change:
    """A change that was asked for and succeeded."""
    change = request_change(server, choice, actor=ADMIN, **values)
    return finish(change)


def finish(change: Change, result: str = "succeeded") -> Change:
    change.refresh_from_db()
    profile = after(change) if result == "succeeded" else change.server.profile
    record_reports(
        change.server_name, change.uuid, [step(1, "preflight"), outcome(2, result, profile)]
    )
    change.refresh_from_db()
    return change


def outside_change(server: Server, choice: Choice | None = None, **recorded: Any) -> Change:
    """What a scan makes of somebody's own ``dnf swap``: of web01's stock profile to worker, or
    to ``choice``. ``said`` is what the package manager remembers of it besides."""
    before = server.profile
    assert before is not None
    plan = plan_for(server, choice or Choice.parse("worker"))
    packages = sorted(item.package for item in (*plan.keep, *plan.install))
    seen = Observation((plan.choice.mpm.value,), plan.choice.itk)
    remembered = {"id": 7, "user": "root", "command": "dnf swap", "at": "2026-03-03T21:04:00+00:00"}
    moved = replace(
        before,
        packages=tuple(packages),
        configured=seen,
        running=seen,
        facts={**before.facts, "last_transaction": {**remembered, **recorded}},
    )
    number = request_number(timezone.now())
    found = record_inspection(server.name, number, moved)
    assert found is not None
    return found


def piece(data: bytes) -> str:
    return base64.b64encode(data).decode()


def sql(statement: str) -> None:
    """What somebody does who goes around the panel."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)

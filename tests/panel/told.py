"""What an agent would tell of a change, for tests that need no agent."""

from __future__ import annotations

import base64
from typing import Any

from django.utils import timezone

from easyapache.models import Server
from easyapache.profile import Observation, Profile
from mpm import services
from mpm.catalog import Choice
from mpm.models import Change
from mpm.services.actor import Actor

ADMIN = Actor(name="anna", role="administrator", request_id="req-1")


def report(seq: int, kind: str, **data: Any) -> dict[str, Any]:
    return {"seq": seq, "at": timezone.now().isoformat(), "kind": kind, "data": data}


def step(seq: int, name: str, status: str = "started") -> dict[str, Any]:
    return report(seq, "step", step=name, status=status, detail="")


def outcome(seq: int, result: str, profile: Profile | None = None, **data: Any) -> dict[str, Any]:
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
    from mpm.plan import Plan

    plan = Plan.from_json(change.plan)
    seen = Observation((change.to_mpm,), change.to_itk)
    packages = sorted(item.package for item in (*plan.keep, *plan.install))
    return Profile(packages=tuple(packages), configured=seen, running=seen)


def carried_out(server: Server, choice: Choice, **values: Any) -> Change:
    """A change that was asked for and succeeded."""
    change = services.request_change(server, choice, actor=ADMIN, **values)
    return finish(change)


def finish(change: Change, result: str = "succeeded") -> Change:
    change.refresh_from_db()
    profile = after(change) if result == "succeeded" else change.server.profile
    services.record_reports(
        change.server_name, change.uuid, [step(1, "preflight"), outcome(2, result, profile)]
    )
    change.refresh_from_db()
    return change


def piece(data: bytes) -> str:
    return base64.b64encode(data).decode()

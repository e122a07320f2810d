"""What visitors would notice, going by what they noticed before on the same server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from easyapache.models import Server
from easyapache.sentences import spoken
from mpm.models import Change, State

LOOKED_AT = 20


@dataclass(frozen=True, slots=True)
class Prediction:
    """``changes``: how many measured ones it rests on; 0 when there are none yet.

    ``method`` and ``why`` are what the agent says it would do to replace the running httpd.
    """

    changes: int
    refused: int
    longest_wait_ms: float
    seconds: float
    method: str = ""
    why: str = ""


def predicted(server: Server) -> Prediction:
    """From the last measured changes of this server: the worst of each figure, and the median
    time from the first step to the last."""
    restart = restart_of(server)
    measured = list(
        Change.objects.filter(server=server, state=State.SUCCEEDED, refused__isnull=False)
        .order_by("-pk")
        .values_list("refused", "longest_wait_ms", "started_at", "finished_at")[:LOOKED_AT]
    )
    times = sorted((end - start).total_seconds() for _, _, start, end in measured if start and end)
    return Prediction(
        changes=len(measured),
        refused=max((refused or 0 for refused, *_ in measured), default=0),
        longest_wait_ms=max((wait or 0.0 for _, wait, *_ in measured), default=0.0),
        seconds=times[len(times) // 2] if times else 0.0,
        method=str(restart.get("method", "")),
        why=restart.get("reason") or "",
    )


def restart_of(server: Server) -> dict[str, Any]:
    """The agent's own words on how it would replace httpd: {method, reason}, or {}."""
    capabilities = server.agent.get("capabilities")
    if not isinstance(capabilities, dict):
        return {}
    restart = capabilities.get("restart")
    if isinstance(restart, dict):
        return restart
    said = spoken(capabilities)
    return {"method": said.get("restart_method", ""), "reason": said.get("restart_reason", "")}

"""Renamed codes. Sealed data keeps the old one: it is compared, found and shown as the new one.
Pure.

Earlier versions used *failed* also if nothing was changed; the other sealed data of the event shows
which of the two it was (mpm.changes.lifecycle.end_of).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from easyapache.ea4.conditions import BY_CODE
from easyapache.ea4.conditions.renamed import RENAMED, code_of
from easyapache.ea4.protocol import Step
from easyapache.ea4.sentences import WORDS
from mpm.changes.lifecycle import FAILED, end_of, past_the_point

STATES: Mapping[str, str] = {
    "requested": "scheduled",
    "rolled_back": "restored",
    "cancelled": "canceled",
}
"""States of a change, old → new."""

KINDS: Mapping[str, str] = {
    "change.requested": "change.scheduled",
    "change.rolled_back": "change.restored",
    "change.cancelled": "change.canceled",
    "change.told_later": "change.late_report",
    "change.outside": "change.external",
    "change.adopted": "change.accepted",
    "preview.asked": "preview.requested",
    "server.added": "server.created",
    "server.altered": "server.updated",
    "server.repair_asked": "server.repair_requested",
    "token.made": "token.created",
    "webhook.made": "webhook.created",
    "webhook.changed": "webhook.updated",
    "webhook.removed": "webhook.deleted",
    "webhook.sent_again": "webhook.redelivered",
    "user.added": "user.created",
    "user.activated": "user.enabled",
    "user.deactivated": "user.disabled",
}
"""Kinds of events, old → new."""

CONDITIONS: Mapping[str, str] = RENAMED
"""Codes of conditions, old → new."""

BEFORE_THE_POINT = ("", *(step.value for step in Step if not past_the_point(step.value)))
_OUTCOME = "outcome"


def spellings(*kinds: str) -> tuple[str, ...]:
    """``kinds``, and the names under which events of them may have been sealed before."""
    return (*kinds, *(old for old, new in KINDS.items() if new in kinds))


def kind_of(kind: str, data: Mapping[str, Any]) -> str:
    """The kind of an event in current codes, from the sealed one."""
    if kind == f"change.{FAILED}":
        return f"change.{_outcome(FAILED, data)}"
    return KINDS.get(kind, kind)


def data_of(data: Mapping[str, Any]) -> dict[str, Any]:
    """What an event holds, its outcome in today's codes."""
    if not isinstance(data.get(_OUTCOME), str):
        return dict(data)
    return {**data, _OUTCOME: _outcome(data[_OUTCOME], data)}


def _outcome(outcome: str, data: Mapping[str, Any]) -> str:
    step, decided_by = data.get("step"), data.get("decided_by")
    if outcome == FAILED and step in BEFORE_THE_POINT and isinstance(decided_by, str):
        return end_of(outcome, str(step), decided_by)
    return STATES.get(outcome, outcome)


def findings_of(reported: Iterable[Any]) -> list[dict[str, Any]]:
    """``finding_of`` each, of what a change keeps as its diagnosis."""
    return [finding_of(item) for item in reported if isinstance(item, Mapping)]


def finding_of(data: Mapping[str, Any]) -> dict[str, Any]:
    """A finding reported by an agent, with the current code, title and remedy of its condition; its
    evidence is unchanged."""
    condition = BY_CODE.get(code_of(str(data.get("code"))))
    if condition is None:
        return dict(data)
    present = {**data, "code": condition.code, "severity": condition.severity.value}
    words = data.get(WORDS)
    for name, template in (("title", condition.title), ("remedy", condition.remedy)):
        if "{" in template:
            continue
        present[name] = template
        if isinstance(words, Mapping):
            words = {key: value for key, value in words.items() if key != name}
    if words:
        present[WORDS] = words
    else:
        present.pop(WORDS, None)
    return present

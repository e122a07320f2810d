"""Rules about facts that the panel knows and that are in no profile."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from easyapache.ea4.rules.findings import Finding, RuleFunction, Situation, finding
from easyapache.ea4.sentences import Sentence

PANEL_CODES = frozenset({"incomplete_change", "agent_offline"})


def panel_findings(facts: Mapping[str, Any]) -> Iterator[Finding]:
    """Facts the panel knows that block a change of a server now. Evaluated on each use, also for
    earlier plans."""
    number = facts.get("incomplete_change")
    if number:
        # A plan from such a state may lead further away from the one that worked.
        yield finding(
            "incomplete_change", Sentence("Change #{number} didn't finish.", number=number)
        )
    if facts.get("agent_offline"):
        yield finding("agent_offline")


def panel_conditions(situation: Situation) -> Iterator[Finding]:
    yield from panel_findings(situation.facts)


PANEL_RULES: tuple[RuleFunction, ...] = (panel_conditions,)

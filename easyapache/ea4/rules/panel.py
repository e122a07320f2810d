"""Rules about what the panel itself knows of a server, and no profile can say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from easyapache.ea4.rules.findings import Finding, RuleFunction, Situation, finding
from easyapache.ea4.sentences import Sentence

PANEL_CODES = frozenset({"incomplete_change", "agent_offline"})


def panel_findings(facts: Mapping[str, Any]) -> Iterator[Finding]:
    """What the panel itself knows of a server that must not be changed now. It holds whenever it
    is asked, also of a plan that was made before."""
    number = facts.get("incomplete_change")
    if number:
        # Whatever is planned from such a state may lead further away from the one that worked.
        yield finding(
            "incomplete_change", Sentence("Change #{number} didn't finish.", number=number)
        )
    if facts.get("agent_offline"):
        yield finding("agent_offline")


def panel_conditions(situation: Situation) -> Iterator[Finding]:
    yield from panel_findings(situation.facts)


PANEL_RULES: tuple[RuleFunction, ...] = (panel_conditions,)

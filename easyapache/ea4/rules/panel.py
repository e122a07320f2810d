"""Rules about what the panel itself knows of a server, and no profile can say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from easyapache.ea4.rules.findings import Finding, RuleFunction, Severity, Situation
from easyapache.ea4.sentences import Sentence

PANEL_CODES = frozenset({"incomplete_change", "agent_offline"})


def panel_findings(facts: Mapping[str, Any]) -> Iterator[Finding]:
    """What the panel itself knows of a server that must not be changed now. It holds whenever it
    is asked, also of a plan that was made before."""
    number = facts.get("incomplete_change")
    if number:
        # Whatever is planned from such a state may lead further away from the one that worked.
        yield Finding(
            code="incomplete_change",
            severity=Severity.BLOCK,
            title=Sentence("Change #{number} didn't finish", number=number),
            message=Sentence(
                "It failed and couldn't be undone, so this server is in an unknown state. Apache "
                "may be down."
            ),
            remedy=Sentence("Open Diagnostics and undo the incomplete change first."),
        )
    if facts.get("agent_offline"):
        yield Finding(
            code="agent_offline",
            severity=Severity.WARN,
            title=Sentence("The agent is offline"),
            message=Sentence(
                "This server doesn't answer the panel. A change starts when the agent is back, "
                "which may be hours from now, and can't be watched until then."
            ),
            remedy=Sentence("Start the agent on the server first, or set a maintenance window."),
        )


def known_to_the_panel(situation: Situation) -> Iterator[Finding]:
    yield from panel_findings(situation.facts)


PANEL_RULES: tuple[RuleFunction, ...] = (known_to_the_panel,)

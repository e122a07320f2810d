"""Every rule, in the order in which its findings are shown."""

from __future__ import annotations

from collections.abc import Iterable

from easyapache.ea4.conditions.condition import Severity
from easyapache.ea4.rules.choice import CHOICE_RULES
from easyapache.ea4.rules.findings import Finding, RuleFunction, Situation
from easyapache.ea4.rules.modules import MODULE_RULES
from easyapache.ea4.rules.packages import PACKAGE_RULES
from easyapache.ea4.rules.panel import PANEL_RULES
from easyapache.ea4.rules.server import SERVER_RULES

RULES: tuple[RuleFunction, ...] = (
    *PANEL_RULES,
    *CHOICE_RULES,
    *SERVER_RULES,
    *PACKAGE_RULES,
    *MODULE_RULES,
)

_ORDER = {Severity.BLOCK: 0, Severity.WARN: 1, Severity.NOTE: 2, Severity.GAIN: 3}


def findings_for(situation: Situation) -> tuple[Finding, ...]:
    """The findings of all rules, most severe first; within a severity in the rules' order."""
    return in_order(finding for rule in RULES for finding in rule(situation))


def in_order(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Most severe first; within a severity in the given order."""
    return tuple(sorted(findings, key=lambda finding: _ORDER[finding.severity]))

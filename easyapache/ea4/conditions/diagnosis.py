"""Which conditions of the catalogue hold: by what programs wrote and by what a server shows.

Pure. Signatures are messages of Apache httpd 2.4, of dnf and rpm, and of mod_mpm_itk. An AH number
is httpd's own and the same in every language; the texts of dnf are those of LC_ALL=C.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from easyapache.ea4.conditions import BY_CODE, CATALOG
from easyapache.ea4.conditions.condition import Condition, Severity
from easyapache.ea4.conditions.httpd import HTTPD
from easyapache.ea4.conditions.renamed import code_of
from easyapache.ea4.profile import Profile
from easyapache.ea4.schema import Schema
from easyapache.ea4.sentences import Sentence, with_words

EXCERPT = 400
"""Characters of output in a diagnosis: enough for the relevant line and its number."""


@dataclass(frozen=True, slots=True)
class Diagnosis(Schema):
    """One condition that applies, with the text of the catalog. ``seen`` is the evidence;
    ``repair`` the code of a safe repair (see ``conditions.repairs``), or empty."""

    code: str
    severity: Severity
    title: str
    cause: str
    fix: str
    seen: str
    repair: str = ""

    def as_finding(self) -> dict[str, Any]:
        """In the shape of a report of kind ``finding``."""
        message = self.cause
        if self.seen:
            message = Sentence("{cause} Details: {seen}", cause=self.cause, seen=self.seen)
        data = {
            "code": self.code,
            "severity": self.severity.value,
            "title": self.title,
            "message": message,
            "remedy": self.fix,
            "repair": self.repair,
        }
        return with_words(data, "title", "message", "remedy")


def diagnose(output: str, profile: Profile | None = None) -> list[Diagnosis]:
    """Every condition in ``output`` and, where there is a profile, on that server.

    The most specific first; each at most once.
    """
    found = recognized(CATALOG, output, profile.names if profile else frozenset())
    if profile is not None:
        for condition in CATALOG:
            evidence = condition.seen(profile) if condition.seen else ""
            if evidence:
                found.setdefault(condition.code, evidence)
        for code, evidence in _by_the_agent(profile).items():
            found.setdefault(code, evidence)
    return [diagnosis_of(one.code, found[one.code]) for one in CATALOG if one.code in found]


def diagnosis_of(code: str, seen: str) -> Diagnosis:
    """A condition of the catalogue with its evidence. Raises KeyError for an unknown code."""
    one = BY_CODE[code]
    return Diagnosis(
        one.code,
        one.severity,
        one.title_for({}),
        one.text,
        one.remedy_for({}),
        seen,
        one.repair,
    )


def recognized(
    conditions: Iterable[Condition], text: str, installed: frozenset[str]
) -> dict[str, str]:
    """{code: the last line that identifies it} of the conditions in a text, on a server with these
    packages."""
    found: dict[str, str] = {}
    last_resort: dict[str, str] = {}
    for condition in conditions:
        more = (
            pattern
            for package, patterns in condition.beside.items()
            if package in installed
            for pattern in patterns
        )
        line = _last_match((*condition.patterns, *more), text)
        if line:
            (last_resort if condition.last_resort else found)[condition.code] = line
    return found or dict(list(last_resort.items())[:1])


def error_log_conditions(text: str, installed: frozenset[str], *, running: bool) -> dict[str, str]:
    """{code: line} of the conditions in httpd's own error log. For a running httpd only those of a
    running one count; for one that is down, all that could have ended it or prevented its start."""
    whole = {condition.code for condition in HTTPD} if not running else frozenset()
    counted = [item for item in CATALOG if item.under_load or item.code in whole]
    return recognized(counted, text, installed)


def _last_match(patterns: Iterable[str], text: str) -> str:
    for pattern in patterns:
        matches = list(re.finditer(pattern, text, re.IGNORECASE))
        if matches:
            start = text.rfind("\n", 0, matches[-1].start()) + 1
            end = text.find("\n", matches[-1].end())
            return text[start : end if end >= 0 else len(text)].strip()[:EXCERPT]
    return ""


def _by_the_agent(profile: Profile) -> Mapping[str, str]:
    """By an agent that may know other conditions than this panel does."""
    found = profile.facts.get("httpd_said")
    if not isinstance(found, Mapping):
        return {}
    return {code_of(code): str(line) for code, line in found.items() if code_of(code) in BY_CODE}

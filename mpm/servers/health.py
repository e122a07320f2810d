"""The health of a server: one answer for every page, the API and the command line.

A server is healthy if packages, configuration and running httpd have the same MPM, no package
transaction was interrupted, no change is incomplete, and its agent is online. Faults shown by a
profile (``easyapache.ea4.faults``) are stored with it; those that only the panel knows are
registered (``register``); ``health_of`` combines both, without a query for rows of ``with_health``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from django.db.models import OuterRef, QuerySet, Subquery
from django.db.models.expressions import Combinable
from django.utils import timezone

from easyapache.ea4.conditions import BY_CODE
from easyapache.ea4.profile import Profile
from easyapache.ea4.sentences import Sentence, ended
from mpm.servers.models import InstalledProfile, Pulse, Server
from mpm.servers.reading import READ, judged_at

SILENT_AFTER = timedelta(seconds=90)
"""Four pings of the panel: an agent that missed them all is away, not merely busy."""


class State(StrEnum):
    """From the best to the worst; ``unknown`` is a server that was never scanned."""

    HEALTHY = "healthy"
    UNKNOWN = "unknown"
    WARNING = "warning"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that keeps a server from being whole. ``code`` never changes once released;
    ``change``: the number of the change it is about."""

    code: str
    state: State
    sentence: str
    change: int | None = None

    def as_json(self) -> dict[str, Any]:
        return {
            "code": self.code,
            "state": self.state.value,
            "message": str(self.sentence),
            "change": self.change,
        }


@dataclass(frozen=True, slots=True)
class Health:
    """``problems``: the worst first. ``scanned``: whether the server was ever looked at."""

    problems: tuple[Problem, ...] = ()
    scanned: bool = True

    @property
    def state(self) -> State:
        if self.problems:
            return self.problems[0].state
        return State.HEALTHY if self.scanned else State.UNKNOWN

    @property
    def critical(self) -> bool:
        return self.state is State.CRITICAL

    @property
    def word(self) -> str:
        """In one or two words, for a dot, a tag and a screen reader."""
        return WORDS[self.state]

    @property
    def incomplete_change(self) -> int | None:
        """The number of the change that failed and could not be undone."""
        return next((item.change for item in self.problems if item.code == INCOMPLETE), None)

    def beside(self, profile: Profile) -> Profile:
        """``profile`` with the facts that only the panel knows, for the rules of a plan."""
        facts: dict[str, Any] = {}
        if self.incomplete_change is not None:
            facts["incomplete_change"] = self.incomplete_change
        if any(item.code == OFFLINE for item in self.problems):
            facts["agent_offline"] = True
        return replace(profile, facts={**profile.facts, **facts}) if facts else profile

    def as_json(self) -> dict[str, Any]:
        return {
            "state": self.state.value,
            "problems": [problem.as_json() for problem in self.problems],
        }


INCOMPLETE, OFFLINE = "incomplete_change", "agent_offline"
WORDS = {
    State.HEALTHY: Sentence("Healthy"),
    State.UNKNOWN: Sentence("Not checked yet"),
    State.WARNING: Sentence("Warning"),
    State.CRITICAL: Sentence("Needs attention"),
}


# -- what a product knows ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Source:
    """A source of health: a value for each row of Server, and its meaning.

    ``value`` makes an expression for a query whose rows have the name of the server at the given
    path; ``judge`` gets the result.
    """

    name: str
    value: Callable[[str], Combinable]
    judge: Callable[[Any], Problem | None]


_sources: dict[str, Source] = {}


def register(source: Source) -> None:
    _sources[source.name] = source


def with_health(servers: QuerySet[Server]) -> QuerySet[Server]:
    """These servers with all that ``health_of`` wants to know of them, in the same query."""
    latest = InstalledProfile.objects.filter(server=OuterRef("pk")).order_by("-pk")
    return servers.annotate(
        latest_faults=Subquery(latest.values("faults")[:1]),
        read_at=Subquery(Pulse.objects.filter(name=READ).values("at")[:1]),
        **source_values("name"),
    )


def source_values(server_name: str) -> dict[str, Any]:
    """The value of each source by its name, for rows with the server's name at ``server_name``."""
    return {source.name: source.value(server_name) for source in _sources.values()}


def health_of(server: Server) -> Health:
    """What keeps ``server`` from being whole. No query for one of ``with_health``, else one."""
    known = server
    if not hasattr(server, "latest_faults"):
        known = with_health(Server.objects.filter(pk=server.pk)).get()
    faults, read = getattr(known, "latest_faults", None), getattr(known, "read_at", None)
    return judged(server, faults, values_on(known), read)


def values_on(row: object) -> dict[str, Any]:
    """What a query has annotated with ``source_values``."""
    return {name: getattr(row, name, None) for name in _sources}


def judged(
    server: Server,
    faults: Iterable[str] | None,
    values: Mapping[str, Any],
    read: datetime | None = None,
) -> Health:
    """The same from known values: the latest profile's ``faults`` (None before the first scan), the
    value of each source by its name, and the time until which the panel has read the agents'
    messages (see mpm.servers.reading)."""
    found = [source.judge(values.get(name)) for name, source in _sources.items()]
    found += [
        Problem(code, State.CRITICAL, ended(BY_CODE[code].title))
        for code in faults or ()
        if code in BY_CODE
    ]
    if server.active and silent(server, judged_at(timezone.now(), read)):
        sentence = Sentence("The agent is offline. What this panel shows may be out of date.")
        found.append(Problem(OFFLINE, State.WARNING, sentence))
    problems = tuple(item for item in found if item is not None)
    return Health(problems, scanned=faults is not None)


def silent(server: Server, now: datetime) -> bool:
    """Whether an agent that was online before is offline now."""
    return server.last_seen_at is not None and now - server.last_seen_at >= SILENT_AFTER

"""One thing that can be wrong with a server or a change, or worth knowing before a change."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from easyapache.ea4.profile import Profile
from easyapache.ea4.sentences import Sentence


class Severity(StrEnum):
    """``block`` stops a change, ``warn`` calls for a decision, ``note`` informs, ``gain`` is an
    advantage. Shown as Blocker, Warning, Note and Benefit."""

    BLOCK = "block"
    WARN = "warn"
    NOTE = "note"
    GAIN = "gain"


class Place(StrEnum):
    """Where a condition can be shown."""

    PLAN = "plan"
    PREFLIGHT = "preflight"
    CHANGE = "change"
    DIAGNOSTICS = "diagnostics"
    HEALTH = "health"


@dataclass(frozen=True, slots=True)
class Condition:
    """``code`` never changes once released: scripts match on it. ``text`` is the general cause,
    ``remedy`` the recommended action, ``repair`` the code of a safe repair that fixes it, or "".

    ``title`` and ``remedy`` have placeholders, as in ``{names}``, only if the condition appears in
    plans alone.

    ``listed_in``: places that look the condition up by its code. ``seen``: returns the evidence of
    it in a profile, or "". ``patterns``: regular expressions for the output of dnf, rpm or httpd,
    any of which identifies it; ``beside``: more of them, by name of a package, that count only if
    it is installed. ``last_resort``: left out if something more specific was recognized.
    ``under_load``: a running httpd writes it into its error log.
    """

    code: str
    severity: Severity
    title: str
    text: str
    remedy: str = ""
    repair: str = ""
    listed_in: tuple[Place, ...] = ()
    seen: Callable[[Profile], str] | None = None
    patterns: tuple[str, ...] = ()
    last_resort: bool = False
    under_load: bool = False
    beside: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def places(self) -> tuple[Place, ...]:
        """Everywhere it can be shown, in the order of a change."""
        found = set(self.listed_in)
        if self.patterns or self.beside:
            found |= {Place.CHANGE, Place.DIAGNOSTICS}
        if self.seen is not None:
            found.add(Place.DIAGNOSTICS)
        return tuple(place for place in Place if place in found)

    def title_for(self, values: Mapping[str, str | int]) -> Sentence:
        """Raises KeyError when the title has a place for which there is no value."""
        return _filled(self.title, values)

    def remedy_for(self, values: Mapping[str, str | int]) -> Sentence:
        """Raises KeyError when the remedy has a place for which there is no value."""
        return _filled(self.remedy, values)


def _filled(template: str, values: Mapping[str, str | int]) -> Sentence:
    """With the values that the template has a place for, and no others."""
    return Sentence(template, **{k: v for k, v in values.items() if f"{{{k}}}" in template})


PLAN, PREFLIGHT, CHANGE = Place.PLAN, Place.PREFLIGHT, Place.CHANGE
DIAGNOSTICS, HEALTH = Place.DIAGNOSTICS, Place.HEALTH
BLOCK, WARN, NOTE, GAIN = Severity.BLOCK, Severity.WARN, Severity.NOTE, Severity.GAIN

SETTLE, START, RESTART = "settle-mpm", "start-httpd", "restart-httpd"
REINSTALL, ACCEPT, TAKE_BACK = "reinstall-files", "accept-packages", "take-back"
"""Codes of the safe repairs (``repairs.REPAIR_LABELS``)."""

"""What a plan shows of the catalogue of conditions, and what a rule is given to decide it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

from easyapache.ea4.conditions import BY_CODE
from easyapache.ea4.conditions.condition import Severity as Severity
from easyapache.ea4.mpm import Choice, installed, short
from easyapache.ea4.opinion import Opinion
from easyapache.ea4.profile import Observation, Profile, Transaction
from easyapache.ea4.relations import Entry, Scene
from easyapache.ea4.schema import Translatable
from easyapache.ea4.sentences import Sentence, ended, joined


@dataclass(frozen=True, slots=True)
class Fix(Translatable):
    """A remedy that is itself a choice: what to add to the choice or change in it."""

    SENTENCES: ClassVar = ("label",)
    label: str
    add: tuple[str, ...] = ()
    unkeep: tuple[str, ...] = ()
    mpm: str | None = None
    itk: bool | None = None


@dataclass(frozen=True, slots=True)
class Finding(Translatable):
    """A condition of the catalog that applies to a choice on a server (``finding``).

    ``code`` never changes once released: scripts match on it. ``message`` is the evidence and the
    general cause.
    """

    SENTENCES: ClassVar = ("title", "message", "remedy")
    code: str
    severity: Severity
    title: str
    message: str
    remedy: str = ""
    packages: tuple[str, ...] = ()
    fixes: tuple[Fix, ...] = field(default_factory=tuple)


def finding(
    code: str,
    evidence: str = "",
    *,
    packages: Iterable[str] = (),
    fixes: Iterable[Fix] = (),
    **values: str | int,
) -> Finding:
    """A condition of the catalog with its evidence. ``values``: for the placeholders in its title
    and remedy. Raises KeyError for a code that is not in the catalog."""
    condition = BY_CODE[code]
    return Finding(
        code=condition.code,
        severity=condition.severity,
        title=condition.title_for(values),
        message=joined(" ", [ended(evidence), condition.text]) if evidence else condition.text,
        remedy=condition.remedy_for(values),
        packages=tuple(packages),
        fixes=tuple(fixes),
    )


@dataclass(frozen=True)
class Situation:
    """The input of a rule: a server, a choice, and its effect on the server.

    ``change`` is empty when ``impossible`` has the reasons why there is no solution, and when the
    choice contradicts itself. Rules report; they never decide what is done.
    """

    profile: Profile
    choice: Choice
    scene: Scene
    change: Transaction
    impossible: tuple[str, ...] = ()
    opinion: Opinion | None = None
    """What the server's WHM would do, where it was asked."""

    @cached_property
    def before(self) -> frozenset[str]:
        return self.profile.names

    @cached_property
    def final(self) -> Mapping[str, Entry]:
        return self.scene.after(self.change)

    @cached_property
    def after(self) -> frozenset[str]:
        return frozenset(self.final)

    @cached_property
    def removed(self) -> frozenset[str]:
        """Names that are installed now and not afterwards; an update is not removed."""
        return self.before - self.after

    @cached_property
    def newly_installed(self) -> frozenset[str]:
        return self.after - self.before

    @cached_property
    def packages(self) -> Observation:
        """The MPMs and ITK among the packages installed now."""
        return installed(self.before)

    @cached_property
    def resolved(self) -> bool:
        """Whether there is a solution (``change``)."""
        return not self.impossible

    @property
    def facts(self) -> Mapping[str, Any]:
        return self.profile.facts

    def offering(self, capability: str, among: Iterable[str]) -> list[str]:
        """The names among ``among`` that provide ``capability``, sorted."""
        found = []
        for name in sorted(among):
            entry = self.final.get(name) or self.scene.describe(name)
            if entry and any(offer.name == capability for offer in entry.provides):
                found.append(name)
        return found


RuleFunction = Callable[[Situation], Iterable[Finding]]


def listing(names: Iterable[str], limit: int = 6) -> str:
    """Names for a sentence: ``mod_a, mod_b and 3 more``."""
    parts = [short(name) for name in sorted(names)]
    if len(parts) > limit:
        rest = len(parts) - limit + 1
        return Sentence("{names} and {count} more", names=", ".join(parts[: limit - 1]), count=rest)
    if len(parts) < 2:
        return "".join(parts)
    return Sentence("{names} and {last}", names=", ".join(parts[:-1]), last=parts[-1])

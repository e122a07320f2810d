"""What is allowed, and what a person ought to know before they allow it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any, ClassVar

from easyapache.ea4.mpm import Choice, installed, short
from easyapache.ea4.profile import Observation, Profile, Transaction
from easyapache.ea4.relations import Entry, Scene
from easyapache.ea4.schema import Spoken
from easyapache.ea4.sentences import Sentence


class Severity(StrEnum):
    """``block`` stops the change, ``warn`` asks for thought, ``note`` informs, ``gain`` pleases."""

    BLOCK = "block"
    WARN = "warn"
    NOTE = "note"
    GAIN = "gain"


@dataclass(frozen=True, slots=True)
class Fix(Spoken):
    """A way out of a finding that is itself a choice: what to add to it or alter in it."""

    SENTENCES: ClassVar = ("label",)
    label: str
    add: tuple[str, ...] = ()
    unkeep: tuple[str, ...] = ()
    mpm: str | None = None
    itk: bool | None = None


@dataclass(frozen=True, slots=True)
class Finding(Spoken):
    """One thing a rule has to say about a choice on a server.

    ``code`` never changes once released: scripts match on it.
    """

    SENTENCES: ClassVar = ("title", "message", "remedy")
    code: str
    severity: Severity
    title: str
    message: str
    remedy: str = ""
    packages: tuple[str, ...] = ()
    fixes: tuple[Fix, ...] = field(default_factory=tuple)


@dataclass(frozen=True)
class Situation:
    """Everything a rule may look at: a server, a choice, and what the choice would do there.

    ``change`` is empty when ``impossible`` holds sentences saying why there is no answer, and
    when the choice contradicts itself. Rules read; they never decide what is done.
    """

    profile: Profile
    choice: Choice
    scene: Scene
    change: Transaction
    impossible: tuple[str, ...] = ()

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
    def leaving(self) -> frozenset[str]:
        """Names that are there now and not afterwards; an update does not leave."""
        return self.before - self.after

    @cached_property
    def coming(self) -> frozenset[str]:
        return self.after - self.before

    @cached_property
    def packages(self) -> Observation:
        """The MPMs and ITK among the packages installed now."""
        return installed(self.before)

    @cached_property
    def answered(self) -> bool:
        """Whether ``change`` is an answer at all."""
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
    shown = [short(name) for name in sorted(names)]
    if len(shown) > limit:
        rest = len(shown) - limit + 1
        return Sentence("{names} and {count} more", names=", ".join(shown[: limit - 1]), count=rest)
    if len(shown) < 2:
        return "".join(shown)
    return Sentence("{names} and {last}", names=", ".join(shown[:-1]), last=shown[-1])

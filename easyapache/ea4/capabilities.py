"""A package and what it requires, provides and conflicts with, as defined by rpm."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, NamedTuple

from easyapache.ea4.profile import Package
from easyapache.ea4.versions import EVR, compare_evr, parse_evr


class Capability(NamedTuple):
    """A name, and for a relation with a version the comparison: ``ea-apr >= 1.7.0-1``."""

    name: str
    op: str = ""
    evr: EVR | None = None

    def __str__(self) -> str:
        return f"{self.name} {self.op} {self.evr}" if self.op else self.name


class BadRelation(ValueError):
    """A relation that is not ``name`` or ``name <op> version``."""


@lru_cache(maxsize=8192)
def parse_capability(text: str) -> Capability:
    """Read a relation as rpm prints it. Raises BadRelation."""
    parts = text.split()
    if len(parts) == 1:
        return Capability(parts[0])
    if len(parts) == 3 and parts[1] in ("<", "<=", "=", ">=", ">"):
        return Capability(parts[0], parts[1], parse_evr(parts[2]))
    raise BadRelation(f"{text!r} is not a relation between packages")


def meets(offer: Capability, wanted: Capability) -> bool:
    """Whether the offered capability satisfies a requirement (or, for a conflict, collides with
    it).

    A relation without a version is met by any version; one with a version is never met by an offer
    without one. Offers have a version with ``=`` only, as in rpm packages.
    """
    if offer.name != wanted.name:
        return False
    if wanted.evr is None:
        return True
    if offer.evr is None:
        return False
    order = compare_evr(offer.evr, wanted.evr)
    return (
        (order == 0 and wanted.op in ("=", "<=", ">="))
        or (order < 0 and wanted.op in ("<", "<="))
        or (order > 0 and wanted.op in (">", ">="))
    )


@dataclass(frozen=True, slots=True)
class Entry:
    """One package with its relations. ``provides`` includes its own name and version."""

    package: Package
    requires: tuple[Capability, ...] = ()
    conflicts: tuple[Capability, ...] = ()
    provides: tuple[Capability, ...] = ()
    conf: tuple[str, ...] = ()
    """The module files it drops into ``conf.modules.d``."""

    @property
    def name(self) -> str:
        return self.package.name

    def offers(self, wanted: Capability) -> bool:
        return any(meets(offer, wanted) for offer in self.provides)

    def conflicts_with(self, other: Entry) -> bool:
        """In either direction, as for rpm."""
        return any(other.offers(wanted) for wanted in self.conflicts) or any(
            self.offers(wanted) for wanted in other.conflicts
        )


def evr_of(package: Package) -> EVR:
    return EVR(package.epoch, package.version, package.release)


def entry_of(package: Package, data: Mapping[str, Any]) -> Entry:
    own = Capability(package.name, "=", evr_of(package))
    listed = [parse_capability(item) for item in data.get("provides", ())]
    return Entry(
        package=package,
        requires=tuple(dict.fromkeys(_readable(data.get("requires", ())))),
        conflicts=tuple(dict.fromkeys(_readable(data.get("conflicts", ())))),
        provides=(own, *(item for item in listed if item != own)),
        conf=tuple(data.get("conf", ())),
    )


def _readable(items: Iterable[str]) -> Iterable[Capability]:
    """Rich relations, file paths and rpm's own features are for the server to judge."""
    for item in items:
        if not item.startswith(("(", "/", "rpmlib(")):
            yield parse_capability(item)


def rebased(entry: Entry, package: Package) -> Entry:
    """The relations of ``entry`` for another version of the same package: relations to its own
    exact version are changed to the new one."""
    if entry.package == package:
        return entry
    before, after = evr_of(entry.package), evr_of(package)

    def moved(item: Capability) -> Capability:
        return item._replace(evr=after) if item.op == "=" and item.evr == before else item

    return replace(
        entry,
        package=package,
        requires=tuple(moved(item) for item in entry.requires),
        provides=tuple(moved(item) for item in entry.provides),
    )

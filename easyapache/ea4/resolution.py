"""What a package manager would do on one server: the instant preview of a transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from easyapache.ea4.capabilities import Capability, Entry, entry_of, evr_of, rebased
from easyapache.ea4.profile import Transaction
from easyapache.ea4.sentences import Sentence
from easyapache.ea4.solver import Contradiction, solve
from easyapache.ea4.versions import compare_evr


@dataclass(frozen=True, slots=True)
class Why:
    """Why a package is installed or removed.

    ``kind``: ``asked``, ``dependency`` (``by`` requires it), ``conflict`` (it conflicts with
    ``by``), ``dependent`` (it requires ``relation``, which is no longer provided) or ``update``
    (``by`` requires another version of it).
    """

    kind: str
    by: str = ""
    relation: str = ""


class Unsolvable(Exception):
    """No set of packages satisfies the goal. ``reasons`` are sentences, the closest first."""

    def __init__(self, reasons: Sequence[str]) -> None:
        super().__init__(" ".join(reasons))
        self.reasons = tuple(reasons)


@dataclass(frozen=True)
class Scene:
    """The installed and available packages of one server."""

    available: Mapping[str, Entry]
    installed: Mapping[str, Entry]
    outside: frozenset[str] = field(default_factory=frozenset)

    def describe(self, name: str) -> Entry | None:
        return self.installed.get(name) or self.available.get(name)

    def resolve(self, install: Iterable[str], remove: Iterable[str] = ()) -> Transaction:
        """The transaction of a package manager that installs ``install`` and removes ``remove``,
        erasing conflicting packages. Raises Unsolvable."""
        wanted, unwanted = sorted(set(install)), sorted(set(remove))
        before = {entry.package for entry in self.installed.values()}
        after = {entry.package for entry in self._solved(wanted, unwanted)}
        change = Transaction(
            install=tuple(sorted(after - before)), remove=tuple(sorted(before - after))
        )
        reasons = {
            name: "dependency" if why.kind == "update" else why.kind
            for name, why in self.explain(change, wanted, unwanted).items()
        }
        return replace(change, reasons=reasons)

    def _solved(self, wanted: Sequence[str], unwanted: Sequence[str]) -> list[Entry]:
        """The packages installed afterwards. Raises Unsolvable."""
        unknown = [name for name in wanted if self.describe(name) is None]
        if unknown:
            raise Unsolvable(
                [Sentence("No known repository offers {name}.", name=name) for name in unknown]
            )
        offered = tuple(entry for entry in self.available.values() if self._is_newer(entry))
        try:
            return solve(tuple(self.installed.values()), offered, wanted, unwanted)
        except Contradiction as error:
            raise Unsolvable(error.reasons) from error

    def _is_newer(self, entry: Entry) -> bool:
        there = self.installed.get(entry.name)
        return there is None or compare_evr(evr_of(there.package), evr_of(entry.package)) < 0

    def after(self, change: Transaction) -> dict[str, Entry]:
        """The entries installed once ``change`` is done, by name."""
        final = {
            name: entry
            for name, entry in self.installed.items()
            if entry.package not in change.remove
        }
        for package in change.install:
            entry = self.available.get(package.name) or self.installed.get(package.name)
            final[package.name] = rebased(entry, package) if entry else entry_of(package, {})
        return final

    def explain(
        self, change: Transaction, install: Iterable[str], remove: Iterable[str] = ()
    ) -> dict[str, Why]:
        """Why each package of ``change`` is installed or removed, whichever solver made it."""
        requested, unwanted = frozenset(install), frozenset(remove)
        final = self.after(change)
        installed = [final[package.name] for package in change.install]
        removed = {package.name for package in change.remove}
        reasons: dict[str, Why] = {}
        for entry in installed:
            if entry.name in requested:
                reasons[entry.name] = Why("asked")
                continue
            needing = _first_need(entry, installed) or _first_need(entry, final.values())
            kind = "update" if entry.name in removed else "dependency"
            by, relation = needing or ("", "")
            reasons[entry.name] = Why(kind, by, relation)
        for package in change.remove:
            if package.name not in reasons:
                reasons[package.name] = self._removal_cause(
                    package.name, unwanted, installed, final
                )
        return reasons

    def _removal_cause(
        self,
        name: str,
        unwanted: frozenset[str],
        installed: Sequence[Entry],
        final: Mapping[str, Entry],
    ) -> Why:
        if name in unwanted:
            return Why("asked")
        entry = self.installed.get(name)
        if entry is None:  # the server has moved since it was scanned
            return Why("dependent")
        for other in sorted(installed, key=lambda item: (item.name not in entry.name, item.name)):
            if entry.conflicts_with(other):
                return Why("conflict", other.name)
        for relation in entry.requires:
            met_before = any(item.offers(relation) for item in self.installed.values())
            if met_before and not any(item.offers(relation) for item in final.values()):
                return Why("dependent", self._lost_provider(relation), str(relation))
        for other in final.values():
            if entry.conflicts_with(other):
                return Why("conflict", other.name)
        return Why("dependent")

    def _lost_provider(self, relation: Capability) -> str:
        return min(name for name, item in self.installed.items() if item.offers(relation))

    def unmet(self, entries: Mapping[str, Entry]) -> list[tuple[str, Capability]]:
        """Requirements of ``entries`` that nothing among them meets.

        A name that no known package provides belongs to the operating system and is not ours
        to judge."""
        offering = _by_capability(entries)
        return [
            (entry.name, relation)
            for entry in entries.values()
            for relation in entry.requires
            if not any(item.offers(relation) for item in offering.get(relation.name, ()))
            and self._is_ours(relation)
        ]

    def _is_ours(self, relation: Capability) -> bool:
        return any(
            offer.name == relation.name
            for entries in (self.available, self.installed)
            for entry in entries.values()
            for offer in entry.provides
        )


def collisions(entries: Mapping[str, Entry]) -> list[tuple[str, str]]:
    """Pairs among ``entries`` that cannot be installed together, each pair once, sorted."""
    offering = _by_capability(entries)
    found = set()
    for entry in entries.values():
        for relation in entry.conflicts:
            for other in offering.get(relation.name, ()):
                if other.name != entry.name and other.offers(relation):
                    found.add((min(entry.name, other.name), max(entry.name, other.name)))
    return sorted(found)


def _by_capability(entries: Mapping[str, Entry]) -> dict[str, list[Entry]]:
    """The entries that provide a name, in any version."""
    offering: dict[str, list[Entry]] = {}
    for entry in entries.values():
        for name in {offer.name for offer in entry.provides}:
            offering.setdefault(name, []).append(entry)
    return offering


def _first_need(entry: Entry, among: Iterable[Entry]) -> tuple[str, str] | None:
    needs = sorted(
        (other.name, str(relation))
        for other in among
        if other.name != entry.name
        for relation in other.requires
        if entry.offers(relation)
    )
    return needs[0] if needs else None

"""What a package manager would do on one server: the instant preview of a transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from easyapache.ea4.capabilities import Capability, Entry, entry_of, evr_of, rebased
from easyapache.ea4.profile import Transaction
from easyapache.ea4.sentences import Sentence, marked
from easyapache.ea4.solver import Contradiction, Rule, Search
from easyapache.ea4.versions import compare_evr


@dataclass(frozen=True, slots=True)
class Why:
    """Why a package moves.

    ``kind``: ``asked``, ``dependency`` (``by`` needs it), ``conflict`` (it cannot be together
    with ``by``), ``dependent`` (it needs ``relation``, which is no longer there) or
    ``update`` (another version of it is needed by ``by``).
    """

    kind: str
    by: str = ""
    relation: str = ""


_ONE_VERSION = marked("{name} can be there in one version only.")
_NOT_OFFERED = marked("{name} needs {other}; nothing offers it.")
_NEEDS = marked("{name} needs {other}.")
_EXCLUDES = marked("{name} cannot be with {other}.")
_ASKED_FOR = marked("{name} was asked for.")
_ASKED_TO_LEAVE = marked("{name} was asked to leave.")


class Unsolvable(Exception):
    """No set of packages fulfils what was asked. ``reasons`` are sentences, nearest first."""

    def __init__(self, reasons: Sequence[str]) -> None:
        super().__init__(" ".join(reasons))
        self.reasons = tuple(reasons)


@dataclass(frozen=True)
class Scene:
    """One server's question box: what is installed there and what could be."""

    available: Mapping[str, Entry]
    installed: Mapping[str, Entry]
    outside: frozenset[str] = field(default_factory=frozenset)

    def describe(self, name: str) -> Entry | None:
        return self.installed.get(name) or self.available.get(name)

    def resolve(self, install: Iterable[str], remove: Iterable[str] = ()) -> Transaction:
        """What a package manager would do to have ``install`` and not ``remove``, erasing
        whatever stands in the way. Raises Unsolvable."""
        wanted, unwanted = sorted(set(install)), sorted(set(remove))
        question = _Question(self, wanted)
        final = question.answer(wanted, unwanted)
        before = {entry.package for entry in self.installed.values()}
        after = {entry.package for entry in final.values()}
        change = Transaction(
            install=tuple(sorted(after - before)), remove=tuple(sorted(before - after))
        )
        reasons = {
            name: "dependency" if why.kind == "update" else why.kind
            for name, why in self.explain(change, wanted, unwanted).items()
        }
        return replace(change, reasons=reasons)

    def after(self, change: Transaction) -> dict[str, Entry]:
        """The entries installed once ``change`` is done, by name."""
        final = {
            name: entry
            for name, entry in self.installed.items()
            if entry.package not in change.remove
        }
        for package in change.install:
            known = self.available.get(package.name) or self.installed.get(package.name)
            final[package.name] = rebased(known, package) if known else entry_of(package, {})
        return final

    def explain(
        self, change: Transaction, install: Iterable[str], remove: Iterable[str] = ()
    ) -> dict[str, Why]:
        """Why each package of ``change`` moves, whoever worked it out."""
        asked_in, asked_out = frozenset(install), frozenset(remove)
        final = self.after(change)
        coming = [final[package.name] for package in change.install]
        leaving = {package.name for package in change.remove}
        reasons: dict[str, Why] = {}
        for entry in coming:
            if entry.name in asked_in:
                reasons[entry.name] = Why("asked")
                continue
            needing = _first_need(entry, coming) or _first_need(entry, final.values())
            kind = "update" if entry.name in leaving else "dependency"
            by, relation = needing or ("", "")
            reasons[entry.name] = Why(kind, by, relation)
        for package in change.remove:
            if package.name not in reasons:
                reasons[package.name] = self._why_it_leaves(package.name, asked_out, coming, final)
        return reasons

    def _why_it_leaves(
        self, name: str, asked: frozenset[str], coming: Sequence[Entry], final: Mapping[str, Entry]
    ) -> Why:
        if name in asked:
            return Why("asked")
        entry = self.installed.get(name)
        if entry is None:  # the server has moved since it was scanned
            return Why("dependent")
        for other in sorted(coming, key=lambda item: (item.name not in entry.name, item.name)):
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
    """Which entries provide something under a name, in whatever version."""
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


class _Question:
    """The candidates and rules of one resolution, numbered for the search.

    Candidates are what is installed and what could become so because of the goal. A relation
    among installed packages that is broken already is left alone, as dnf does.
    """

    def __init__(self, scene: Scene, wanted: Sequence[str]) -> None:
        self.entries: list[Entry] = []
        self.installed: dict[str, int] = {}
        self.offered: dict[str, int] = {}
        self._by_capability: dict[str, list[int]] = {}
        for name, entry in scene.installed.items():
            self.installed[name] = self._add(entry)
        for name, entry in scene.available.items():
            there = scene.installed.get(name)
            if there is not None and compare_evr(evr_of(there.package), evr_of(entry.package)) >= 0:
                continue
            self.offered[name] = self._add(entry)
        self.wanted = wanted
        self.rules: list[Rule] = []
        self.labels: list[tuple[str, str, object]] = []

    def _add(self, entry: Entry) -> int:
        self.entries.append(entry)
        number = len(self.entries)
        for offer in entry.provides:
            numbers = self._by_capability.setdefault(offer.name, [])
            if not numbers or numbers[-1] != number:
                numbers.append(number)
        return number

    def _providers(self, relation: Capability) -> list[int]:
        return [
            number
            for number in self._by_capability.get(relation.name, ())
            if self.entries[number - 1].offers(relation)
        ]

    def _rule(self, literals: Iterable[int], template: str, name: str, other: object = "") -> None:
        """One rule, and what to say of it should it turn out to forbid what was asked."""
        self.rules.append(tuple(literals))
        self.labels.append((template, name, other))

    def _write_rules(self) -> None:
        """Rules for everything reachable from what is installed and what is wanted."""
        last_installed = len(self.installed)
        queue = list(range(1, last_installed + 1))
        queue += [self.offered[name] for name in self.wanted if name in self.offered]
        reached = set(queue)
        while queue:
            number = queue.pop(0)
            entry = self.entries[number - 1]
            here = number <= last_installed
            if here and entry.name in self.offered:
                update = self.offered[entry.name]
                self._rule((-number, -update), _ONE_VERSION, entry.name)
                if update not in reached:
                    reached.add(update)
                    queue.append(update)
            for relation in entry.requires:
                providers = self._providers(relation)
                if number in providers:
                    continue
                if not providers:
                    # A name nobody here knows is the operating system's to offer; a known one
                    # in a version nobody has makes the package impossible to install.
                    if not here and relation.name in self._by_capability:
                        self._rule((-number,), _NOT_OFFERED, entry.name, relation)
                    continue
                if here and not any(item <= last_installed for item in providers):
                    continue  # broken before: not ours to mend here
                self._rule((-number, *providers), _NEEDS, entry.name, relation)
                for item in providers:
                    if item not in reached:
                        reached.add(item)
                        queue.append(item)
            for relation in entry.conflicts:
                for item in self._providers(relation):
                    other = self.entries[item - 1]
                    if other.name == entry.name or (here and item <= last_installed):
                        continue
                    self._rule((-number, -item), _EXCLUDES, entry.name, other.name)

    def answer(self, wanted: Sequence[str], unwanted: Sequence[str]) -> dict[str, Entry]:
        """The entries installed in the end, by name. Raises Unsolvable."""
        unknown = [
            name for name in wanted if name not in self.installed and name not in self.offered
        ]
        if unknown:
            raise Unsolvable(
                [Sentence("No repository is known to offer {name}.", name=name) for name in unknown]
            )
        for name in wanted:
            literals = [n for n in (self.installed.get(name), self.offered.get(name)) if n]
            self._rule(literals, _ASKED_FOR, name)
        for name in unwanted:
            for number in (self.installed.get(name), self.offered.get(name)):
                if number:
                    self._rule((-number,), _ASKED_TO_LEAVE, name)
        self._write_rules()
        search = Search(len(self.entries), self.rules)
        try:
            search.start()
            self._decide(search)
        except Contradiction as error:
            raise Unsolvable(
                [
                    Sentence(template, name=name, other=str(other))
                    for template, name, other in dict.fromkeys(
                        self.labels[index] for index in error.rules
                    )
                ]
            ) from error
        return {
            entry.name: entry
            for number, entry in enumerate(self.entries, 1)
            if search.is_in(number)
        }

    def _decide(self, search: Search) -> None:
        given = range(len(self.rules))
        while True:
            if not self._keep_installed(search):
                continue
            waiting = search.unmet(given)
            if waiting is None:
                return
            search.try_in(max(waiting, key=self._preference))

    def _keep_installed(self, search: Search) -> bool:
        """False when a decision had to be taken back: then everything is looked at again."""
        for name, number in self.installed.items():
            if search.is_in(number):
                continue
            if search.is_open(number):
                if not search.try_in(number):
                    return False
                continue
            update = self.offered.get(name)
            if update and search.is_open(update) and not search.try_in(update):
                return False
        return True

    def _preference(self, number: int) -> tuple[bool, str]:
        """Among several providers dnf takes what is installed, else the last by name: so
        mod_proxy_balancer brings lbmethod_heartbeat, not lbmethod_bybusyness."""
        entry = self.entries[number - 1]
        return (entry.name in self.installed, entry.name)

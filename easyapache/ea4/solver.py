"""Solves the transactions of previews with libsolv, the library that dnf uses.

A preview must agree with the server, so the problem is stated as ``agent/packages/dnf_resolve.py``
states it to dnf: with the flags dnf sets for ``--allowerasing``, a wanted package that is installed
is kept, and any other is installed.

The bindings (``solv``) are imported on first use: a managed server does not need them, because its
own dnf solves there.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from easyapache.ea4.capabilities import Capability, Entry, evr_of
from easyapache.ea4.sentences import Sentence, marked

_ONE_VERSION = marked("Only one version of {name} can be installed.")
_NOT_OFFERED = marked("{name} requires {other}, which no repository offers.")
_NEEDS = marked("{name} requires {other}.")
_EXCLUDES = marked("{name} conflicts with {other}.")
_INSTALL_REQUESTED = marked("{name} was requested.")
_REMOVAL_REQUESTED = marked("Removal of {name} was requested.")

_URPM_REORDER = 23
"""A flag of libsolv's solver.h that its bindings have no name for."""
_MOST_POOLS = 16
"""How many servers' packages are kept in libsolv's form: about 100 KiB each."""


class Contradiction(Exception):
    """The request is impossible. ``reasons``: sentences, the closest first."""

    def __init__(self, reasons: Sequence[str]) -> None:
        super().__init__(" ".join(reasons))
        self.reasons = tuple(reasons)


def solve(
    installed: tuple[Entry, ...],
    offered: tuple[Entry, ...],
    wanted: Iterable[str],
    unwanted: Iterable[str],
) -> list[Entry]:
    """The packages installed afterwards.

    ``offered``: packages that may be installed, one build per name, newer than the one in
    ``installed``. Every wanted name is in one of the two. Raises Contradiction.
    """
    return _pool(installed, offered).answer(wanted, unwanted)


@lru_cache(maxsize=_MOST_POOLS)
def _pool(installed: tuple[Entry, ...], offered: tuple[Entry, ...]) -> _Pool:
    """Cached by packages: consecutive clicks use the same server."""
    return _Pool(installed, offered)


class _Pool:
    """The packages of one server and its repositories, as libsolv keeps them."""

    def __init__(self, installed: Sequence[Entry], offered: Sequence[Entry]) -> None:
        import solv  # here, not above: an agent runs without it

        self._solv = solv
        self._lock = threading.Lock()  # libsolv's pool is for one thread at a time
        self._pool = solv.Pool()
        self._pool.setdisttype(solv.Pool.DISTTYPE_RPM)
        entries = (*installed, *offered)
        # Capabilities that no package here provides belong to the operating system, and those that
        # none needs decide nothing: libsolv gets neither. Names of packages are always kept.
        provided = {offer.name for entry in entries for offer in entry.provides}
        needed = {item.name for entry in entries for item in (*entry.requires, *entry.conflicts)}
        self._named = (provided & needed) | {entry.name for entry in entries}
        self._relations: dict[Capability, Any] = {}
        self._entries: dict[int, Entry] = {}  # by libsolv's number of the package
        self._ids: dict[str, int] = {}  # libsolv's number by name: of the installed build, if any
        self._pool.installed = self._pool.add_repo("installed")
        repository = self._pool.add_repo("offered")
        for entry in offered:
            self._add(entry, repository)
        for entry in installed:
            self._add(entry, self._pool.installed)
        self._pool.createwhatprovides()

    def _add(self, entry: Entry, repository: Any) -> None:
        found = repository.add_solvable()
        found.name, found.arch = entry.name, entry.package.arch
        found.evr = str(evr_of(entry.package))
        for key, items in (
            (self._solv.SOLVABLE_PROVIDES, entry.provides),
            (self._solv.SOLVABLE_REQUIRES, entry.requires),
            (self._solv.SOLVABLE_CONFLICTS, entry.conflicts),
        ):
            for item in items:
                if item.name in self._named:
                    found.add_deparray(key, self._relation(item))
        self._entries[found.id] = entry
        self._ids[entry.name] = found.id

    def _relation(self, item: Capability) -> Any:
        if item not in self._relations:
            self._relations[item] = self._made(item)
        return self._relations[item]

    def _made(self, item: Capability) -> Any:
        name = self._pool.Dep(item.name)
        if item.evr is None:
            return name
        flags = {"<": self._solv.REL_LT, "=": self._solv.REL_EQ, ">": self._solv.REL_GT}
        return name.Rel(sum(flags[sign] for sign in item.op), self._pool.Dep(str(item.evr)))

    def answer(self, wanted: Iterable[str], unwanted: Iterable[str]) -> list[Entry]:
        """See ``solve``."""
        with self._lock:
            return self._answer(wanted, unwanted)

    def _answer(self, wanted: Iterable[str], unwanted: Iterable[str]) -> list[Entry]:
        job = self._solv.Job
        install = job.SOLVER_INSTALL | job.SOLVER_SOLVABLE
        erase = job.SOLVER_ERASE | job.SOLVER_SOLVABLE_NAME
        installing, removing = list(wanted), list(unwanted)
        jobs = [self._pool.Job(install, self._ids[name]) for name in installing]
        jobs += [self._pool.Job(erase, self._pool.str2id(name)) for name in removing]
        solver = self._solver()
        problems = solver.solve(jobs)
        if problems:
            requests = [Sentence(_INSTALL_REQUESTED, name=name) for name in installing]
            requests += [Sentence(_REMOVAL_REQUESTED, name=name) for name in removing]
            reasons = [text for problem in problems for text in self._reasons(problem, requests)]
            raise Contradiction(list(dict.fromkeys(reasons)))
        change = solver.transaction()
        final = [found.id for found in (*change.newsolvables(), *change.keptsolvables())]
        return [self._entries[number] for number in final]

    def _solver(self) -> Any:
        """One with the flags that dnf sets for --allowerasing."""
        solver = self._pool.Solver()
        for flag in (
            solver.SOLVER_FLAG_ALLOW_UNINSTALL,
            solver.SOLVER_FLAG_ALLOW_VENDORCHANGE,
            solver.SOLVER_FLAG_KEEP_ORPHANS,
            solver.SOLVER_FLAG_BEST_OBEY_POLICY,
            solver.SOLVER_FLAG_YUM_OBSOLETES,
            _URPM_REORDER,
        ):
            solver.set_flag(flag, 1)
        return solver

    def _reasons(self, problem: Any, requests: Sequence[str]) -> list[str]:
        """The conflicting relations, then those of ``requests`` (a sentence for each job) that
        libsolv would drop to solve the rest."""
        rules = [info for rule in problem.findallproblemrules() for info in rule.allinfos()]
        found = [text for info in rules if (text := self._sentence(info)) is not None]
        elements = [item for way in problem.solutions() for item in way.elements()]
        dropped = {
            item.jobidx for item in elements if item.type == self._solv.Solver.SOLVER_SOLUTION_JOB
        }
        return found + [requests[index] for index in sorted(dropped)]

    def _sentence(self, info: Any) -> str | None:
        solver = self._solv.Solver
        templates = {
            solver.SOLVER_RULE_PKG_SAME_NAME: _ONE_VERSION,
            solver.SOLVER_RULE_PKG_NOTHING_PROVIDES_DEP: _NOT_OFFERED,
            solver.SOLVER_RULE_PKG_REQUIRES: _NEEDS,
            solver.SOLVER_RULE_PKG_CONFLICTS: _EXCLUDES,
        }
        template = templates.get(info.type)
        if template is None:
            return None
        if template == _EXCLUDES:  # reported once, whichever package has it
            name, other = sorted((info.solvable.name, info.othersolvable.name))
            return Sentence(template, name=name, other=other)
        return Sentence(template, name=info.solvable.name, other=str(info.dep))

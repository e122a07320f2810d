"""What ``exclude=``, ``includepkgs=`` and the versionlock plugin hold back. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

from easyapache.ea4.profile import Package

_NAME_OF_A_LOCK = re.compile(r"(?:\d+:)?(.+?)-(?:\d+:)?[\d*][^-]*(?:-[^-]*)?\Z")
"""The name in ``name-0:2.4.66-1.*`` and in the shorter spellings of a version."""


def pinned(patterns: Iterable[str], package: Package) -> str | None:
    """The first pattern that fits a package, in any of the spellings dnf takes."""
    spellings = (
        package.name,
        f"{package.name}.{package.arch}",
        f"{package.name}-{package.version}",
        f"{package.name}-{package.version}-{package.release}",
        package.nevra,
        f"{package.name}-{package.epoch}:{package.version}-{package.release}.{package.arch}",
        f"{package.epoch}:{package.name}-{package.version}-{package.release}.{package.arch}",
    )
    for pattern in patterns:
        plain = pattern.removeprefix("!")
        if any(fnmatchcase(spelling, plain) for spelling in spellings):
            return pattern
        if plain.endswith(".*") and any(fnmatchcase(s, plain[:-2]) for s in spellings):
            return pattern
    return None


def locked_out(locks: Iterable[str], package: Package) -> str | None:
    """The lock by which dnf does not see a package that is to be installed: one of another
    version of it, where none is of this version; or an exclude (``!pattern``).

    The plugin never hides what is installed, so no lock keeps a package from being removed
    (dnf-plugins-core, versionlock.py: its excludes leave out the system's own packages).
    """
    locks = list(locks)
    for lock in locks:
        if lock.startswith("!") and pinned([lock], package):
            return lock
    kept = [lock for lock in locks if not lock.startswith("!")]
    if pinned(kept, package):
        return None
    return next((lock for lock in kept if fnmatchcase(package.name, _name_of(lock))), None)


def _name_of(lock: str) -> str:
    found = _NAME_OF_A_LOCK.match(lock)
    return found[1] if found else lock


def hidden(facts: Mapping[str, Any], package: Package, *, offered: bool) -> str | None:
    """By what dnf does not see a package: a pattern of [main], or the repositories of EasyApache 4
    that all filter it. ``offered``: it is to be installed; what repositories filter does not
    matter for one that is removed.

    Another repository's own exclude is no obstacle: people hide the builds of one to get those of
    another (``[cl-ea4] exclude=ea-apache24*``).
    """
    if found := pinned([str(item) for item in facts.get("excludes") or ()], package):
        return found
    filters = facts.get("repository_filters")
    if not offered or not isinstance(filters, Mapping):
        return None
    of_ea4 = {name: item for name, item in filters.items() if "ea4" in str(name).lower()}
    if of_ea4 and all(_filtered(item, package) for item in of_ea4.values()):
        return ", ".join(f"[{name}]" for name in sorted(of_ea4))
    return None


def _filtered(filters: Any, package: Package) -> bool:
    if not isinstance(filters, Mapping):
        return False
    includes = [str(item) for item in filters.get("includes") or ()]
    outside = bool(includes) and pinned(includes, package) is None
    return outside or pinned([str(i) for i in filters.get("excludes") or ()], package) is not None

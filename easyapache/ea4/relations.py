"""What packages require, conflict with and provide: the catalog, and one server's part of it.

The catalog (``data/packages.json``) has the relations of the EasyApache 4 packages in the
repository; a server's rpm database has those of other installed packages. Together they resolve a
goal such as *install the event MPM* without the server: the instant preview. The server's own
package manager decides.

Facts about the relations come from the spec files of EasyApache 4's packages.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import resources
from typing import Any

from easyapache.ea4.capabilities import (
    BadRelation,
    Capability,
    Entry,
    entry_of,
    evr_of,
    meets,
    parse_capability,
    rebased,
)
from easyapache.ea4.profile import Package, Transaction
from easyapache.ea4.resolution import Scene, Unsolvable, Why, collisions
from easyapache.ea4.versions import parse_evr

__all__ = [
    "BadRelation",
    "Capability",
    "Entry",
    "Relations",
    "Scene",
    "Transaction",
    "Unsolvable",
    "Why",
    "collisions",
    "evr_of",
    "load_catalogue",
    "meets",
    "parse_capability",
    "relations_from",
]

MAIN = "ea-apache24"
"""The package whose exact version its modules require: they move in lock-step."""


@dataclass(frozen=True)
class Relations:
    """What a repository offers. Immutable; shared by all servers.

    ``outside`` are packages of the operating system that EasyApache 4's packages require.
    """

    entries: Mapping[str, Entry]
    outside: frozenset[str] = field(default_factory=frozenset)

    def __contains__(self, name: object) -> bool:
        return name in self.entries

    def get(self, name: str) -> Entry | None:
        return self.entries.get(name)

    def for_server(
        self, packages: Iterable[Package], known: Mapping[str, Mapping[str, Any]] | None = None
    ) -> Scene:
        """Join this catalog with the packages installed on one server.

        ``known``: {name: {requires, conflicts, provides}} from that server's rpm database; it
        overrides the catalog. An installed package in neither has no relations.
        """
        known = known or {}
        installed: dict[str, Entry] = {}
        for package in sorted(packages):
            described = self.entries.get(package.name)
            if package.name in known:
                reported = entry_of(package, known[package.name])
                installed[package.name] = (
                    replace(reported, conf=described.conf) if described else reported
                )
            elif described is None:
                installed[package.name] = entry_of(package, {})
            else:
                installed[package.name] = rebased(described, package)
        return Scene(self._offered_beside(installed), installed, self.outside)

    def _offered_beside(self, installed: Mapping[str, Entry]) -> Mapping[str, Entry]:
        """What this server's repository most likely offers: the catalog, in the server's
        architecture, and packages versioned with Apache in the build of the installed Apache,
        because an MPM change must not update it."""
        there = installed.get(MAIN)
        if there is None or MAIN not in self.entries:
            return self.entries
        catalogue, server = self.entries[MAIN].package, there.package
        arch = server.arch
        same_build = evr_of(catalogue) == evr_of(server)
        if same_build and arch == catalogue.arch:
            return self.entries
        offered = {}
        for name, entry in self.entries.items():
            package = entry.package
            if evr_of(package) == evr_of(catalogue):
                package = replace(server, name=name)
            elif package.arch != "noarch":
                package = replace(package, arch=arch)
            offered[name] = rebased(entry, package)
        return offered


@cache
def load_catalogue() -> Relations:
    """The relations this project ships, read once."""
    text = resources.files("easyapache.ea4").joinpath("data/packages.json").read_text("utf-8")
    return relations_from(json.loads(text))


def relations_from(data: Mapping[str, Mapping[str, Any]]) -> Relations:
    """Make relations from ``{name: {evr, requires, conflicts, provides, conf[, arch]}}``."""
    entries = {}
    for name in sorted(data):
        evr = parse_evr(data[name]["evr"])
        package = Package(
            name, evr.version, evr.release, data[name].get("arch", "x86_64"), evr.epoch
        )
        entries[name] = entry_of(package, data[name])
    provided = {offer.name for entry in entries.values() for offer in entry.provides}
    required = {item.name for entry in entries.values() for item in entry.requires}
    return Relations(entries, frozenset(required - provided))

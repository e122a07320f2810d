"""Blockers found before a change starts. Each names the problem and the recommended action."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from easyapache.agent.config import HostConfig
from easyapache.agent.httpd.apache_config import ApacheConfig
from easyapache.agent.httpd.httpd import SWITCHED_OFF, Httpd
from easyapache.agent.httpd.processes import command_of, described, identify
from easyapache.agent.httpd.sockets import holders, listening
from easyapache.agent.inspection import server_path, unfinished_transaction
from easyapache.agent.packages import manager_locks
from easyapache.agent.server import HostError, Obstacle
from easyapache.ea4.conditions import evidence
from easyapache.ea4.conditions.renamed import code_of
from easyapache.ea4.pins import hidden, locked_out
from easyapache.ea4.profile import Profile, Transaction
from easyapache.ea4.sentences import Sentence, counted, joined, marked

_PANEL = re.compile(r"easyapache\.(wsgi|asgi)|manage\.py\b.*\b(runserver|demo)\b")
_MPM = re.compile(r"ea-apache24-mod_mpm_(event|worker|prefork)\Z")
MB = 1 << 20
_SPARE = 32 * MB
"""Free space to leave on each file system beyond the known need: rpm's journal, logs, and what the
rest of the server writes in the meantime."""


@dataclass(frozen=True, slots=True)
class Preflight:
    """``resolve``: returns the solver's whole answer to the goal, or raises HostError."""

    config: HostConfig
    httpd: Httpd
    profile: Profile
    transaction: Transaction
    resolve: Callable[[], Mapping[str, Any]]

    def obstacles(self) -> list[Obstacle]:
        conf = self.httpd.read()
        found = [
            *self.switched_off(),
            *self.busy(),
            *self.unfinished(),
            *self.packages_torn(),
            *self.held_back(),
            *self.immutable(),
        ]
        sources: Mapping[str, Any] = {}
        try:
            sources = self.resolve()["sources"]
        except HostError as error:
            if error.code not in {item.code for item in found}:
                found.append(refusal(error))
        found += unsigned(sources)
        found += self.disk(sources)
        found += self.configuration()
        found += self.proxied_panel(conf)
        return found

    # -- the package manager ---------------------------------------------------------------

    def busy(self) -> list[Obstacle]:
        """Which process holds rpm's or dnf's lock. rpm's lock is queried without taking it; dnf's
        are files with a pid, which a killed dnf leaves behind and another process may get."""
        root = self.config.root
        found: dict[int, Path] = {}
        for path in manager_locks.rpm_locks(root):
            pid = manager_locks.lock_holder(path)
            if pid:
                found[pid] = path
        stale = []
        for path in manager_locks.dnf_locks(root):
            pid = manager_locks.named_in(path)
            if pid is None or pid == os.getpid() or manager_locks.only_resolves(pid):
                continue
            if identify(pid) is None:
                continue  # dnf itself removes a file whose process has ended
            if manager_locks.MANAGERS.search(command_of(pid)):
                found.setdefault(pid, path)
            else:
                stale.append((pid, path))
        obstacles = [
            Obstacle(
                "package_manager_busy",
                Sentence(
                    "{process} holds {path}.",
                    process=_capital(described(pid)),
                    path=server_path(root, path),
                ),
            )
            for pid, path in sorted(found.items())
        ]
        return obstacles + [
            Obstacle(
                "stale_lock",
                Sentence(
                    "{path} names {process}.",
                    path=server_path(root, path),
                    process=described(pid),
                ),
            )
            for pid, path in stale
        ]

    def unfinished(self) -> list[Obstacle]:
        text = unfinished_transaction(self.config.root, self.config.spool)
        return [Obstacle("unfinished_transaction", text)] if text else []

    def packages_torn(self) -> list[Obstacle]:
        seen = (
            ("duplicate_packages", evidence.duplicate_packages(self.profile)),
            ("no_mpm", self._mpm_by_packages()),
            ("several_mpms", evidence.several_mpms(self.profile)),
            ("files_missing", evidence.files_missing(self.profile)),
            ("replaced_by_another_server", evidence.replaced_by_another_server(self.profile)),
        )
        return [Obstacle(code, found) for code, found in seen if found]

    def _mpm_by_packages(self) -> str:
        """Also where not even Apache's main package is left."""
        if evidence.mpm_packages(self.profile):
            return evidence.no_mpm(self.profile)
        return Sentence("No MPM package is installed.")

    def held_back(self) -> list[Obstacle]:
        """What dnf's configuration hides, or pins to a version, of what must change."""
        facts = self.profile.facts
        install, remove = self.transaction.install, self.transaction.remove
        locks = [str(item) for item in facts.get("version_locks") or ()]
        hidden_by = [(hidden(facts, item, offered=True), item.name) for item in install]
        hidden_by += [(hidden(facts, item, offered=False), item.name) for item in remove]
        locked_by = [(locked_out(locks, item), item.name) for item in install]
        found = []
        for code, hits, template in (
            ("excluded", hidden_by, marked("The exclude {pattern} covers {names}.")),
            ("version_locked", locked_by, marked("The lock {pattern} covers {names}.")),
        ):
            for pattern in sorted({pattern for pattern, _ in hits if pattern}):
                names = ", ".join(sorted({name for item, name in hits if item == pattern}))
                found.append(Obstacle(code, Sentence(template, pattern=pattern, names=names)))
        return found

    def immutable(self) -> list[Obstacle]:
        paths = evidence.immutable_paths(self.profile, self.transaction)
        return [Obstacle("immutable_files", f"{', '.join(paths[:10])}.")] if paths else []

    def disk(self, sources: Mapping[str, Any]) -> list[Obstacle]:
        """File systems without enough space for what the change writes to them."""
        root = self.config.root
        unpacked = sum(int(item["installed"] or 0) for item in sources.values())
        download = sum(int(item["download"] or 0) for item in sources.values())
        places = {
            Sentence("package files"): (root / "usr", unpacked),
            Sentence("rpm database"): (root / "var/lib/rpm", 4 * MB),
            Sentence("package cache"): (root / "var/cache", download),
            Sentence("restore point"): (self.config.spool, 2 * download + 8 * MB),
        }
        short: dict[int, list[tuple[str, Path, int]]] = {}
        for title, (path, need) in places.items():
            place = _existing(path)
            short.setdefault(place.stat().st_dev, []).append((title, place, need))
        found = []
        for items in short.values():
            need = sum(need for _, _, need in items) + _SPARE
            room = os.statvfs(items[0][1])
            free = room.f_bavail * room.f_frsize
            nodes = room.f_favail if room.f_files else 1 << 30
            if free >= need and nodes >= 1000:
                continue
            what = joined(", ", [title for title, _, _ in items])
            lack = (
                Sentence("{free} MB free, {need} MB needed", free=free // MB, need=need // MB)
                if free < need
                else counted("{count} inode free", "{count} inodes free", count=nodes)
            )
            found.append(
                Obstacle(
                    "disk_full",
                    Sentence(
                        "{path} ({what}): {lack}.",
                        path=server_path(root, items[0][1]),
                        what=what,
                        lack=lack,
                    ),
                )
            )
        return found

    # -- httpd -----------------------------------------------------------------------------

    def switched_off(self) -> list[Obstacle]:
        """A change ends with an httpd that serves, and this one is not to."""
        why = self.httpd.switched_off()
        if not why:
            return []
        return [Obstacle(SWITCHED_OFF, why)]

    def configuration(self) -> list[Obstacle]:
        found = []
        # The configuration error from the inspection: listing modules tests the configuration too.
        if error := evidence.configuration_broken(self.profile):
            found.append(Obstacle("configuration_broken", error.replace("\n", " ")[:600]))
        target = self._target()
        if foreign := evidence.foreign_paths(self.profile, target):
            found.append(Obstacle("foreign_mpm_file", ", ".join(foreign)))
        for code in ("prefork_only_directives", "threaded_only_directives"):
            lines = evidence.refused_lines(self.profile, code, target, ())
            if lines:
                found.append(Obstacle(code, evidence.where(lines)))
        return found

    def _target(self) -> str:
        """The MPM after the change."""
        installed = (_MPM.match(package.name) for package in self.transaction.install)
        present = (_MPM.match(name) for name in self.profile.names)
        return next((match[1] for match in (*installed, *present) if match), "")

    def proxied_panel(self, conf: ApacheConfig) -> list[Obstacle]:
        """Whether this panel is itself reached through the httpd that would be restarted: a
        proxied loopback port that a process of this project listens on."""
        ports: dict[int, str] = {}
        for item in conf.named("ProxyPass", "ProxyPassMatch", "RewriteRule"):
            for argument in item.arguments:
                parts = urlsplit(argument)
                if parts.scheme in ("http", "https") and _loopback(parts.hostname):
                    port = _port(argument)
                    if port:
                        ports[port] = Sentence(
                            "{path} line {line}",
                            path=server_path(self.config.root, item.path),
                            line=item.line,
                        )
        if not ports:
            return []
        for socket in listening():
            if socket.port not in ports:
                continue
            for pid in holders([socket.inode]):
                if _PANEL.search(command_of(pid)):
                    return [
                        Obstacle(
                            "panel_proxied",
                            Sentence(
                                "{place} passes requests on to {process}.",
                                place=ports[socket.port],
                                process=described(pid),
                            ),
                        )
                    ]
        return []


def unsigned(sources: Mapping[str, Any]) -> list[Obstacle]:
    """Repositories that would supply a package without its signature being checked. (Whether
    the signatures are good is seen when the packages are downloaded.)"""
    repositories = sorted(
        {str(item["repository"]) for item in sources.values() if not item["checked"]}
    )
    return [
        Obstacle("unsigned_repository", Sentence("gpgcheck is off for {name}.", name=name))
        for name in repositories
    ]


def refusal(error: HostError) -> Obstacle:
    """A solver that could not answer, as an obstacle."""
    return Obstacle(code_of(error.code), error.output.strip()[:800] or error.message)


def _existing(path: Path) -> Path:
    while not path.exists():
        path = path.parent
    return path


def _loopback(host: str | None) -> bool:
    return host in ("localhost", "::1") or bool(host and host.startswith("127."))


def _port(url: str) -> int | None:
    match = re.match(r"https?://[^/]*?:(\d+)", url)
    return int(match[1]) if match else None


def _capital(sentence: Sentence) -> Sentence:
    """At the beginning of a sentence."""
    return Sentence(sentence.template[:1].upper() + sentence.template[1:], **sentence.values)


marked("Process {pid} ({command}), running for {since}")

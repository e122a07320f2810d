"""Why a change must not begin now. Each reason names what is in the way and the remedy."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
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
from easyapache.ea4.pins import pinned
from easyapache.ea4.profile import Profile, Transaction
from easyapache.ea4.sentences import Sentence, counted, joined, marked

_PANEL = re.compile(r"easyapache\.(wsgi|asgi)|manage\.py\b.*\b(runserver|demo)\b")
_MPM = re.compile(r"ea-apache24-mod_mpm_(event|worker|prefork)\Z")
MB = 1 << 20
_SPARE = 32 * MB
"""Free space that must be left on each file system beyond what is known to be needed: rpm's
journal, logs, and what the rest of the server writes in those seconds."""


@dataclass(frozen=True, slots=True)
class Preflight:
    """``ask``: the solver's whole answer to the goal (it raises HostError)."""

    config: HostConfig
    httpd: Httpd
    profile: Profile
    transaction: Transaction
    ask: Callable[[], Mapping[str, Any]]

    def obstacles(self) -> list[Obstacle]:
        conf = self.httpd.read()
        found = [
            *self.switched_off(),
            *self.busy(),
            *self.unfinished(),
            *self.packages_torn(),
            *self.held_back(),
        ]
        sources: Mapping[str, Any] = {}
        try:
            sources = self.ask()["sources"]
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
        """Who holds rpm's or dnf's lock. rpm's is asked for without being taken; dnf's are
        files with a pid, which a killed dnf leaves behind and another process may get."""
        root = self.config.root
        found: dict[int, Path] = {}
        for path in manager_locks.rpm_locks(root):
            pid = manager_locks.lock_holder(path)
            if pid:
                found[pid] = path
        stale = []
        for path in manager_locks.dnf_locks(root):
            pid = manager_locks.named_in(path)
            if pid is None or pid == os.getpid() or manager_locks.only_asks(pid):
                continue
            if identify(pid) is None:
                continue  # dnf itself sweeps away a file whose process is gone
            if manager_locks.MANAGERS.search(command_of(pid)):
                found.setdefault(pid, path)
            else:
                stale.append((pid, path))
        obstacles = [
            Obstacle(
                "package_manager_busy",
                Sentence("Another package manager is at work"),
                Sentence(
                    "{process} holds {path}.",
                    process=_capital(described(pid)),
                    path=server_path(root, path),
                ),
                Sentence(
                    "Wait until it has finished. If it hangs, find out what it waits for; do not "
                    "kill it."
                ),
            )
            for pid, path in sorted(found.items())
        ]
        return obstacles + [
            Obstacle(
                "stale_lock",
                Sentence("A lock was left behind"),
                Sentence(
                    "{path} names {process}, which is no package manager: the one that wrote the "
                    "file is gone and its number was given away.",
                    path=server_path(root, path),
                    process=described(pid),
                ),
                Sentence("rm {path}", path=server_path(root, path)),
            )
            for pid, path in stale
        ]

    def unfinished(self) -> list[Obstacle]:
        text = unfinished_transaction(self.config.root, self.config.spool)
        if not text:
            return []
        return [
            Obstacle(
                "unfinished_transaction",
                Sentence("An earlier transaction was never finished"),
                f"{text}.",
                Sentence(
                    "Run the doctor (manage.py mpm doctor), or look at: dnf history info last; dnf "
                    "check"
                ),
            )
        ]

    def packages_torn(self) -> list[Obstacle]:
        names = Counter(f"{p.name}.{p.arch}" for p in self.profile.packages)
        twice = sorted(name for name, count in names.items() if count > 1)
        found = []
        if twice:
            found.append(
                Obstacle(
                    "duplicate_packages",
                    Sentence("Packages are installed twice"),
                    Sentence("rpm lists more than one build of {names}.", names=", ".join(twice)),
                    Sentence(
                        "dnf remove --duplicates (or: rpm -e the build that should not be there)"
                    ),
                )
            )
        mpms = sorted(name for name in self.profile.names if _MPM.match(name))
        if len(mpms) != 1:
            found.append(
                Obstacle(
                    "two_mpms" if mpms else "no_mpm",
                    Sentence("Not exactly one MPM is installed"),
                    Sentence("Installed: {names}. httpd needs exactly one.", names=", ".join(mpms))
                    if mpms
                    else Sentence("Installed: none. httpd needs exactly one."),
                    Sentence("Let the doctor repair it: manage.py mpm doctor"),
                )
            )
        missing = self.profile.facts.get("missing_files") or {}
        if missing:
            what = "; ".join(
                f"{name}: {', '.join(paths[:3])}" for name, paths in sorted(missing.items())
            )
            found.append(
                Obstacle(
                    "missing_files",
                    Sentence("Files of installed packages are missing"),
                    what,
                    Sentence("dnf reinstall {names}", names=" ".join(sorted(missing))),
                )
            )
        return found

    def held_back(self) -> list[Obstacle]:
        found = []
        moving = [*self.transaction.install, *self.transaction.remove]
        kinds = (
            (
                "excluded",
                "excludes",
                marked("This server has exclude= {pattern}, which covers {names}."),
                marked("Remove the pattern from dnf.conf or the repository's file."),
            ),
            (
                "version_locked",
                "version_locks",
                marked("This server has a version lock on {pattern}, which covers {names}."),
                marked("dnf versionlock delete {pattern}"),
            ),
        )
        for code, fact, words, remedy in kinds:
            patterns = list(self.profile.facts.get(fact) or ())
            hits = sorted(
                {(p, package.name) for package in moving if (p := pinned(patterns, package))}
            )
            for pattern in dict.fromkeys(pattern for pattern, _ in hits):
                names = ", ".join(name for item, name in hits if item == pattern)
                found.append(
                    Obstacle(
                        code,
                        Sentence("A package that must move is pinned"),
                        Sentence(words, pattern=pattern, names=names),
                        Sentence(remedy, pattern=pattern),
                    )
                )
        return found

    def disk(self, sources: Mapping[str, Any]) -> list[Obstacle]:
        """Each place that is written to, with what it will take."""
        root = self.config.root
        coming = sum(int(item["installed"] or 0) for item in sources.values())
        download = sum(int(item["download"] or 0) for item in sources.values())
        places = {
            Sentence("package files"): (root / "usr", coming),
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
                    Sentence("Not enough space"),
                    Sentence(
                        "{path} ({what}): {lack}.",
                        path=server_path(root, items[0][1]),
                        what=what,
                        lack=lack,
                    ),
                    Sentence("Free some space; dnf clean packages and old logs are a beginning."),
                )
            )
        return found

    # -- httpd -----------------------------------------------------------------------------

    def switched_off(self) -> list[Obstacle]:
        """A change ends with an httpd that serves, and this one is not to."""
        why = self.httpd.switched_off()
        if not why:
            return []
        return [
            Obstacle(
                SWITCHED_OFF,
                Sentence("Apache is switched off"),
                Sentence("{why}, so systemd and cPanel do not start Apache.", why=why),
                Sentence("Switch Apache on again and start it, then try again."),
            )
        ]

    def configuration(self) -> list[Obstacle]:
        found = []
        facts = self.profile.facts
        # What httpd said just now, when it was asked for its modules: it tests all for that too.
        said = str(facts.get("configured_error") or "")
        if said:
            found.append(
                Obstacle(
                    "config_broken",
                    Sentence("The configuration does not pass httpd's own test"),
                    said.replace("\n", " ")[:600],
                    Sentence("Mend it first, or it would be blamed on this change: httpd -t"),
                )
            )
        target = self._target()
        guarded: Any = facts.get("guarded_mpm_lines") or ()
        foreign = list(facts.get("foreign_mpm_files") or ())
        foreign += [item["path"] for item in guarded if target in item["under"]]
        if foreign:
            found.append(
                Obstacle(
                    "foreign_mpm",
                    Sentence("An MPM is loaded outside the packages"),
                    Sentence(
                        "{files} loads an MPM and belongs to no package: after the change httpd "
                        "would load two, or one whose file is gone.",
                        files=", ".join(dict.fromkeys(foreign)),
                    ),
                    Sentence("Remove the LoadModule line from {file}", file=foreign[0]),
                )
            )
        for code, fact, title, remedy in (
            (
                "prefork_only_directive",
                "prefork_only_directives",
                Sentence("A directive that only prefork knows"),
                Sentence("Put it inside <IfModule mpm_prefork_module> … </IfModule>"),
            ),
            (
                "threaded_only_directive",
                "threaded_only_directives",
                Sentence("A directive that {mpm} does not know", mpm=target),
                Sentence("Put it inside <IfModule !mpm_{mpm}_module> … </IfModule>", mpm=target),
            ),
        ):
            places: Any = facts.get(fact) or ()
            only = [item for item in places if target in item["refused_by"]]
            if only:
                found.append(Obstacle(code, title, _refused(only, target), remedy))
        return found

    def _target(self) -> str:
        """The MPM after the change."""
        coming = (_MPM.match(package.name) for package in self.transaction.install)
        staying = (_MPM.match(name) for name in self.profile.names)
        return next((match[1] for match in (*coming, *staying) if match), "")

    def proxied_panel(self, conf: ApacheConfig) -> list[Obstacle]:
        """Whether this panel is itself reached through the httpd that would be restarted: a
        proxied loopback port that a process of this project listens on."""
        ports: dict[int, str] = {}
        for item in conf.named("ProxyPass", "ProxyPassMatch", "RewriteRule"):
            for word in item.arguments:
                parts = urlsplit(word)
                if parts.scheme in ("http", "https") and _loopback(parts.hostname):
                    port = _port(word)
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
                            Sentence("This panel is behind the httpd it would restart"),
                            Sentence(
                                "{place} passes requests on to {process}.",
                                place=ports[socket.port],
                                process=described(pid),
                            ),
                            Sentence(
                                "Reach the panel on its own port (an SSH tunnel will do), and "
                                "take that line out for the time of the change."
                            ),
                        )
                    ]
        return []


def _refused(places: Sequence[Mapping[str, Any]], mpm: str) -> Sentence:
    first = places[0]
    if len(places) == 1:
        return Sentence(
            "{path} line {line}: {directive}. {mpm} would not start (AH00526).",
            path=first["path"],
            line=first["line"],
            directive=first["directive"],
            mpm=mpm,
        )
    return Sentence(
        "{path} line {line}: {directive}, and {count} more. {mpm} would not start (AH00526).",
        path=first["path"],
        line=first["line"],
        directive=first["directive"],
        count=len(places) - 1,
        mpm=mpm,
    )


def unsigned(sources: Mapping[str, Any]) -> list[Obstacle]:
    """Repositories that would supply a package without its signature being checked. (Whether
    the signatures are good is seen when the packages are downloaded.)"""
    repositories = sorted(
        {str(item["repository"]) for item in sources.values() if not item["checked"]}
    )
    return [
        Obstacle(
            "unsigned_repository",
            Sentence("A repository is not checked for signatures"),
            Sentence(
                "gpgcheck is off for {name}: anybody between here and there could supply the "
                "package.",
                name=name,
            ),
            Sentence("Set gpgcheck=1 and gpgkey= for {name}", name=name),
        )
        for name in repositories
    ]


def refusal(error: HostError) -> Obstacle:
    """A solver that could not answer, as an obstacle."""
    return Obstacle(
        error.code,
        error.message,
        error.output.strip()[:800] or error.message,
        error.remedy or Sentence("See the output of the package manager."),
    )


def _existing(path: Path) -> Path:
    while not path.exists():
        path = path.parent
    return path


def _loopback(host: str | None) -> bool:
    return host in ("localhost", "::1") or bool(host and host.startswith("127."))


def _port(url: str) -> int | None:
    match = re.match(r"https?://[^/]*?:(\d+)", url)
    return int(match[1]) if match else None


def _capital(said: Sentence) -> Sentence:
    """At the beginning of a sentence."""
    return Sentence(said.template[:1].upper() + said.template[1:], **said.values)


marked("Process {pid} ({command}), running for {since}")

"""What is installed on an EasyApache 4 server, as values.

Three things can disagree about the MPM of a server, and each is observed on its own:

* the *packages*: which ``ea-apache24-mod_mpm_*`` the rpm database holds;
* the *configuration* on disk: which MPM the next start of httpd would load;
* the *running* httpd: which MPM serves visitors at this moment.

A server is sound when all three name the same single MPM.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, order=True, slots=True)
class Package:
    """One installed or available package, named the way rpm names it."""

    name: str
    version: str
    release: str
    arch: str
    epoch: int = 0

    @property
    def evr(self) -> str:
        """Version and release, with the epoch in front only where there is one."""
        plain = f"{self.version}-{self.release}"
        return f"{self.epoch}:{plain}" if self.epoch else plain

    @property
    def nevra(self) -> str:
        return f"{self.name}-{self.evr}.{self.arch}"

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "epoch": self.epoch,
            "version": self.version,
            "release": self.release,
            "arch": self.arch,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Package:
        return cls(
            name=data["name"],
            version=data["version"],
            release=data["release"],
            arch=data["arch"],
            epoch=int(data.get("epoch", 0)),
        )


@dataclass(frozen=True, slots=True)
class Observation:
    """Which MPMs one observer saw, and whether it saw ITK.

    ``mpms`` is sorted. Exactly one is sound; none or several is a torn server.
    """

    mpms: tuple[str, ...] = ()
    itk: bool = False

    @property
    def mpm(self) -> str | None:
        """The one MPM seen, or None when there is none or more than one."""
        return self.mpms[0] if len(self.mpms) == 1 else None

    def as_json(self) -> dict[str, Any]:
        return {"mpms": list(self.mpms), "itk": self.itk}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Observation:
        return cls(mpms=tuple(sorted(data.get("mpms", ()))), itk=bool(data.get("itk", False)))


@dataclass(frozen=True, slots=True)
class Profile:
    """The installed profile of one server at one moment.

    ``configured`` and ``running`` are None when that observer could not answer (httpd is
    not running, or its configuration cannot be read); ``facts`` says why under
    ``configured_error`` and ``running_error``.

    ``facts`` carries what the rules want to know beyond packages; every key is optional:
    ``httpd_version`` (str), ``os`` (str), ``threads`` and ``safe_thread_polling`` (bool),
    ``php_dso_sites`` ({package: [site]}), ``unfinished_transaction`` (str),
    ``edited_config_files`` ({path: package}), ``foreign_mpm_files`` ([path]),
    ``prefork_only_directives`` and ``threaded_only_directives`` ([{path, line, directive,
    refused_by: [mpm]}]), ``guarded_mpm_lines`` ([{path, line, directive, under: [mpm]}]: an MPM
    loaded outside the packages, where another one runs), ``misnamed_sections`` ([{path, line,
    directive, name, right}]), ``config_unread`` ([str]), ``listeners`` ([[address, port]] held by
    httpd, the address empty for all), ``excludes`` ([str]),
    ``version_locks`` ([str]), ``missing_files`` ({package: [path]}).
    ``httpd_started`` (str; another value after every full start of httpd, the same after a
    graceful reload).
    ``httpd_said`` ({code of a known failure: line}) is what its error log tells since then, and
    what its test warns of.
    ``service`` ({active, main, pid, group}) is there where httpd runs and is not what systemd has
    as its httpd.service: in which state that is, its main process, the running httpd, and the
    control group of httpd where that is another one.
    ``incomplete_change`` (its number) and ``agent_offline`` (bool) are not the server's but the
    panel's, which adds them when it plans (mpm.servers.health).
    ``relations`` ({name: {requires, conflicts, provides}}) holds what the rpm database says
    of installed packages that the catalogue does not know.
    """

    packages: tuple[Package, ...]
    configured: Observation | None = None
    running: Observation | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def names(self) -> frozenset[str]:
        return frozenset(package.name for package in self.packages)

    @property
    def digest(self) -> str:
        """Changes exactly when a package or one of the three observations changes."""
        return digest_of(
            {
                "packages": sorted(package.nevra for package in self.packages),
                "configured": self.configured.as_json() if self.configured else None,
                "running": self.running.as_json() if self.running else None,
            }
        )

    def as_json(self) -> dict[str, Any]:
        return {
            "packages": [package.as_json() for package in sorted(self.packages)],
            "configured": self.configured.as_json() if self.configured else None,
            "running": self.running.as_json() if self.running else None,
            "facts": dict(self.facts),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Profile:
        configured, running = data.get("configured"), data.get("running")
        return cls(
            packages=tuple(sorted(Package.from_json(item) for item in data["packages"])),
            configured=Observation.from_json(configured) if configured else None,
            running=Observation.from_json(running) if running else None,
            facts=_facts(data.get("facts")),
        )


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _lists_by_name(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_texts, value.values()))


def _texts_by_name(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(item, str) for item in value.values())


def _relations(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_lists_by_name, value.values()))


def _directives(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(item, dict) and {"path", "line", "directive"} <= item.keys() for item in value
    )


def _of(*kinds: type) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, kinds)


def _load_average(value: Any) -> bool:
    """Of one, five and fifteen minutes."""
    return (
        isinstance(value, list)
        and len(value) == 3
        and all(isinstance(one, int | float) and 0 <= one < 1e6 for one in value)
    )


_SHAPES: Mapping[str, Callable[[Any], bool]] = {
    **dict.fromkeys(("php_dso_sites", "missing_files"), _lists_by_name),
    **dict.fromkeys(("edited_config_files", "httpd_said"), _texts_by_name),
    **dict.fromkeys(("foreign_mpm_files", "excludes", "version_locks"), _texts),
    **dict.fromkeys(("threads", "safe_thread_polling"), _of(bool)),
    **dict.fromkeys(
        (
            *("httpd_version", "os", "unfinished_transaction", "httpd_started"),
            *("configured_error", "running_error", "cpanel_version"),
        ),
        _of(str),
    ),
    **dict.fromkeys(("last_transaction", "load", "capacity", "service"), _of(dict)),
    "prefork_only_directives": _directives,
    "load_average": _load_average,
    "relations": _relations,
}


def _facts(said: Any) -> dict[str, Any]:
    """The facts that have the shape the rules and pages read; one of another shape is as if nobody
    had told it."""
    if not isinstance(said, Mapping):
        return {}
    return {
        str(name): value
        for name, value in said.items()
        if value is None or name not in _SHAPES or _SHAPES[name](value)
    }


@dataclass(frozen=True, slots=True)
class Transaction:
    """What a package manager would do: whole packages in and out, each with its reason.

    Reasons are the solver's: ``asked``, ``dependency``, ``conflict``, ``dependent``. ``sizes``
    is what the package manager said they weigh, in bytes: ``download`` and ``install`` of what
    comes, ``remove`` of what leaves, each by name; empty where it said nothing. Two transactions
    that move the same packages are the same, whatever was said of sizes.
    """

    install: tuple[Package, ...] = ()
    remove: tuple[Package, ...] = ()
    reasons: Mapping[str, str] = field(default_factory=dict)
    sizes: Mapping[str, Mapping[str, int]] = field(default_factory=dict, compare=False)

    @property
    def empty(self) -> bool:
        return not self.install and not self.remove

    @property
    def digest(self) -> str:
        return digest_of(
            {
                "install": sorted(package.nevra for package in self.install),
                "remove": sorted(package.nevra for package in self.remove),
            }
        )

    @property
    def inverse(self) -> Transaction:
        return Transaction(install=self.remove, remove=self.install)

    def as_json(self) -> dict[str, Any]:
        return {
            "install": [package.as_json() for package in sorted(self.install)],
            "remove": [package.as_json() for package in sorted(self.remove)],
            "reasons": dict(self.reasons),
            **(
                {"sizes": {kind: dict(by) for kind, by in self.sizes.items()}} if self.sizes else {}
            ),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Transaction:
        def packages(items: Iterable[Mapping[str, Any]]) -> tuple[Package, ...]:
            return tuple(sorted(Package.from_json(item) for item in items))

        return cls(
            install=packages(data.get("install", ())),
            remove=packages(data.get("remove", ())),
            reasons=dict(data.get("reasons") or {}),
            sizes={
                str(kind): {str(name): int(size) for name, size in by.items()}
                for kind, by in (data.get("sizes") or {}).items()
            },
        )


def digest_of(value: Any) -> str:
    """A short stable fingerprint of a JSON value: 32 hexadecimal digits of SHA-256."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]

"""The installed packages and the state of an EasyApache 4 server, as values.

Three sources can disagree about the MPM of a server, and each is observed separately:

* the *packages*: which ``ea-apache24-mod_mpm_*`` the rpm database holds;
* the *configuration* on disk: which MPM the next start of httpd would load;
* the *running* httpd: which MPM serves visitors at this moment.

A server is sound when all three name the same single MPM.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, TypedDict

from msgspec import Meta

from easyapache.ea4.schema import Schema, Short, fits

MOST_PACKAGES = 10_000
if TYPE_CHECKING:
    Facts = Mapping[str, Any]
else:
    Facts = Any  # anything is let in, and left out where it has another shape


@dataclass(frozen=True, order=True, slots=True)
class Package(Schema):
    """One installed or available package, named the way rpm names it."""

    KEYS: ClassVar = ("name", "epoch", "version", "release", "arch")
    name: Short
    version: Short
    release: Short
    arch: Short
    epoch: int = 0

    @property
    def evr(self) -> str:
        """Version and release, with the epoch in front only where there is one."""
        plain = f"{self.version}-{self.release}"
        return f"{self.epoch}:{plain}" if self.epoch else plain

    @property
    def nevra(self) -> str:
        return f"{self.name}-{self.evr}.{self.arch}"


Packages = Annotated[tuple[Package, ...], Meta(max_length=MOST_PACKAGES)]


@dataclass(frozen=True, slots=True)
class Observation(Schema):
    """Which MPMs one observer saw, and whether it saw ITK.

    ``mpms`` is sorted. Exactly one is sound; none or several is a torn server.
    """

    mpms: Annotated[tuple[Short, ...], Meta(max_length=100)] = ()
    itk: bool = False

    @property
    def mpm(self) -> str | None:
        """The one MPM seen, or None when there is none or more than one."""
        return self.mpms[0] if len(self.mpms) == 1 else None

    def __post_init__(self) -> None:
        object.__setattr__(self, "mpms", tuple(sorted(self.mpms)))


@dataclass(frozen=True, slots=True)
class Profile(Schema):
    """The installed profile of one server at one moment.

    ``configured`` and ``running`` are None if they could not be observed (httpd is not running, or
    its configuration cannot be read); ``facts`` has the reasons in ``configured_error`` and
    ``running_error``.

    ``facts`` has the rules' input besides packages; every key is optional: ``httpd_version`` (str),
    ``os`` (str), ``threads`` and ``safe_thread_polling`` (bool), ``php_dso_sites`` ({package:
    [site]}), ``unfinished_transaction`` (str), ``edited_config_files`` ({path: package}),
    ``foreign_mpm_files`` ([path]), ``prefork_only_directives`` and ``threaded_only_directives``
    ([{path, line, directive, refused_by: [mpm]}]), ``guarded_mpm_lines`` ([{path, line, directive,
    under: [mpm]}]: an MPM loaded outside the packages, where another one runs),
    ``misnamed_sections`` ([{path, line, directive, name, right}]), ``config_unread`` ([str]),
    ``listeners`` ([[address, port]] held by httpd, the address empty for all), ``excludes``
    ([str]), ``version_locks`` ([str]), ``repository_filters`` ({repository: {excludes, includes}}
    of the enabled ones), ``missing_files`` ({package: [path]}), ``overridden_limits`` ([{path,
    line, directive, by: {path, line, directive}}]), ``htaccess_directives`` ([{path, line,
    directive, package}], which only ``package`` provides), ``htaccess_incomplete`` (bool: a limit
    of that search was reached), ``other_servers`` ([{program, port, pid}] that listen on 80 or
    443). ``httpd_started`` (str; another value after every full start of httpd, the same after a
    graceful reload). ``httpd_said`` ({code of a known failure: line}) has conditions from its error
    log since then, and from warnings of its config test. ``service`` ({active, main, pid, group})
    exists if httpd runs and is not systemd's httpd.service: the state of that service, its main
    process, the running httpd, and the control group of httpd if it is another one.
    ``module_directives`` ({package: [{path, line, directive}]} that only its module knows, outside
    of sections that might not hold without it). Only with mod_ruid2 or MPM ITK: ``closed_roots``
    ([document root] that httpd's own user can't read), ``folders_of_users`` ([{path, line,
    directive}] of folders that httpd writes to), ``userdir_returns`` (bool: UserDir is off because
    of them alone). ``local_templates`` ([{path, lines: [{path, line, directive, refused_by}]}] of
    cPanel's templates that were replaced). ``immutable_files`` ({path: package, or "" if every
    change writes there} that can't be replaced). ``semaphores`` ({used, limit} of System V sets),
    ``reloads_a_day`` (int: graceful restarts, since httpd was started).
    ``incomplete_change`` (its number) and ``agent_offline`` (bool) are added by the panel when it
    plans (mpm.servers.health). ``relations`` ({name: {requires, conflicts, provides}}) has the rpm
    database's relations of installed packages that are not in the catalog.
    """

    packages: Packages
    configured: Observation | None = None
    running: Observation | None = None
    facts: Facts = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "packages", tuple(sorted(self.packages)))
        facts: Any = self.facts
        facts = facts if isinstance(facts, Mapping) else {}
        readable = {name: fact for name, fact in facts.items() if _readable(name, fact)}
        if readable != self.facts:
            object.__setattr__(self, "facts", readable)

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


class Place(TypedDict):
    """A directive in a file of httpd's configuration."""

    path: str
    line: int
    directive: str


class Template(TypedDict):
    """A template of httpd.conf, with lines that some MPM refuses."""

    path: str
    lines: list[Place]


_Average = Annotated[float, Meta(ge=0, lt=1e6)]
"""Of one, five and fifteen minutes."""

_SHAPES: Mapping[str, Any] = {
    **dict.fromkeys(("php_dso_sites", "missing_files"), dict[str, list[str]]),
    **dict.fromkeys(("edited_config_files", "httpd_said"), dict[str, str]),
    **dict.fromkeys(("foreign_mpm_files", "excludes", "version_locks"), list[str]),
    **dict.fromkeys(("threads", "safe_thread_polling"), bool),
    **dict.fromkeys(
        (
            *("httpd_version", "os", "unfinished_transaction", "httpd_started"),
            *("configured_error", "running_error", "cpanel_version"),
        ),
        str,
    ),
    **dict.fromkeys(("last_transaction", "load", "capacity", "service"), dict[str, Any]),
    **dict.fromkeys(("prefork_only_directives", "folders_of_users"), list[Place]),
    "module_directives": dict[str, list[Place]],
    "closed_roots": list[str],
    "userdir_returns": bool,
    "local_templates": list[Template],
    "immutable_files": dict[str, str],
    "semaphores": dict[str, int],
    "reloads_a_day": int,
    "load_average": tuple[_Average, _Average, _Average],
    "relations": dict[str, dict[str, list[str]]],
}


def _readable(name: str, fact: Any) -> bool:
    """Whether a fact has the shape that rules and pages read; one of another is left out."""
    return fact is None or name not in _SHAPES or fits(_SHAPES[name], fact)


@dataclass(frozen=True, slots=True)
class Transaction(Schema):
    """A package manager's transaction: packages to install and to remove, each with its reason.

    Reasons are the solver's: ``asked``, ``dependency``, ``conflict``, ``dependent``. ``sizes`` are
    those of the package manager, in bytes by name: ``download`` and ``install`` of packages to
    install, ``remove`` of those to remove; empty if unknown. Transactions with the same packages
    are equal, whatever their sizes.
    """

    IF_ANY: ClassVar = frozenset({"sizes"})
    install: Packages = ()
    remove: Packages = ()
    reasons: Mapping[str, str] = field(default_factory=dict)
    sizes: Mapping[str, Mapping[str, int]] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        for name in ("install", "remove"):
            object.__setattr__(self, name, tuple(sorted(getattr(self, name))))

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


def digest_of(value: Any) -> str:
    """A short stable fingerprint of a JSON value: 32 hexadecimal digits of SHA-256."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]

"""What httpd's conditions are about while it reads its configuration: which modules are loaded by
then, with which flags it was started, which version it is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from easyapache.agent.httpd.elf import BIGGEST, names_in, stamp_of

STATIC = ("core.c", "mod_so.c", "http_core.c", "mod_unixd.c", "mod_log_config.c", "mod_version.c")
"""The modules compiled into httpd unless known otherwise (from ``httpd -l``)."""

_FILES = {
    "mpm_event_module": "event.c",
    "mpm_worker_module": "worker.c",
    "mpm_prefork_module": "prefork.c",
    "mpm_itk_module": "mpm_itk.c",
    "ldap_module": "util_ldap.c",
    "pagespeed_module": "mod_pagespeed.cc",
}
"""{module: the source file by which it is also known}, where that is not ``mod_NAME.c``."""
_SYMBOLS = {
    "core.c": "core_module",
    "http_core.c": "http_module",
    **{file: symbol for symbol, file in _FILES.items()},
}
_ALWAYS = frozenset(
    {
        *("virtualhost", "directory", "directorymatch", "location", "locationmatch", "files"),
        *("filesmatch", "if", "elseif", "else", "ifmodule", "ifdefine", "iffile", "ifdirective"),
        *("ifsection", "limit", "limitexcept"),
    }
)
_BY_MODULE = {
    "proxy": "proxy_module",
    "proxymatch": "proxy_module",
    "macro": "macro_module",
    "ifversion": "version_module",
    "requireall": "authz_core_module",
    "requireany": "authz_core_module",
    "requirenone": "authz_core_module",
    "authnprovideralias": "authn_core_module",
    "authzprovideralias": "authz_core_module",
    "mdomain": "md_module",
    "mdomainset": "md_module",
}


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The conditions under which httpd reads its configuration.

    ``flags``: of -D. ``environment``: values for ``${NAME}``. ``version``: as 2.4.67; empty where
    unknown. ``static``: source files of the modules compiled in. ``before`` and ``after``:
    directives of -C and -c. ``program``: httpd's own file. ``mpm``: read as after a change to that
    MPM, with the lines of packages altered, or the first one if none is from a package
    (``packaged``).
    """

    flags: frozenset[str] = frozenset()
    environment: Mapping[str, str] = field(default_factory=dict)
    version: str = ""
    static: tuple[str, ...] = STATIC
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    program: Path | None = None
    mpm: str | None = None
    packaged: bool = True


class Loaded:
    """The modules that are there at one point of the configuration."""

    def __init__(self, static: tuple[str, ...], program: Path | None = None) -> None:
        self._names = set(static)
        self.program = program
        self._files: list[Path] = []
        for file in static:
            name = file.removesuffix(".c").removeprefix("mod_")
            self._names.add(_SYMBOLS.get(file, f"{name}_module"))

    def add(self, symbol: str, file: Path) -> None:
        self._names.add(symbol)
        if symbol not in _KNOWN_WITHOUT_FILE or file.exists():
            self._files.append(file)
        if symbol in _FILES:
            self._names.add(_FILES[symbol])
        else:
            # PHP's library is libphp, its source mod_php; otherwise library and source have the
            # same name.
            stem = file.stem
            self._names.add(f"{stem if stem.startswith('mod_') else f'mod_{stem}'}.c")
            self._names.add(f"mod_{symbol.removesuffix('_module')}.c")

    def has(self, name: str) -> bool:
        return name in self._names

    def has_section(self, name: str) -> bool:
        """Whether httpd knows ``<name …>``."""
        if name in _BY_MODULE:  # httpd itself mentions some of them
            return _BY_MODULE[name] in self._names
        return name in _ALWAYS or self._in_a_file(f"<{name}")

    def knows(self, directive: str) -> bool:
        """Whether httpd knows a directive that belongs to no MPM: its name is in the table of a
        loaded module or of httpd itself. Of a file that isn't there (yet), the name of the module
        decides; if that doesn't tell, the directive is assumed to be known, as most guarded ones
        are."""
        if self._in_a_file(directive):
            return True
        for prefixes, symbols in _PREFIXES.items():
            if directive.startswith(prefixes):
                return any(symbol in self._names for symbol in symbols)
        return self.program is None or not all(map(_readable, self._files))

    def _in_a_file(self, directive: str) -> bool:
        files = (path for path in (self.program, *self._files) if path)
        return any(directive in directives_in(path) for path in files)


def directives_in(path: Path) -> frozenset[str]:
    """The directives of a module's file or of httpd, in lower case; nothing if it isn't there."""
    stamp = stamp_of(path)
    return names_in(path, stamp) if stamp else frozenset()


def _readable(path: Path) -> bool:
    stamp = stamp_of(path)
    return stamp is not None and stamp[1] <= BIGGEST


_PREFIXES: Mapping[tuple[str, ...], tuple[str, ...]] = {
    ("ssl",): ("ssl_module",),
    ("proxy",): ("proxy_module",),
    ("h2",): ("http2_module",),
    ("php_",): ("php_module", "php7_module", "php5_module"),
    ("scriptsock", "cgidscript"): ("cgid_module",),
    ("scriptlog",): ("cgi_module", "cgid_module"),
    ("suexec",): ("suexec_module",),
    ("fcgid",): ("fcgid_module",),
    ("sec",): ("security2_module",),
    ("rmode", "ruidgid", "rgroups"): ("ruid2_module",),
    ("assignuserid", "maxclientsvhost"): ("mpm_itk_module",),
    ("rewrite",): ("rewrite_module",),
}


_KNOWN_WITHOUT_FILE = frozenset(
    {
        *("mpm_event_module", "mpm_worker_module", "mpm_prefork_module", "cgi_module"),
        *(symbol for symbols in _PREFIXES.values() for symbol in symbols),
    }
)
"""Modules that an exchange of the MPM may bring, and of which the directives are known here."""


class VersionTest:
    """The condition of ``<IfVersion>``: an operator (``=`` where there is none) and a version."""

    _FORM = re.compile(r"\s*(!?)(==?|>=?|<=?|~)?\s*(.*?)\s*\Z", re.DOTALL)

    def __init__(self, argument: str) -> None:
        # The reader takes a section's text to its first ">", which may be the operator's own.
        found = self._FORM.match(argument)
        assert found is not None  # every part may be empty
        self.negated, self.operator, self.wanted = found[1] == "!", found[2] or "=", found[3]

    def holds(self, version: str) -> bool:
        """For an unknown version every test passes, so that the guarded lines are read."""
        if not version:
            return True
        wanted = self.wanted.strip("\"'")
        if self.operator == "~" or (self.operator in ("=", "==") and wanted.startswith("/")):
            try:
                found = re.search(wanted.strip("/"), version) is not None
            except re.error:
                return True
            return found is not self.negated
        ours, theirs = _numbers(version), _numbers(wanted)
        result = {
            "=": ours == theirs,
            "==": ours == theirs,
            ">": ours > theirs,
            ">=": ours >= theirs,
            "<": ours < theirs,
            "<=": ours <= theirs,
        }[self.operator]
        return result is not self.negated


def _numbers(version: str) -> tuple[int, int, int]:
    found = [int(part) for part in re.findall(r"\d{1,6}", version)[:3]]
    return (*found, 0, 0, 0)[:3]  # type: ignore[return-value]

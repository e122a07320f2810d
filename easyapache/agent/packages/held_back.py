"""What dnf's configuration hides or pins: exclude=, excludepkgs=, includepkgs=, version locks.

An exclude of [main] hides a package everywhere; one of a repository hides it in that repository
only, and only while the repository is enabled (dnf.conf(5)). dnf is not run: its files are read,
each up to a limit.
"""

from __future__ import annotations

import configparser
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

_CONFS = ("etc/dnf/dnf.conf", "etc/yum.conf", "etc/yum/yum.conf")
_LOCK_CONFS = ("etc/dnf/plugins/versionlock.conf", "etc/yum/pluginconf.d/versionlock.conf")
_LOCK_FILES = ("etc/dnf/plugins/versionlock.list", "etc/yum/pluginconf.d/versionlock.list")
_LOCKS_OF_DNF5 = "etc/dnf/versionlock.toml"
_MOST_BYTES = 1 << 20
_OFF = frozenset({"0", "no", "false", "off"})
Sections = Mapping[str, Mapping[str, str]]


def excludes(root: Path) -> list[str]:
    """Patterns that hide a package in every repository."""
    found: set[str] = set()
    for sections in _configuration(root):
        main = sections.get("main", {})
        if not {"all", "main"} & _disabled(main):
            found.update(_patterns(main, "exclude", "excludepkgs"))
    return sorted(found)


def repository_filters(root: Path) -> dict[str, dict[str, list[str]]]:
    """{repository: {"excludes": patterns, "includes": patterns}} of the enabled ones. Those
    without any are there too: they hide nothing."""
    found: dict[str, dict[str, list[str]]] = {}
    disabled, everywhere = set[str](), set[str]()
    for sections in _configuration(root):
        main = sections.get("main", {})
        disabled |= _disabled(main)
        everywhere.update(_patterns(main, "includepkgs"))
    if {"all", "main"} & disabled:
        everywhere.clear()
    for path in sorted((root / "etc/yum.repos.d").glob("*.repo")):
        for name, values in _sections(path).items():
            if name == "main" or values.get("enabled", "1").strip().lower() in _OFF:
                continue
            found[name] = {"excludes": [], "includes": sorted(everywhere)}
            if not {"all", name} & disabled:
                own = _patterns(values, "includepkgs")
                found[name] = {
                    "excludes": _patterns(values, "exclude", "excludepkgs"),
                    "includes": own or sorted(everywhere),
                }
    return found


def version_locks(root: Path) -> list[str]:
    """Patterns that the versionlock plugin pins; none where it is switched off."""
    found: set[str] = set()
    for conf, listed in zip(_LOCK_CONFS, _LOCK_FILES, strict=True):
        main = _sections(root / conf).get("main", {})
        if main.get("enabled", "1").strip().lower() in _OFF:
            continue
        named = main.get("locklist", "").strip().lstrip("/") or listed
        lines = _text(root / named).splitlines()
        found.update(line.strip() for line in lines if line.strip() and not line.startswith("#"))
    found.update(_locks_of_dnf5(root / _LOCKS_OF_DNF5))
    return sorted(found)


def _locks_of_dnf5(path: Path) -> Iterator[str]:
    """Locked packages: dnf 5 keeps its conditions apart from the name. One that asks for exactly
    one version is that of dnf 4 in another form; the others are no more than a name."""
    try:
        packages = tomllib.loads(_text(path)).get("packages", ())
    except tomllib.TOMLDecodeError:
        return
    for item in packages if isinstance(packages, Sequence) else ():
        name = item.get("name") if isinstance(item, Mapping) else None
        if isinstance(name, str) and name:
            yield next((f"{name}-{evr}.*" for evr in _exact_versions(item)), name)


def _exact_versions(item: Mapping[str, object]) -> Iterator[str]:
    conditions = item.get("conditions")
    for one in conditions if isinstance(conditions, Sequence) else ():
        if isinstance(one, Mapping) and (one.get("key"), one.get("comparator")) == ("evr", "="):
            yield str(one.get("value"))


def _configuration(root: Path) -> Iterator[Sections]:
    for name in _CONFS:
        yield _sections(root / name)


def _sections(path: Path) -> Sections:
    """{section: {key: value}}; empty for a file that is not there or cannot be read as one."""
    parser = configparser.RawConfigParser(strict=False, delimiters=("=",), allow_no_value=True)
    try:
        parser.read_string(_text(path))
    except configparser.Error:
        return {}
    return {
        name: {key: value or "" for key, value in parser.items(name)} for name in parser.sections()
    }


def _disabled(main: Mapping[str, str]) -> set[str]:
    """Whose excludes and includes do not count: ``all``, ``main``, or names of repositories."""
    return set(_patterns(main, "disable_excludes"))


def _patterns(values: Mapping[str, str], *keys: str) -> list[str]:
    patterns = " ".join(values.get(key, "") for key in keys).replace(",", " ").split()
    return sorted({pattern for pattern in patterns if pattern != "\\"})


def _text(path: Path) -> str:
    """The beginning of a file, or "" where there is none that can be read."""
    try:
        if not path.is_file():
            return ""
        with path.open("rb") as handle:
            return handle.read(_MOST_BYTES).decode(errors="replace")
    except OSError:
        return ""

"""Reads the rpm database: installed packages, their descriptions, the state of their files.

rpm's queries read a snapshot; none of them takes or waits for the package manager's lock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from easyapache.agent.runner import Finished, Runner
from easyapache.agent.server import HostError
from easyapache.ea4.package_metadata import Description
from easyapache.ea4.profile import Package
from easyapache.ea4.sentences import Sentence

_FORMAT = "%{NAME}\\t%{EPOCH}\\t%{VERSION}\\t%{RELEASE}\\t%{ARCH}\\n"
_RELATIONS = (
    "N %{NAME}\\n"
    "[R %{REQUIRENAME} %{REQUIREFLAGS:depflags} %{REQUIREVERSION}\\n]"
    "[C %{CONFLICTNAME} %{CONFLICTFLAGS:depflags} %{CONFLICTVERSION}\\n]"
    "[P %{PROVIDENAME} %{PROVIDEFLAGS:depflags} %{PROVIDEVERSION}\\n]"
)
_TAGS = ("NAME", "LONGSIZE", "LICENSE", "GROUP", "URL", "SUMMARY", "DESCRIPTION")
_KEYS = ("name", "size", "license", "group", "url", "summary", "description")
_FIELD, _RECORD = "\x1f", "\x1e"
"""ASCII's own separators: a description has lines and tabs of its own."""
_DESCRIPTIONS = _FIELD.join(f"%{{{tag}}}" for tag in _TAGS) + _RECORD
_KINDS = {"R": "requires", "C": "conflicts", "P": "provides"}


@dataclass(frozen=True, slots=True)
class Verified:
    """One line of ``rpm -V``: a file that differs from its package.

    ``flags`` is rpm's own column (``5`` contents, ``S`` size, ``T`` time …); ``missing``: the file
    does not exist; ``config``: the package marks it as configuration.
    """

    path: str
    flags: str
    missing: bool
    config: bool

    @property
    def torn(self) -> bool:
        """Different content with the package's time: rpm wrote it, and a power cut destroyed the
        content before it was on disk. Editing a file would change its time."""
        return not self.missing and "5" in self.flags and "T" not in self.flags

    @property
    def lost(self) -> bool:
        return self.missing or self.torn

    @property
    def edited(self) -> bool:
        return self.config and not self.lost and "5" in self.flags


class RpmDatabase:
    """``command``: argv prefix of rpm. ``root``: folder used as ``/``."""

    def __init__(self, runner: Runner, command: Sequence[str], root: Path) -> None:
        self._runner = runner
        self.command = tuple(command)
        if root != Path("/") and not any(item.startswith("--root") for item in command):
            self.command += ("--root", str(root))

    def installed(self, pattern: str = "ea-*") -> tuple[Package, ...]:
        """Installed packages whose name fits ``pattern``, duplicates included.
        Raises HostError ``rpm_database`` when the database cannot be read."""
        return packages_from(self._query_all(_FORMAT, pattern).stdout)

    def owned_paths(self, names: Iterable[str]) -> dict[str, str]:
        """{path: package} of every file that the named packages brought."""
        wanted = sorted(set(names))
        if not wanted:
            return {}
        found = self._runner.capture(
            [*self.command, "-q", "--qf", "[%{FILENAMES}\\t%{=NAME}\\n]", *wanted]
        )
        lines = (line.split("\t") for line in found.stdout.splitlines())
        return {parts[0]: parts[1] for parts in lines if len(parts) == 2}

    def verify(self, names: Iterable[str]) -> dict[str, tuple[Verified, ...]]:
        """Files that differ from their package, by package; unchanged packages are left out.

        Only files are compared: no dependencies, no scriptlets.
        """
        wanted = sorted(set(names))
        altered = self.altered(wanted)
        return by_owner(altered, self.owned_paths(wanted)) if altered else {}

    def altered(self, names: Iterable[str]) -> list[Verified]:
        """The same, without saying which package each file belongs to."""
        wanted = sorted(set(names))
        if not wanted:
            return []
        found = self._runner.capture([*self.command, "-V", "--nodeps", "--noscripts", *wanted])
        return verified_from(found.stdout)

    def relations(self, names: Iterable[str]) -> dict[str, dict[str, list[str]]]:
        """{name: {requires, conflicts, provides}}, as in a spec file."""
        wanted = sorted(set(names))
        if not wanted:
            return {}
        found = self._runner.capture([*self.command, "-q", "--qf", _RELATIONS, *wanted])
        return relations_from(found.stdout)

    def descriptions(self, pattern: str = "ea-*") -> dict[str, Description]:
        """{name: description} of the installed packages. Raises HostError."""
        found = self._query_all(_DESCRIPTIONS, pattern)
        return descriptions_from(found.stdout)

    def _query_all(self, form: str, pattern: str) -> Finished:
        """Raises HostError ``rpm_database`` when the database cannot be read."""
        found = self._runner.capture([*self.command, "-qa", "--qf", form, pattern])
        if not found.ok:
            raise HostError(
                "rpm_database",
                Sentence("The rpm database cannot be read."),
                Sentence("Check the disk for space and errors, then run: rpm --rebuilddb"),
                found.text,
            )
        return found


def packages_from(text: str) -> tuple[Package, ...]:
    """Read the lines of our own query format; lines of any other shape are not packages."""
    found = []
    for line in text.splitlines():
        parts = line.split("\t")
        if len(parts) == 5:
            name, epoch, version, release, arch = parts
            found.append(
                Package(name, version, release, arch, int(epoch) if epoch.isdigit() else 0)
            )
    return tuple(sorted(found))


def descriptions_from(text: str) -> dict[str, Description]:
    """Read the output of our descriptions query; rpm prints ``(none)`` for empty values."""
    found = {}
    for record in text.split(_RECORD):
        parts = [part if part != "(none)" else "" for part in record.split(_FIELD)]
        if len(parts) == len(_TAGS) and parts[1].isdecimal():
            values = dict(zip(_KEYS, parts, strict=True))
            found[values.pop("name")] = Description.from_json(values | {"size": int(parts[1])})
    return found


def by_owner(
    altered: Iterable[Verified], owned: Mapping[str, str]
) -> dict[str, tuple[Verified, ...]]:
    """{package: its files}; ``owned`` is the result of ``owned_paths``."""
    problems: dict[str, list[Verified]] = {}
    for item in altered:
        problems.setdefault(owned.get(item.path, ""), []).append(item)
    return {name: tuple(items) for name, items in problems.items() if name}


def verified_from(text: str) -> list[Verified]:
    """Read ``rpm -V``: ``S.5....T.  c /path`` and ``missing   c /path (why)``."""
    found = []
    for line in text.splitlines():
        flags, _, rest = line.partition(" ")
        rest = rest.strip()
        config = rest.startswith("c ")
        if len(rest) > 2 and rest[1] == " " and rest[0] in "cdglr":
            rest = rest[2:].strip()
        if not rest.startswith("/"):
            continue
        missing = flags == "missing"
        path = rest.rpartition(" (")[0] if missing and rest.endswith(")") else rest
        found.append(Verified(path, "" if missing else flags, missing, config))
    return found


def relations_from(text: str) -> dict[str, dict[str, list[str]]]:
    """Read the lines of our relations query. rpm's own ``rpmlib(…)`` needs are left out."""
    found: dict[str, dict[str, list[str]]] = {}
    current: dict[str, list[str]] = {}
    for line in text.splitlines():
        mark, _, rest = line.partition(" ")
        if mark == "N":
            current = found.setdefault(
                rest.strip(), {"requires": [], "conflicts": [], "provides": []}
            )
        elif mark in _KINDS and not rest.startswith("rpmlib("):
            relation = " ".join(rest.split())
            if relation and relation not in current[_KINDS[mark]]:
                current[_KINDS[mark]].append(relation)
    return found

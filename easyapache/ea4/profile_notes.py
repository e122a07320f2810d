"""What is worth knowing about a profile file before it is provisioned, besides its packages.

Sources: cPanel's list of packages (ea-cpanel-tools, pkg-manifest.json) and of renamed ones for an
upgrade of the operating system (target-os-pkg-renames.json), and CloudLinux' documentation.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from easyapache.ea4.mpm import CGI, CGID, FCGID, ITK, RUID2, SUEXEC, SUPHP
from easyapache.ea4.profile_file import ProfileFile
from easyapache.ea4.sentences import Sentence

_AS_THE_USER = frozenset({SUEXEC, SUPHP, RUID2, ITK, "ea-apache24-mod_lsapi"})
_RUNS_CODE = frozenset({CGI, CGID, FCGID})


@dataclass(frozen=True, slots=True)
class Group:
    """Packages that are in no repository of the server for the same reason."""

    title: str
    about: str
    names: tuple[str, ...]


_REASONS: tuple[tuple[re.Pattern[str], Sentence, Sentence], ...] = (
    (
        re.compile(r".*-debug(?:info|source)\Z"),
        Sentence("Debug packages"),
        Sentence("Provisioning doesn't need them."),
    ),
    (
        re.compile(r"ea-ruby2[47]-mod_passenger\Z"),
        Sentence("Renamed"),
        Sentence("On newer operating systems the package is ea-apache24-mod-passenger."),
    ),
    (
        re.compile(
            r"ea-apache24-mod_(?:hostinglimits|lsapi|proctitle)\Z|ea-liblsapi\Z"
            r"|ea-apache24-mod-alt-passenger\Z|alt-.*"
        ),
        Sentence("CloudLinux only"),
        Sentence("CloudLinux provides these packages; other systems don't have them."),
    ),
    (
        re.compile(r"ea-apache24-mod_(?:cloudflare|pagespeed)\Z"),
        Sentence("From another publisher"),
        Sentence("EasyApache 4 doesn't include them."),
    ),
    (
        re.compile(r"ea-(?:php5[3-6]|php7[01]|ruby24|nodejs10|openssl11)(?:-.*)?\Z"),
        Sentence("No longer supported"),
        Sentence("Current operating systems have no packages of these versions."),
    ),
)
_OS = re.compile(
    r"(alma|rocky|centos|cloudlinux|red ?hat|rhel|oracle|ubuntu)\D*(\d+)", re.IGNORECASE
)
_NAMES = {
    "alma": "AlmaLinux",
    "rocky": "Rocky Linux",
    "centos": "CentOS",
    "cloudlinux": "CloudLinux",
    "redhat": "Red Hat Enterprise Linux",
    "rhel": "Red Hat Enterprise Linux",
    "oracle": "Oracle Linux",
    "ubuntu": "Ubuntu",
}


def reasons(unknown: Iterable[str]) -> tuple[Group, ...]:
    """``unknown`` packages by the reason why the server doesn't have them; those for which none is
    known are left out (see ``unexplained``)."""
    names = sorted(unknown)
    found = []
    for pattern, title, about in _REASONS:
        mine = tuple(name for name in names if pattern.match(name))
        names = [name for name in names if name not in mine]
        if mine:
            found.append(Group(title, about, mine))
    return tuple(found)


def unexplained(unknown: Iterable[str]) -> tuple[str, ...]:
    """The others: in no catalog here, though the repositories may have them."""
    return tuple(
        name
        for name in sorted(unknown)
        if not any(pattern.match(name) for pattern, _, _ in _REASONS)
    )


def runs_code_as_nobody(file: ProfileFile) -> bool:
    """Whether CGI and PHP handlers of such a server run as Apache's own user: it has what runs
    them, and nothing that changes the user."""
    return bool(file.names & _RUNS_CODE) and not file.names & _AS_THE_USER


def made_for(file: ProfileFile) -> str:
    """The operating system that the file names, or that its packages are of; empty if neither."""
    upgrade = file.extra.get("os_upgrade")
    if isinstance(upgrade, Mapping):
        for key in ("target_os", "source_os"):
            if known := _system(upgrade.get(key)):
                return known
    return "CloudLinux" if any(_REASONS[2][0].match(name) for name in file.packages) else ""


def made_elsewhere(file: ProfileFile, system: str) -> tuple[str, str] | None:
    """(system of the file, system of the server) where they differ; ``system`` as in os-release.
    None if one of them is not known."""
    theirs, ours = made_for(file), _system(system)
    if not theirs or not ours or ours.startswith(theirs):
        return None
    return theirs, ours


def _system(text: Any) -> str:
    found = _OS.search(str(text)) if isinstance(text, str) else None
    if not found:
        return ""
    return f"{_NAMES[found[1].lower().replace(' ', '')]} {found[2]}"

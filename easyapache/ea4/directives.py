"""Which MPM knows which directive, and by which names a section asks for an MPM.

Source: the command tables in the server/mpm folders of httpd 2.4. What an MPM does not know is
"Invalid command" (AH00526), and httpd does not start. The others of the MPMs' directives
(StartServers, ServerLimit, MaxRequestWorkers, MaxConnectionsPerChild, …) are known to all three.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

MPMS = ("event", "worker", "prefork")
_THREADED = frozenset({"event", "worker"})

KNOWN_TO: Mapping[str, frozenset[str]] = {
    "minspareservers": frozenset({"prefork"}),
    "maxspareservers": frozenset({"prefork"}),
    "threadsperchild": _THREADED,
    "threadlimit": _THREADED,
    "minsparethreads": _THREADED,
    "maxsparethreads": _THREADED,
    "asyncrequestworkerfactor": frozenset({"event"}),
}
"""{directive in lower case: the MPMs that know it}, of those that some MPM does not know."""

COMMON = (
    "startservers",
    "serverlimit",
    "maxrequestworkers",
    "maxclients",
    "maxrequestsperchild",
    "maxconnectionsperchild",
    "listencoresbucketsratio",
    "threadstacksize",
    "maxmemfree",
    "gracefulshutdowntimeout",
    "coredumpdirectory",
    "scoreboardfile",
)

_ABOUT_AN_MPM = re.compile(r"(?:mod_)?(?:mpm_)?(event|worker|prefork|itk)(?:_module|\.c|\.so)?\Z")


def matches_nothing(name: str) -> str:
    """What should stand in ``<IfModule name>`` instead, where the name looks like an MPM's and is
    none that httpd knows; empty for every other name."""
    asked = name.strip().strip("\"'").removeprefix("!")
    found = _ABOUT_AN_MPM.match(asked)
    if not found or asked in names_of_mpm(found[1]):
        return ""
    return f"mpm_{found[1]}_module"


def names_of_mpm(mpm: str) -> tuple[str, str]:
    """The two names by which ``<IfModule …>`` knows an MPM, or ITK."""
    return f"mpm_{mpm}_module", "mpm_itk.c" if mpm == "itk" else f"{mpm}.c"

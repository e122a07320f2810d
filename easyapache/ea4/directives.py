"""Which MPM supports which directive, and the names of MPMs in ``<IfModule>``.

Source: the command tables in the server/mpm folders of httpd 2.4. A directive an MPM does not know
is an "Invalid command" (AH00526), and httpd does not start. The others of the MPMs' directives
(StartServers, ServerLimit, MaxRequestWorkers, MaxConnectionsPerChild, …) are known to all three.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

MPMS = ("event", "worker", "prefork")
_THREADED = frozenset({"event", "worker"})

SUPPORTED_BY: Mapping[str, frozenset[str]] = {
    "minspareservers": frozenset({"prefork"}),
    "maxspareservers": frozenset({"prefork"}),
    "threadsperchild": _THREADED,
    "threadlimit": _THREADED,
    "minsparethreads": _THREADED,
    "maxsparethreads": _THREADED,
    "asyncrequestworkerfactor": frozenset({"event"}),
}
"""{directive in lower case: the MPMs that know it}, for directives that not all MPMs know."""

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

LISTENING = ("listen", "listenbacklog", "sendbuffersize", "receivebuffersize")
"""Directives in the table of every MPM that are about the sockets of any server."""

GOES_WITH: Mapping[str, frozenset[str]] = {
    "mpm_itk_module": frozenset({"prefork"}),
    "ruid2_module": frozenset({"prefork"}),
    "php_module": frozenset({"prefork"}),
    "php7_module": frozenset({"prefork"}),
    "php5_module": frozenset({"prefork"}),
    "http2_module": _THREADED,
    "proxy_hcheck_module": _THREADED,
    "qos_module": frozenset({"worker"}),
}
"""{module: the MPMs its package goes with}; an exchange to another one takes it away. Source: the
relations of EasyApache 4's packages (data/packages.json)."""

_ABOUT_AN_MPM = re.compile(
    r"(?:.*/)?(?:lib)?(?:mod[_-])?(?:mpm[_-])?(event|worker|prefork|itk)"
    r"(?:[_-]modules?)?(?:\.(?:c|cc|cpp|so))?\Z",
    re.IGNORECASE,
)


def matches_nothing(name: str) -> str:
    """The correct name for ``<IfModule name>`` if it looks like an MPM's but is unknown to httpd;
    empty for every other name."""
    wanted = name.strip().strip("\"'").removeprefix("!")
    found = _ABOUT_AN_MPM.match(wanted)
    if not found:
        return ""
    mpm = found[1].lower()
    return "" if wanted in names_of_mpm(mpm) else f"mpm_{mpm}_module"


def names_of_mpm(mpm: str) -> tuple[str, str]:
    """The two names of an MPM, or ITK, in ``<IfModule …>``."""
    return f"mpm_{mpm}_module", "mpm_itk.c" if mpm == "itk" else f"{mpm}.c"

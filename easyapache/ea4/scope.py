"""What an MPM change may do. Pure; panel and agents check every request against it, so that no
request makes either of them do more.

A change names exactly one MPM. It may install companions of MPMs (``COMPANIONS``) and, if the MPM
or ITK changes, other packages that this project knows. It may request the removal of MPMs and
packages that belong to one (``BOUND``) only; the package manager removes others if they conflict. A
rollback may do what restores the previous packages.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from easyapache.ea4.profile import Profile
from easyapache.ea4.relations import load_catalogue
from easyapache.ea4.sentences import Sentence

_PREFIX = "ea-apache24-"
MPMS = {name: f"{_PREFIX}mod_mpm_{name}" for name in ("event", "worker", "prefork")}
"""The package of each MPM."""
ITK = f"{_PREFIX}mod_mpm_itk"
BOUND = frozenset({*MPMS.values(), ITK, f"{_PREFIX}mod_cgi", f"{_PREFIX}mod_cgid"})
"""Packages whose removal may be requested."""
COMPANIONS = BOUND | {
    f"{_PREFIX}{name}"
    for name in (
        "mod-qos",
        "mod_fcgid",
        "mod_http2",
        "mod_proxy_fcgi",
        "mod_proxy_hcheck",
        "mod_ruid2",
        "mod_suexec",
        "mod_suphp",
    )
}
"""Packages that work with some MPMs only, or that replace a feature of another MPM. They may be
installed even if the MPM does not change."""
_PHP_MODULE = re.compile(r"ea-php[57][0-9]-php\Z")


def names_one_mpm(install: Collection[str], mpm: str, *, itk: bool, back: bool) -> str:
    """Why a request does not name its MPM; "" if it does. ``back``: it is a rollback, and the
    previous packages may still be installed."""
    named = sorted(set(MPMS.values()) & set(install))
    if named != [MPMS[mpm]] and not (back and not named):
        return Sentence(
            "A change installs exactly one MPM. This one is for {mpm} and installs {names}.",
            mpm=mpm,
            names=", ".join(named) or Sentence("none"),
        )
    if ITK in install and not itk:
        return Sentence("The change installs MPM ITK, but says that MPM ITK is disabled.")
    return ""


def beyond(install: Iterable[str], remove: Iterable[str], profile: Profile, mpm: str) -> str:
    """Why a request is more than an MPM change on a server with ``profile``; "" if it is not.
    ``install`` and ``remove`` are the requested packages; ``mpm`` and ITK the result."""
    install, remove = frozenset(install), frozenset(remove)
    if names := sorted(remove - (BOUND - {MPMS[mpm]})):
        return Sentence(
            "Only an MPM, MPM ITK, and the CGI modules can be removed on request, and this change "
            "would remove {names}. Nothing was changed.",
            names=", ".join(names),
        )
    if extra := surplus(install, profile, mpm):
        return Sentence(
            "This panel changes the MPM, MPM ITK, and the packages that belong to them. It can't "
            "install {names}; use the server's package manager.",
            names=", ".join(extra),
        )
    return ""


def surplus(install: Collection[str], profile: Profile, mpm: str) -> list[str]:
    """Names among ``install`` that are more than a change to ``mpm`` of a server with
    ``profile``."""
    known: Collection[str] = COMPANIONS
    if _another(install, profile, mpm):
        known = COMPANIONS | load_catalogue().entries.keys()
    new = frozenset(install) - profile.names
    return sorted(name for name in new if name not in known and not _PHP_MODULE.match(name))


def leads_back(
    install: Iterable[str], remove: Iterable[str], states: Iterable[Collection[str]]
) -> bool:
    """Whether a request leads to one of ``states``: the names of the packages that were installed
    when one of them was looked at. MPMs and what belongs to one may differ."""
    wanted, unwanted = set(install) - BOUND, set(remove) - BOUND
    return any(wanted <= set(names) and not unwanted & set(names) for names in states)


def _another(install: Collection[str], profile: Profile, mpm: str) -> bool:
    """Whether the MPM or ITK becomes another one than is installed, configured or running."""
    there = set(MPMS.values()) & profile.names
    if there != {MPMS[mpm]} or (ITK in install) != (ITK in profile.names):
        return True
    seen = [item for item in (profile.configured, profile.running) if item is not None]
    return any(item.mpms != (mpm,) for item in seen)

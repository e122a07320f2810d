"""What a change of the MPM is, and what it is not. Pure; the panel and the agents hold every
request against it, so that none of them does more than that, whoever asks.

A change names exactly one MPM. With it may be installed what goes with MPMs (``COMPANIONS``) and,
where the MPM or ITK becomes another one, further packages that this project knows. It may ask only
for MPMs and what belongs to one (``BOUND``) to be removed; whatever else is removed is removed
because the package manager says that it cannot stay. A change that takes another one back may do
what leads to the packages that were there before.
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
"""What a request may ask to be removed."""
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
"""What goes with some MPMs and not with others, or does for one what another does by itself. It may
be installed also where the MPM stays."""
_PHP_MODULE = re.compile(r"ea-php[57][0-9]-php\Z")


def names_one_mpm(install: Collection[str], mpm: str, *, itk: bool, back: bool) -> str:
    """Why a request does not name the MPM it is about; "" when it does. ``back``: it takes another
    change back, and what was there before may be there still."""
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
    """Why a request is more than a change of the MPM on a server with ``profile``; "" when it is
    not. ``install`` and ``remove`` are what it asks for; ``mpm`` and ITK are what it leads to."""
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

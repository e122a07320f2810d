"""What a profile shows to be wrong with a server. Each fault is critical."""

from __future__ import annotations

from easyapache.ea4.profile import Observation, Profile
from easyapache.ea4.sentences import Sentence

MAIN = "ea-apache24"
_MPM_PACKAGES = ("event", "worker", "prefork")

FAULTS = {
    "no_mpm": Sentence("No MPM is installed or configured. Apache can't start."),
    "several_mpms": Sentence("More than one MPM is installed or configured. Apache can't start."),
    "httpd_down": Sentence("Apache isn't running."),
    "out_of_sync": Sentence("The installed, configured, and running MPM are not the same."),
    "itk_threaded": Sentence("MPM ITK is enabled together with a threaded MPM."),
    "configuration_broken": Sentence("Apache refuses its configuration."),
    "unfinished_transaction": Sentence("A package transaction was interrupted."),
    "files_missing": Sentence("Files of installed packages are missing."),
}
"""By code. A code never changes once released."""


def faults_of(profile: Profile) -> tuple[str, ...]:
    """The codes of FAULTS that hold for a server with this profile."""
    if MAIN not in profile.names:
        return ()
    seen = [item for item in (profile.configured, profile.running) if item is not None]
    packages = _packages(profile)
    facts = profile.facts
    everywhere = [packages, *seen]
    several = any(len(item.mpms) > 1 for item in everywhere)
    none = any(not item.mpms for item in everywhere)
    holds = {
        "no_mpm": none,
        "several_mpms": several,
        "httpd_down": profile.running is None,
        "out_of_sync": not several
        and not none
        and any((item.mpms, item.itk) != (packages.mpms, packages.itk) for item in seen),
        "itk_threaded": any(item.itk and item.mpm in ("event", "worker") for item in seen),
        "configuration_broken": bool(facts.get("configured_error")),
        "unfinished_transaction": bool(facts.get("unfinished_transaction")),
        "files_missing": bool(facts.get("missing_files")),
    }
    return tuple(code for code in FAULTS if holds[code])


def _packages(profile: Profile) -> Observation:
    here = {name for name in _MPM_PACKAGES if f"{MAIN}-mod_mpm_{name}" in profile.names}
    return Observation(tuple(sorted(here)), f"{MAIN}-mod_mpm_itk" in profile.names)

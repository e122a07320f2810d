"""What a profile shows to be wrong with a server: conditions that keep it from being healthy."""

from __future__ import annotations

from easyapache.ea4.conditions import CATALOG
from easyapache.ea4.conditions.condition import Place
from easyapache.ea4.conditions.evidence import MAIN
from easyapache.ea4.profile import Profile


def faults_of(profile: Profile) -> tuple[str, ...]:
    """The codes of the conditions that hold for a server with this profile, in the order of the
    catalogue; none without EasyApache 4."""
    if MAIN not in profile.names:
        return ()
    return tuple(
        item.code
        for item in CATALOG
        if Place.HEALTH in item.listed_in and item.seen is not None and item.seen(profile)
    )

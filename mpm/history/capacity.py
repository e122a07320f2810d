"""A server's load: the latest measurement, each MPM's figures when it last ran, and the busiest
moments; and the MPM that is recommended with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from easyapache.ea4.advice import Advice, Answers, Recommended, recommend, within_memory
from easyapache.ea4.capacity import Capacity, Measured, Own, capacity_of
from easyapache.ea4.mpm import MPM
from easyapache.ea4.profile import Profile
from mpm.servers.inventory import observed_mpm
from mpm.servers.models import InstalledProfile, Peak, Server

LOOK_BACK = timedelta(days=30)
BUSIEST = 3
"""So many of the busiest moments are shown."""


@dataclass(frozen=True, slots=True)
class Load:
    """Capacities in the order of the chooser, and what they were judged by.

    ``measured_at``: when the memory was measured. ``own_at``: when that of each MPM was, those
    that didn't run in the last thirty days left out. ``peaks``: the busiest moments of these
    days, one a day at most, the busiest first; none when nothing has been seen yet.
    """

    capacities: tuple[Capacity, ...]
    measured: Measured
    measured_at: datetime
    own_at: Mapping[MPM, datetime]
    peaks: tuple[Peak, ...]

    @property
    def busiest(self) -> int:
        """The most requests seen at once, 0 when nothing has been seen yet."""
        return self.peaks[0].busiest if self.peaks else 0


def load_of(
    server: Server,
    now: datetime,
    latest: InstalledProfile | None = None,
    *,
    with_peaks: bool = True,
) -> Load | None:
    """None before httpd was first seen running, as there is nothing to judge by.

    ``latest``: the server's latest profile, where the caller has it. Two queries, else one;
    without peaks one, else none.
    """
    latest = latest or server.installed_profiles.order_by("-pk").first()
    facts = latest.facts.get("load") if latest else None
    if latest is None or not isinstance(facts, Mapping) or not facts.get("memory_total"):
        return None
    peaks: tuple[Peak, ...] = ()
    if with_peaks:
        recent = Peak.objects.filter(server=server, day__gte=(now - LOOK_BACK).date())
        peaks = tuple(recent.exclude(busiest=0).order_by("-busiest", "day")[:BUSIEST])
    busiest = peaks[0].busiest if peaks else 0
    own_at = {
        MPM(name): at
        for name, kept in server.mpm_memory.items()
        if (at := datetime.fromisoformat(kept["at"])) >= now - LOOK_BACK
    }
    own = {mpm.value: _own(server.mpm_memory[mpm.value]) for mpm in own_at}
    measured = {mpm: _measured(mpm, facts, busiest, own) for mpm in MPM}
    runs = MPM(facts["mpm"]) if facts.get("mpm") in set(MPM) else next(iter(MPM))
    return Load(
        capacities=tuple(capacity_of(mpm, measured[mpm]) for mpm in MPM),
        measured=measured[runs],
        measured_at=latest.confirmed_at,
        own_at=own_at,
        peaks=peaks,
    )


@dataclass(frozen=True, slots=True)
class Recommendation:
    """What every interface says. ``advice`` is what suits the software of the server, ``within``
    what remains of it when its memory is considered. ``runs``: the MPM of the server, if known."""

    advice: Advice
    within: Recommended
    runs: MPM | None

    @property
    def fits(self) -> bool:
        """Whether what suits the server fits in its memory, as far as that was measured."""
        return self.within.mpm is not None

    @property
    def mpm(self) -> MPM:
        """What the server should run now: if nothing is recommended, what it runs."""
        return self.within.mpm or self.runs or self.advice.mpm


def recommendation_of(
    profile: Profile, load: Load | None, answers: Answers | None = None
) -> Recommendation:
    """The recommendation for a server, the same in pages, APIs and commands. No query."""
    now = observed_mpm(profile)
    runs = MPM(now.mpm) if now.mpm in set(MPM) else None
    advice = recommend(profile, answers)
    within = within_memory(advice, profile, runs, load.capacities if load else ())
    return Recommendation(advice, within, runs)


def _own(kept: Mapping[str, Any]) -> Own:
    return Own(kept["process_bytes"], kept["thread_bytes"])


def _measured(mpm: MPM, facts: Mapping[str, Any], busiest: int, own: Mapping[str, Own]) -> Measured:
    """The measurement with the directives that would hold under ``mpm``."""
    directives = facts.get("directives") or {}
    measured = Measured.from_json(
        {
            **facts,
            "mpm": facts.get("mpm") if facts.get("mpm") in set(MPM) else None,
            "busiest": busiest,
            "directives": directives.get(mpm.value) or {},
        }
    )
    return replace(measured, own=own)

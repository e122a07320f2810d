"""Records the result of a scan, and its differences from the one before.

Pure except for the functions that record. Whether a difference is a change of the panel or an
external one is decided elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from easyapache.ea4.mpm import MPM
from easyapache.ea4.package_metadata import Particulars
from easyapache.ea4.profile import Observation, Package, Profile, Transaction
from mpm.servers.models import InstalledProfile, Peak, Server, ServerParticulars

VOLATILE_FACTS = frozenset({"load", "load_average", "last_transaction", "httpd_said"})
"""Facts that differ at every look; they are kept up to date, but make no new snapshot."""


@dataclass(frozen=True, slots=True)
class Movement:
    """What differs between two looks at one server. ``transaction`` holds whole packages."""

    before: Profile
    after: Profile

    @property
    def transaction(self) -> Transaction:
        """Packages installed and removed; an updated one is in both."""
        old, new = set(self.before.packages), set(self.after.packages)
        return Transaction(install=tuple(sorted(new - old)), remove=tuple(sorted(old - new)))

    @property
    def arrived(self) -> tuple[Package, ...]:
        return tuple(p for p in sorted(self.after.packages) if p.name not in self.before.names)

    @property
    def left(self) -> tuple[Package, ...]:
        return tuple(p for p in sorted(self.before.packages) if p.name not in self.after.names)

    @property
    def updated(self) -> tuple[str, ...]:
        """Names that are there before and after in another version."""
        both = self.before.names & self.after.names
        moved = {package.name for package in self.transaction.install}
        return tuple(sorted(both & moved))

    @property
    def mpm_moved(self) -> bool:
        """Whether the configured or the running MPM (or ITK) has changed.

        A missing observation does not count: httpd being down is no change of the MPM.
        """
        pairs = (
            (self.before.configured, self.after.configured),
            (self.before.running, self.after.running),
        )
        return any(old is not None and new is not None and old != new for old, new in pairs)

    @property
    def significant(self) -> bool:
        """Whether to record it as a change: packages or the MPM have changed."""
        return bool(self.arrived or self.left or self.mpm_moved)


@dataclass(frozen=True, slots=True)
class Scan:
    """The row a scan led to, and what moved; ``movement`` is None at the first look and when
    nothing did."""

    row: InstalledProfile
    movement: Movement | None


def observed_mpm(profile: Profile) -> Observation:
    """The MPM of the server: running, else configured, else by packages."""
    for seen in (profile.running, profile.configured):
        if seen is not None and seen.mpms:
            return seen
    prefix = "ea-apache24-mod_mpm_"
    names = sorted(name.removeprefix(prefix) for name in profile.names if name.startswith(prefix))
    return Observation(mpms=tuple(name for name in names if name != "itk"), itk="itk" in names)


def record_scan(server: Server, profile: Profile, at: datetime, source: str) -> Scan:
    """Keep ``profile`` as the latest of ``server`` when it differs, else confirm the latest.

    Call inside a transaction that holds the server's row, so that two scans do not both
    find themselves different from a third.
    """
    latest = server.installed_profiles.order_by("-pk").first()
    if latest is None:
        return Scan(_insert(server, profile, at, source), None)
    before = latest.profile
    if latest.digest == profile.digest and _stable(latest.facts) == _stable(profile.facts):
        latest.confirmed_at, latest.facts = at, dict(profile.facts)
        latest.save(update_fields=["confirmed_at", "facts"])
        return Scan(latest, None)
    row = _insert(server, profile, at, source)
    moved = latest.digest != profile.digest
    return Scan(row, Movement(before, profile) if moved else None)


def record_particulars(server: Server, particulars: Particulars, at: datetime) -> None:
    """Replace the stored package metadata of a server."""
    ServerParticulars.objects.update_or_create(
        server=server,
        defaults={"digest": particulars.digest, "said": particulars.as_json(), "at": at},
    )


def particulars_of(server: Server) -> Particulars:
    """Its stored package metadata; empty before the first."""
    row = ServerParticulars.objects.filter(server=server).first()
    return Particulars.from_json(row.said) if row else Particulars()


def record_peak(server: Server, profile: Profile, at: datetime) -> None:
    """Remember the busiest moment of the day. mod_status counts the scan's own request as a
    busy worker, which is taken off again."""
    load = profile.facts.get("load")
    if not isinstance(load, Mapping) or not load:
        return
    busiest = max(0, int(load.get("busy") or 0) - 1)
    peak, made = Peak.objects.get_or_create(
        server=server, day=at.date(), defaults={"busiest": busiest, "at": at}
    )
    if not made and busiest > peak.busiest:
        peak.busiest, peak.at = busiest, at
        peak.save(update_fields=["busiest", "at"])


def record_memory(server: Server, profile: Profile, at: datetime) -> None:
    """Remember what the running MPM takes, in place of what it took before. Call as
    ``record_scan``."""
    load = profile.facts.get("load")
    if not isinstance(load, Mapping) or load.get("mpm") not in set(MPM):
        return
    process = _bytes(load.get("process_bytes"))
    if process:
        thread = _bytes(load.get("thread_bytes")) or 0
        sizes = {"process_bytes": process, "thread_bytes": thread, "at": at.isoformat()}
        server.mpm_memory = {**server.mpm_memory, load["mpm"]: sizes}
        server.save(update_fields=["mpm_memory"])


def _bytes(value: object) -> int | None:
    """None for anything that no number of bytes can be, whatever an agent sends."""
    return value if type(value) is int and 0 < value < 1 << 63 else None


def _insert(server: Server, profile: Profile, at: datetime, source: str) -> InstalledProfile:
    data = profile.as_json()
    return InstalledProfile.objects.create(
        server=server,
        observed_at=at,
        confirmed_at=at,
        digest=profile.digest,
        packages=data["packages"],
        configured=data["configured"],
        running=data["running"],
        facts=data["facts"],
        source=source,
    )


def _stable(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in facts.items() if key not in VOLATILE_FACTS}

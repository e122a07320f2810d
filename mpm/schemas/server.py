"""A server, its MPM as three observers see it, and what is installed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from easyapache.ea4.mpm import MPM, installed
from easyapache.ea4.profile import Observation as Observed
from easyapache.ea4.profile import Profile as Facts
from mpm.schemas.resource import Moment, Resource, one_of

if TYPE_CHECKING:
    from mpm.history.capacity import Recommendation as RecommendationNow
    from mpm.servers.health import Health as HealthNow
    from mpm.servers.models import InstalledProfile
    from mpm.servers.models import Server as Row

MPMS = tuple(mpm.value for mpm in MPM)
KINDS = ("real", "lab", "simulated")
HEALTH = ("healthy", "unknown", "warning", "critical")


class ServerProblem(Resource):
    """A reason why a server isn't healthy."""

    code: str = Field(description="Stable: scripts may match on it.")
    state: Annotated[str, one_of(("warning", "critical"))]
    message: str
    change: int | None = Field(description="The id of the change it is about.")


class Health(Resource):
    """The health of a server. `unknown`: never scanned."""

    state: Annotated[str, one_of(HEALTH)]
    problems: list[ServerProblem] = Field(description="The most serious first.")

    @classmethod
    def of(cls, health: HealthNow) -> Health:
        return cls.model_validate(health.as_json())


class Server(Resource):
    """An EasyApache 4 server, identified by its name."""

    name: str
    href: str
    hostname: str
    kind: Annotated[str, one_of(KINDS)]
    active: bool = Field(description="false: the panel makes no changes on it.")
    require_digest: bool = Field(description="A change must name the digest of its plan.")
    note: str
    created_at: Moment
    last_seen_at: Moment | None
    mpm: Annotated[str, one_of(MPMS)] | None = Field(
        description="The MPM that is installed; null before the first scan."
    )
    itk: bool
    digest: str | None = Field(description="The digest of the last known state.")
    active_change: int | None = Field(description="The id of the change that hasn't finished.")
    health: Health

    @classmethod
    def of(
        cls, row: Row, *, health: HealthNow, latest: InstalledProfile | None, active: int | None
    ) -> Server:
        seen = installed(latest.profile.names) if latest else Observed()
        return cls(
            name=row.name,
            href=f"/api/v1/servers/{row.name}",
            hostname=row.hostname,
            kind=str(row.kind),
            active=row.active,
            require_digest=row.require_digest,
            note=row.note,
            created_at=row.created_at,
            last_seen_at=row.last_seen_at,
            mpm=seen.mpm,
            itk=seen.itk,
            digest=latest.digest if latest else None,
            active_change=active,
            health=Health.of(health),
        )


class Observation(Resource):
    """The MPMs according to the packages, the configuration or the running Apache."""

    mpms: list[Annotated[str, one_of(MPMS)]]
    itk: bool

    @classmethod
    def of(cls, seen: Observed | None) -> Observation | None:
        return None if seen is None else cls(mpms=list(seen.mpms), itk=seen.itk)


class Recommendation(Resource):
    """The recommended MPM of a server, and why. It follows what is measured of the server's memory,
    so it can differ where the ETag is the same."""

    mpm: Annotated[str, one_of(MPMS)] = Field(
        description="What the server should run: the MPM that suits it. Where that doesn't fit in "
        "its memory, what it runs now."
    )
    fits: bool = Field(
        description="false: the MPM that suits the server doesn't fit in its memory; `headline` "
        "says what to do."
    )
    headline: str
    why: list[str]
    threads: bool
    safe_polling: bool
    detected: dict[str, bool | None] = Field(
        description="As the server reported it; null if unknown."
    )

    @classmethod
    def of(cls, found: RecommendationNow) -> Recommendation:
        return cls(
            mpm=found.mpm.value,
            fits=found.fits,
            headline=str(found.within.headline),
            why=[str(sentence) for sentence in found.within.why],
            threads=found.advice.threads,
            safe_polling=found.advice.safe_polling,
            detected=dict(found.advice.detected),
        )


class MpmStatus(Resource):
    """The MPM of a server as packages, configuration and the running Apache show it."""

    server: str
    mpm: Annotated[str, one_of(MPMS)] | None = Field(
        description="The installed MPM; null unless there is exactly one."
    )
    itk: bool
    sound: bool = Field(description="All three observers agree on one MPM.")
    installed: Observation
    configured: Observation | None = Field(description="null: the configuration can't be read.")
    running: Observation | None = Field(description="null: Apache isn't running.")
    digest: str = Field(description="The digest of this state, also sent as the ETag.")
    recommendation: Recommendation

    @classmethod
    def of(cls, name: str, profile: Facts, recommended: RecommendationNow) -> MpmStatus:
        by_packages = installed(profile.names)
        seen = (by_packages, profile.configured, profile.running)
        return cls(
            server=name,
            mpm=by_packages.mpm,
            itk=by_packages.itk,
            sound=by_packages.mpm is not None and all(item == by_packages for item in seen),
            installed=Observation(mpms=list(by_packages.mpms), itk=by_packages.itk),
            configured=Observation.of(profile.configured),
            running=Observation.of(profile.running),
            digest=profile.digest,
            recommendation=Recommendation.of(recommended),
        )


class Package(Resource):
    """An installed package."""

    name: str
    epoch: int
    version: str
    release: str
    arch: str


class Profile(Resource):
    """What was installed on a server at the last check."""

    server: str
    digest: str
    observed_at: Moment = Field(description="When this state was first seen.")
    confirmed_at: Moment = Field(description="When it was last seen.")
    source: Annotated[str, one_of(("scan", "change", "preview"))]
    packages: list[Package]
    configured: Observation | None
    running: Observation | None
    facts: dict[str, Any]

    @classmethod
    def of(cls, server: str, row: InstalledProfile) -> Profile:
        return cls(
            server=server,
            digest=row.digest,
            observed_at=row.observed_at,
            confirmed_at=row.confirmed_at,
            source=str(row.source),
            packages=[Package.model_validate(item) for item in row.packages],
            configured=Observation.model_validate(row.configured) if row.configured else None,
            running=Observation.model_validate(row.running) if row.running else None,
            facts=row.facts,
        )

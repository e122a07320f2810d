"""A plan: what a selection would do to a server."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from easyapache.ea4.plan import Plan as Planned
from easyapache.ea4.plan import PlannedPackage
from mpm.schemas.change import METHODS, MovedPackage, Selection
from mpm.schemas.finding import Finding
from mpm.schemas.resource import Resource, one_of


class PredictedInterruption(Resource):
    """The expected visitor impact, from the last changes of this server, and how Apache is
    restarted. The figures are null until a change has been measured."""

    samples: int = Field(description="Measured changes this is based on.")
    refused: int | None = Field(description="The most refused connections in one of them.")
    longest_wait_ms: float | None = Field(description="The longest wait in any of them.")
    seconds: float | None = Field(description="The median of how long they took.")
    fastest: float | None = Field(description="The shortest of them, in seconds.")
    slowest: float | None = Field(description="The longest of them, in seconds.")
    smooth: int = Field(description="How many of the samples refused no connection.")
    restored: int = Field(description="How many failed and were rolled back automatically.")
    failed: int = Field(description="How many failed and could not be undone.")
    method: Annotated[str, one_of(("", *METHODS))] = Field(
        description="The restart method; empty where it is unknown."
    )
    why: str = Field(description="Why this method, in the server's own words.")


class Plan(Resource):
    """Every package to install or remove, the findings, and the digest to confirm."""

    id: str | None = Field(description="The id of a plan made by the server; null for an estimate.")
    server: str | None = Field(description="null: for a profile in a file.")
    source: Annotated[str, one_of(("stored", "server"))] = Field(
        description="stored: estimated from the profile; server: its own dnf made it."
    )
    from_: Selection = Field(alias="from")
    to: Selection
    headline: str
    install: list[MovedPackage]
    remove: list[MovedPackage]
    keep: list[MovedPackage] = Field(description="Packages that were checked and stay installed.")
    findings: list[Finding]
    blocked: bool
    nothing_to_do: bool = Field(description="No package is installed or removed.")
    satisfied: bool = Field(
        description=(
            "Packages, configuration and the running Apache already match the selection. If "
            "false, a change restarts Apache even if no package changes."
        )
    )
    digest: str = Field(description="Send it with the change: it confirms exactly this plan.")
    base_digest: str = Field(description="The state of the server this plan starts from.")
    predicted_interruption: PredictedInterruption | None

    @classmethod
    def of(
        cls,
        plan: Planned,
        *,
        server: str | None,
        satisfied: bool,
        predicted: PredictedInterruption | None = None,
        id: str | None = None,  # noqa: A002  # its name in the schema
    ) -> Plan:
        return cls(
            id=id,
            server=server,
            source=plan.source,
            **{"from": Selection(mpm=plan.before.mpm, itk=plan.before.itk)},
            to=Selection(mpm=plan.choice.mpm.value, itk=plan.choice.itk),
            headline=plan.headline,
            install=[_package(item) for item in plan.install],
            remove=[_package(item) for item in plan.remove],
            keep=[_package(item) for item in plan.keep],
            findings=[Finding.of(item.as_json()) for item in plan.findings],
            blocked=plan.blocked,
            nothing_to_do=plan.empty,
            satisfied=satisfied,
            digest=plan.digest,
            base_digest=plan.base_digest,
            predicted_interruption=predicted,
        )


class PendingPlan(Resource):
    """The request was sent to the server, which hasn't answered yet."""

    id: str
    href: str
    state: Annotated[str, one_of(("pending",))]


def _package(item: PlannedPackage) -> MovedPackage:
    return MovedPackage(
        name=item.name,
        evr=item.evr,
        arch=item.arch,
        reason=str(item.reason),
        cause=item.cause,
    )

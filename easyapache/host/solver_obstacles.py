"""Obstacles in the answer of the solver, or in that there is none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from easyapache.host.server import HostError, Obstacle
from easyapache.sentences import Sentence


def unsigned(sources: Mapping[str, Any]) -> list[Obstacle]:
    """Repositories that would supply a package without its signature being checked. (Whether
    the signatures are good is seen when the packages are downloaded.)"""
    repositories = sorted(
        {str(item["repository"]) for item in sources.values() if not item["checked"]}
    )
    return [
        Obstacle(
            "unsigned_repository",
            Sentence("A repository is not checked for signatures"),
            Sentence(
                "gpgcheck is off for {name}: anybody between here and there could supply the "
                "package.",
                name=name,
            ),
            Sentence("Set gpgcheck=1 and gpgkey= for {name}", name=name),
        )
        for name in repositories
    ]


def refusal(error: HostError) -> Obstacle:
    """A solver that could not answer, as an obstacle."""
    return Obstacle(
        error.code,
        error.message,
        error.output.strip()[:800] or error.message,
        error.remedy or Sentence("Read what the package manager said."),
    )

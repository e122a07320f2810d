"""What a plan or a server shows that is worth knowing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from easyapache.ea4.conditions.condition import Severity
from easyapache.ea4.sentences import plain
from mpm.history import renamed
from mpm.schemas.resource import Resource, one_of

SEVERITIES = tuple(severity.value for severity in Severity)


class Fix(Resource):
    """A selection without the finding."""

    label: str
    add: list[str]
    unkeep: list[str]
    mpm: str | None
    itk: bool | None


class Finding(Resource):
    """A blocker, a warning, a note or a benefit."""

    code: str = Field(description="Stable: scripts may match on it.")
    severity: Annotated[str, one_of(SEVERITIES)]
    title: str
    message: str
    remedy: str
    packages: list[str]
    fixes: list[Fix]

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Finding:
        """From ``Finding.as_json`` of the rules, or as a plan stored it, with its present code."""
        current = plain(renamed.finding_of(data))
        texts = ("code", "severity", "title", "message", "remedy")
        return cls(
            **{name: str(current.get(name) or "") for name in texts},
            packages=[str(name) for name in current.get("packages", ())],
            fixes=[
                Fix(
                    label=str(item.get("label") or ""),
                    add=list(item.get("add", ())),
                    unkeep=list(item.get("unkeep", ())),
                    mpm=item.get("mpm"),
                    itk=item.get("itk"),
                )
                for item in current.get("fixes", ())
            ],
        )


class Diagnosis(Resource):
    """A known problem of a server, its cause and what to do about it."""

    code: str = Field(description="Stable: scripts may match on it.")
    severity: Annotated[str, one_of(SEVERITIES)]
    title: str
    cause: str
    fix: str
    seen: str = Field(description="What identifies the problem.")
    repair: str = Field(description="The `action` of a safe repair; empty if there is none.")

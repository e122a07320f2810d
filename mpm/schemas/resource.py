"""What all schemas have in common: how they are made, written and what a time looks like."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, WithJsonSchema


def stamp(moment: datetime) -> str:
    """``2026-03-03T21:04:11.802Z``: RFC 3339, UTC, milliseconds, always as long."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


Moment = Annotated[
    datetime,
    PlainSerializer(stamp, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]


class Resource(BaseModel):
    """Made from a row by ``of``, and never altered. A field named like a word of Python has an
    alias, which is its name everywhere outside the code."""

    model_config = ConfigDict(frozen=True, populate_by_name=True, serialize_by_alias=True)

    def as_json(self) -> dict[str, Any]:
        """What a program reads: plain values, times as text."""
        return self.model_dump(mode="json", by_alias=True)


def one_of(values: Iterable[str]) -> Any:
    """Text whose values are known and documented.

    A row of an earlier version may hold another one, which is shown as it is: a history that cannot
    be read would be worse than a value that a generated client does not know.
    """
    return Field(json_schema_extra={"enum": list(values)})


ROLES = ("", "administrator", "support", "token", "system", "agent", "whm")
Role = Annotated[str, one_of(ROLES)]
"""The role of the actor behind an event; empty for a change made outside the panel."""

"""Kinds of values that requests are made of, and answers that several resources share."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any, Literal

from ninja import Schema
from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, StrictBool, StrictStr

from mpm.schemas.change import State
from mpm.schemas.finding import Finding

LINE = r"^[^\x00-\x1f\x7f]*$"
PACKAGE = r"^ea-[a-z0-9][a-z0-9_.+-]{0,126}$"
SERVER = r"^[A-Za-z0-9._-]*$"
DIGEST = r"^[0-9a-f]{32}$"
KEY = r"^[\x21-\x7e]*$"
PATTERNS = {
    LINE: "must be one line of text, without control characters",
    PACKAGE: "must be the name of a package of EasyApache 4, as ea-apache24-mod_ssl",
    SERVER: "must be the name of a server: letters, digits, dots, hyphens and underscores",
    DIGEST: "must be a digest: 32 digits from 0 to 9 and a to f",
    KEY: "must be visible ASCII characters without blanks",
}
"""What a value that doesn't match is told."""
_DATE_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?([Zz]|[+-]\d\d:?\d\d)\Z")

_PLUS_LOST = re.compile(r"\d \d\d:?\d\d\Z")
"""How a zone arrives whose plus sign was written as it is in an address, where it is a blank."""


def _only_text(value: Any) -> Any:
    """A moment is text with its zone: a bare number could be seconds or milliseconds."""
    if isinstance(value, datetime):
        return value
    if isinstance(value, str) and _PLUS_LOST.search(value):
        raise ValueError("must be a time with its zone; in an address, write + as %2B")
    if not isinstance(value, str) or not _DATE_TIME.match(value):
        raise ValueError("must be a time with its zone, as 2026-03-03T21:00:00Z")
    return value


def _digits(value: Any) -> Any:
    if isinstance(value, str) and not re.fullmatch(r"-?[0-9]{1,9}", value):
        raise ValueError("must be a whole number")
    return value


def _truth(value: Any) -> Any:
    if isinstance(value, str):
        if value not in ("true", "false"):
            raise ValueError("must be true or false")
        return value == "true"
    return value


def unset(description: str | None = None) -> Any:
    """A member that may be left out, and that is not null where it is sent."""
    return Field(default=None, description=description, json_schema_extra=_without_default)


def _without_default(shape: dict[str, Any]) -> None:
    shape.pop("default", None)


def _unique(values: list[str]) -> list[str]:
    return list(dict.fromkeys(values))


Moment = Annotated[datetime, BeforeValidator(_only_text)]
Flag = StrictBool
Mpm = Literal["event", "worker", "prefork"]
QueryFlag = Annotated[bool, BeforeValidator(_truth)]
QueryNumber = Annotated[int, BeforeValidator(_digits)]
Line = Annotated[StrictStr, Field(max_length=100, pattern=LINE)]
ServerName = Annotated[
    StrictStr,
    Field(max_length=63, pattern=SERVER, description="The name of a server."),
]
PackageName = Annotated[StrictStr, Field(pattern=PACKAGE)]
Packages = Annotated[list[PackageName], Field(max_length=200), AfterValidator(_unique)]
Names = Annotated[list[Line], Field(max_length=1000), AfterValidator(_unique)]
Digest = Annotated[StrictStr, Field(pattern=DIGEST)]


class Wish(Schema):
    """A request body: unknown members are refused, so that a misspelled one is not ignored."""

    model_config = ConfigDict(extra="forbid")


class InvalidValue(Schema):
    """An invalid value, and where it is: in the body, a parameter or a header."""

    detail: str
    pointer: str | None = Field(None, description="A JSON pointer to a value in the body.")
    parameter: str | None = Field(None, description="The name of the parameter.")
    header: str | None = Field(None, description="The name of the header.")


class RelatedChange(Schema):
    """The change that blocks the request."""

    id: int
    href: str
    state: State


class MovedPlan(Schema):
    """The plan as it would be now."""

    digest: str
    base_digest: str
    headline: str
    install: list[str]
    remove: list[str]


class ProblemDetails(Schema):
    """What went wrong, for a program (`code`) and for people (`detail`, `remedy`)."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str = Field(description="Stable: scripts may match on it.")
    request_id: str
    remedy: str | None = None
    errors: list[InvalidValue] | None = None
    findings: list[Finding] | None = None
    change: RelatedChange | None = Field(None, description="The change in the way.")
    plan: MovedPlan | None = Field(None, description="The plan as it would be now.")
    digest: str | None = Field(None, description="The current state of the server.")

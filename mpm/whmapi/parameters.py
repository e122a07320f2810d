"""The parameters of a WHM client, in any of the usual formats.

The query, and the body of a POST: a form of either kind, or JSON. Lists have several styles, which
may be mixed: a repeated name (``install=a&install=b``), the bare name followed by numbered ones
(``install=a&install-1=b``), or numbered ones only (``package-0=a``, and as other languages'
libraries write it, ``package[0]=a``, ``package[]=a`` and ``package.0=a``). In a JSON body a list
may also be a list. Booleans are 1 and 0.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn
from urllib.parse import parse_qsl

_NUMBERED = re.compile(
    r"(?P<name>.+?)(?:-(?P<dash>\d{1,6})|\.(?P<dot>\d{1,6})|\[(?P<bracket>\d{0,6})\])\Z"
)
MAX_VALUES = 5000
MAX_BODY = 1024 * 1024


class BadParameters(ValueError):
    """The request cannot be read, or a parameter has a value the function does not take."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """Every (name, value) pair of one request in the order it was sent. Case matters in names."""

    pairs: tuple[tuple[str, str], ...] = ()

    def text(self, name: str, default: str = "") -> str:
        """The last value sent under exactly this name, or as the first of a list."""
        found = [value for key, value in self.pairs if key == name]
        if not found:
            first = {f"{name}-0", f"{name}.0", f"{name}[0]", f"{name}[]"}
            found = [value for key, value in self.pairs if key in first]
        return found[-1] if found else default

    def required(self, name: str) -> str:
        value = self.text(name)
        if not value:
            raise BadParameters(f"Provide the “{name}” argument.")
        return value

    def many(self, name: str) -> tuple[str, ...]:
        """All values of a list, bare ones first, then numbered ones by their number.

        Empty values and repetitions are dropped, as clients send them for unused slots.
        """
        numbered: list[tuple[int, str]] = []
        for key, value in self.pairs:
            match = _NUMBERED.match(key)
            if match and match["name"] == name:
                number = match["dash"] or match["dot"] or match["bracket"] or "0"
                numbered.append((int(number), value))
        numbered.sort(key=lambda item: item[0])
        bare = [value for key, value in self.pairs if key == name]
        values = [*bare, *(value for _, value in numbered)]
        return tuple(dict.fromkeys(value for value in values if value))

    def flag(self, name: str, default: bool = False) -> bool:
        value = self.text(name)
        if value == "":
            return default
        if value not in ("0", "1"):
            raise BadParameters(f"“{name}” must be 1 or 0, not “{value[:40]}”.")
        return value == "1"

    def integer(self, name: str, *, minimum: int, default: int | None = None) -> int:
        value = self.text(name)
        if value == "" and default is not None:
            return default
        self.required(name)
        if not re.fullmatch(r"[0-9]{1,18}", value) or int(value) < minimum:
            raise BadParameters(
                f"“{name}” must be a whole number of at least {minimum}, not “{value[:40]}”."
            )
        return int(value)

    def starting(self, prefix: str) -> Mapping[str, str]:
        """The parameters whose names begin with ``prefix``, without it; the last value counts."""
        return {
            key.removeprefix(prefix): value for key, value in self.pairs if key.startswith(prefix)
        }


def from_query(query: str) -> tuple[tuple[str, str], ...]:
    """Read ``a=1&b=2``. Raises BadParameters for more values than any call needs."""
    try:
        return tuple(parse_qsl(query, keep_blank_values=True, max_num_fields=MAX_VALUES))
    except ValueError as error:
        raise BadParameters("The request has too many parameters.") from error


def from_body(content_type: str, body: bytes) -> tuple[tuple[str, str], ...]:
    """Read the body of a POST: JSON if that is its type, a form otherwise (also without a type).

    Raises BadParameters for a body that does not match its type.
    """
    kind = content_type.split(";")[0].strip().lower()
    if not body.strip():
        return ()
    if len(body) > MAX_BODY:
        raise BadParameters("The request is too large.")
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadParameters("The request is not UTF-8.") from error
    if kind == "application/json" or kind.endswith("+json"):
        return from_json(text)
    return from_query(text.strip("\r\n"))


def from_parts(
    values: Iterable[tuple[str, Iterable[object]]], files: Iterable[str]
) -> tuple[tuple[str, str], ...]:
    """Take the fields of a multipart form, parsed by Django. Raises BadParameters for a file: no
    function here accepts one, and ignoring it could do something else than requested."""
    for name in files:
        raise BadParameters(f"“{name[:60]}” was sent as a file; send it as a value.")
    return tuple((name, str(value)) for name, several in values for value in several)


def from_json(text: str) -> tuple[tuple[str, str], ...]:
    """Read ``{"name": value}`` or ``{"name": [values]}``; a name may be repeated, as in a form.
    Raises BadParameters."""
    try:
        data = json.loads(text, object_pairs_hook=_Members, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise BadParameters("The request body is not JSON.") from error
    if not isinstance(data, _Members):
        raise BadParameters("The request body must be a JSON object of parameters.")
    pairs = tuple(_flat(data.pairs))
    if len(pairs) > MAX_VALUES:
        raise BadParameters("The request has too many parameters.")
    return pairs


@dataclass(frozen=True, slots=True)
class _Members:
    """A JSON object with every member, also one that is there twice."""

    pairs: list[tuple[str, Any]]


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON")


def _flat(items: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, str]]:
    for name, value in items:
        for item in value if isinstance(value, list) else [value]:
            yield name, _scalar(name, item)


def _scalar(name: str, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, int | float | str):
        return str(value)
    raise BadParameters(f"“{name[:60]}” must be text, a number or a list of these.")

"""Reads and writes data that crosses a border: messages, plans, profiles, journals and files.

A class that crosses one is a dataclass and a ``Schema``: its annotations describe its JSON.

Reading is strict (no text where a number belongs) and bounded by the annotations (``Annotated[str,
Meta(max_length=200)]``). Unknown fields (of a newer version) are ignored; missing ones (of an older
version) have their default. Invalid data raises BadMessage with one sentence that names the field.

Writing gives plain JSON values in the order of the fields, or of ``KEYS``: digests and seals are
computed from them, so they must not change.
"""

from __future__ import annotations

import json
import re
import types
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, fields
from datetime import datetime
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar, Union, get_args, get_origin
from typing import get_type_hints as hints_of

import msgspec
from msgspec import Meta

from easyapache.ea4.sentences import sentence_from, with_words

T = TypeVar("T")

Short = Annotated[str, Meta(max_length=200)]
Line = Annotated[str, Meta(max_length=4000)]
Count = Annotated[int, Meta(ge=0, lt=2**53)]
Moment = Annotated[datetime, Meta(tz=True)]
"""ISO 8601 with its offset from UTC."""


class BadMessage(ValueError):
    """An invalid message or file. It is refused as a whole."""


class Schema:
    """A dataclass that crosses a border. See the head of this module."""

    __slots__ = ()
    KEYS: ClassVar[tuple[str, ...]] = ()
    """The fields and properties to write, in this order. Empty: all fields in their order."""
    IF_ANY: ClassVar[frozenset[str]] = frozenset()
    """Keys that are left out if they are empty."""

    def as_json(self) -> dict[str, Any]:
        """Plain values for ``json.dumps``."""
        kind: Any = type(self)
        held = ((name, getattr(self, name)) for name in _keys(kind))
        values = {name: it if type(it) in _BARE else _plain(it) for name, it in held}
        for name in self.IF_ANY:
            if not values[name]:
                del values[name]
        return values

    @classmethod
    def from_json(cls, data: Any) -> Self:
        """Raises BadMessage if ``data`` does not fit."""
        return read(cls, data)


@dataclass(frozen=True, slots=True)
class Translatable(Schema):
    """A schema with sentences for people. ``words``, in JSON only, holds their templates and
    values, so that a page can show them in another language."""

    SENTENCES: ClassVar[tuple[str, ...]] = ()
    words: Any = field(default=None, repr=False, compare=False, kw_only=True)

    def __post_init__(self) -> None:
        words = self.words if isinstance(self.words, Mapping) else {}
        for name in self.SENTENCES:
            if (sentence := sentence_from(words.get(name))) and sentence == getattr(self, name):
                object.__setattr__(self, name, sentence)
        object.__setattr__(self, "words", None)

    def as_json(self) -> dict[str, Any]:
        return with_words(Schema.as_json(self), *self.SENTENCES)


@cache
def _keys(kind: Any) -> tuple[str, ...]:
    return kind.KEYS or tuple(item.name for item in fields(kind) if item.name != "words")


_BARE = frozenset({str, int, float, bool, type(None)})


def _plain(value: Any) -> Any:
    if type(value) in _BARE:
        return value
    if isinstance(value, Schema):
        return value.as_json()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, AbstractSet):
        return sorted(map(_plain, value))
    if isinstance(value, Path):
        return str(value)
    return value.isoformat() if isinstance(value, datetime) else value


def read(kind: type[T], data: Any) -> T:
    """``data``, as ``json.loads`` gives it, as a value of ``kind``. Raises BadMessage."""
    try:
        return msgspec.convert(data, kind, dec_hook=_path)
    except msgspec.ValidationError as error:
        raise BadMessage(_sentence(kind, str(error))) from error
    except RecursionError as error:
        raise BadMessage(f"{_name(kind)} is nested too deep") from error


def _path(kind: type[Any], value: Any) -> Path:
    """The one kind that JSON and TOML do not have."""
    if kind is not Path or not isinstance(value, str):
        raise ValueError(f"Expected `str`, got `{type(value).__name__}`")
    return Path(value)


def loads(kind: type[T], text: str | bytes) -> T:
    """The same of a JSON text."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadMessage(f"{_name(kind)} is not JSON: {error}") from error
    return read(kind, data)


def fits(kind: Any, data: Any) -> bool:
    """Whether ``data`` could be read as ``kind``."""
    try:
        msgspec.convert(data, kind)
    except (msgspec.ValidationError, RecursionError):
        return False
    return True


# -- an error as one sentence --------------------------------------------------------------

_PLACE = re.compile(r"(?P<problem>.*?)(?: - at (?P<key>`key` in )?`\$(?P<path>[^`]*)`)?", re.DOTALL)
_OTHER_KIND = re.compile(r"Expected `([^`]*)`, got `([^`]*)`")
_MISSING = re.compile(r"Object missing required field `([^`]*)`")
_LIMIT = re.compile(r"Expected `(str|array|object)` of length (<=|>=) (\d+)")
_RANGE = re.compile(r"Expected `(?:int|float)` (<=|>=|<|>) (\S+)")
_KINDS = {
    "array": "a list",
    "bool": "true or false",
    "dict": "an object",
    "datetime": "a time",
    "float": "a number",
    "int": "a whole number",
    "list": "a list",
    "NoneType": "null",
    "null": "null",
    "object": "an object",
    "str": "a string",
}
_COUNTED = {"array": "entries", "object": "entries", "str": "characters"}
_COMPARED = {"<=": "at most", ">=": "at least", "<": "below", ">": "above"}


def _sentence(kind: Any, text: str) -> str:
    place = _PLACE.fullmatch(text)
    problem, path = (place["problem"], place["path"] or "") if place else (text, "")
    where = path.replace("[...]", ".*").removeprefix(".") or _name(kind)
    if place and place["key"]:
        where = f"a name in {where}"
    if found := _MISSING.fullmatch(problem):
        return f"{path}.{found[1]}".removeprefix(".") + " is missing"
    if found := _OTHER_KIND.fullmatch(problem):
        wanted = " or ".join(_KINDS.get(name, name) for name in found[1].split(" | "))
        return f"{where} must be {wanted}, not {_KINDS.get(found[2], found[2])}"
    if found := _LIMIT.fullmatch(problem):
        if found[2] == ">=" and found[3] == "1":
            return f"{where} must not be empty"
        return f"{where} must have {_COMPARED[found[2]]} {found[3]} {_COUNTED[found[1]]}"
    if found := _RANGE.fullmatch(problem):
        return f"{where} must be {_COMPARED[found[1]]} {found[2]}"
    if problem.startswith(("Expected", "Invalid")) and (wanted := _described(kind, path)):
        return f"{where} must be {wanted}"
    return f"{where}: {problem}" if path else problem


def _described(kind: Any, path: str) -> str:
    """The description of valid values in the annotation at ``path``, or ``""``."""
    for name, _ in re.findall(r"\.([^.\[]+)|\[([^\]]*)\]", path):
        inner = [hint for item in _variants(kind) for hint in _inside(item, name)]
        if not inner:
            return ""
        kind = inner[0]
    wanted = []
    for item in _variants(kind):
        if get_origin(item) is Annotated:
            wanted += [extra.description for extra in item.__metadata__ if extra.description]
        elif get_origin(item) is Literal:
            wanted.append(f"one of {', '.join(get_args(item))}")
        elif isinstance(item, type) and issubclass(item, Enum):
            wanted.append(f"one of {', '.join(str(one.value) for one in item)}")
        elif item is datetime:
            wanted.append("a time in ISO 8601, as 2026-03-03T21:00:00+00:00")
    return " or ".join(wanted)


def _variants(kind: Any) -> Iterator[Any]:
    """The type itself, or each member of a union; for an annotated type also the type inside."""
    if get_origin(kind) in (Union, types.UnionType):
        for item in get_args(kind):
            yield from _variants(item)
        return
    yield kind
    if get_origin(kind) is Annotated:
        yield from _variants(get_args(kind)[0])


def _inside(kind: Any, name: str) -> list[Any]:
    """What the field of that name is, or without a name what the entries are."""
    if name:
        hints = hints_of(kind, include_extras=True) if isinstance(kind, type) else {}
        return [hints[name]] if name in hints else []
    if get_origin(kind) is Annotated:
        return []
    return [item for item in get_args(kind) if item is not Ellipsis][-1:]


def _name(kind: Any) -> str:
    """``ChangeRequest`` as people write it."""
    bare = getattr(kind, "__name__", "this")
    return "the " + re.sub(r"(?<=[a-z])(?=[A-Z])", " ", bare).lower()

"""Output control of WHM API 1: ``api.filter``, ``api.sort``, ``api.chunk`` and ``api.columns``.

They apply to the one list in a function's answer, in this order. Conditions and sort keys have
letters that sort in order (``a``, ``b``, …, ``z``, ``za``): all conditions must match, the first
sort key decides first. In a list of plain texts, any field name means the text itself.
"""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mpm.whmapi.parameters import BadParameters, Parameters

Record = Any
UNLIMITED = frozenset({"unlimited", "infinity"})


def controlled(
    data: Mapping[str, Any], parameters: Parameters
) -> tuple[dict[str, Any], dict[str, Any]]:
    """``data`` with its list reduced as requested, and the additions to the metadata.

    Data without exactly one list is returned whole. ``filtered`` in the metadata is the number of
    records before the filter. Raises BadParameters for an unknown method or operator.
    """
    lists = [key for key, value in data.items() if isinstance(value, list)]
    answer, about = dict(data), dict[str, Any]()
    if len(lists) != 1:
        return answer, about
    records: list[Record] = list(data[lists[0]])
    if parameters.flag("api.filter.enable"):
        before = len(records)
        records = _filtered(records, parameters)
        if parameters.flag("api.filter.verbose"):
            about["filter"] = {"filtered": before}
    if parameters.flag("api.sort.enable"):
        records = _sorted(records, parameters)
    if parameters.flag("api.chunk.enable"):
        records, chunk = _chunk(records, parameters)
        if parameters.flag("api.chunk.verbose"):
            about["chunk"] = chunk
    if parameters.flag("api.columns.enable"):
        records = _columns(records, parameters)
    answer[lists[0]] = records
    return answer, about


def _groups(parameters: Parameters, kind: str) -> list[dict[str, str]]:
    """The lettered groups of one kind, in the order of their letters."""
    groups: dict[str, dict[str, str]] = {}
    for key, value in parameters.starting(f"api.{kind}.").items():
        letter, dot, name = key.partition(".")
        if dot and letter.isalpha() and letter.islower():
            groups.setdefault(letter, {})[name] = value
    return [groups[letter] for letter in sorted(groups)]


# -- filter ----------------------------------------------------------------------------------


_NUMERIC: Mapping[str, Callable[[float, float], bool]] = {
    "==": lambda value, wanted: value == wanted,
    "lt": lambda value, wanted: value < wanted,
    "lt_equal": lambda value, wanted: value <= wanted,
    "lt_handle_unlimited": lambda value, wanted: value < wanted,
    "gt": lambda value, wanted: value > wanted,
    "gt_equal": lambda value, wanted: value >= wanted,
    "gt_handle_unlimited": lambda value, wanted: value > wanted,
}
_TEXT: Mapping[str, Callable[[str, str], bool]] = {
    "begins": lambda value, wanted: value.lower().startswith(wanted.lower()),
    "contains": lambda value, wanted: wanted.lower() in value.lower(),
    "eq": lambda value, wanted: value == wanted,
}


def _filtered(records: Sequence[Record], parameters: Parameters) -> list[Record]:
    conditions = [
        (group.get("field", "*"), group.get("type", "contains") or "contains", group["arg0"])
        for group in _groups(parameters, "filter")
        if "arg0" in group
    ]
    for _, operator, _ in conditions:
        if operator not in _NUMERIC and operator not in _TEXT:
            raise BadParameters(f"“{operator[:40]}” is not a valid filter type.")
    return [
        record for record in records if all(_holds(record, *condition) for condition in conditions)
    ]


def _holds(record: Record, field: str, operator: str, wanted: str) -> bool:
    values = _values(record) if field == "*" else [_value(record, field)]
    if operator in _TEXT:
        return any(_TEXT[operator](_as_text(value), wanted) for value in values)
    endless = operator.endswith("_handle_unlimited")
    limit = _number(wanted, endless)
    if limit is None:
        raise BadParameters(f"“{wanted[:40]}” is not a number.")
    numbers = (_number(value, endless) for value in values)
    return any(number is not None and _NUMERIC[operator](number, limit) for number in numbers)


# -- sort --------------------------------------------------------------------------------------


def _lexicographic(value: Any) -> Any:
    return _as_text(value)


def _numeric(value: Any) -> Any:
    number = _number(value, endless=True)
    if number is None:
        raise BadParameters(f"“{_as_text(value)[:40]}” can't be sorted as a number.")
    return number


def _zero_as_max(value: Any) -> Any:
    return _numeric(value) or math.inf


def _ipv4(value: Any) -> Any:
    try:
        return int(ipaddress.IPv4Address(_as_text(value)))
    except ValueError as error:
        raise BadParameters(f"“{_as_text(value)[:40]}” is not an IPv4 address.") from error


_METHODS: Mapping[str, Callable[[Any], Any]] = {
    "lexicographic": _lexicographic,
    "numeric": _numeric,
    "numeric_zero_as_max": _zero_as_max,
    "ipv4": _ipv4,
}


def _sorted(records: list[Record], parameters: Parameters) -> list[Record]:
    for group in reversed(_groups(parameters, "sort")):
        method = group.get("method") or "lexicographic"
        if method not in _METHODS:
            raise BadParameters(f"“{method[:40]}” is not a valid sort method.")
        records = sorted(
            records,
            key=lambda record, group=group, method=method: _METHODS[method](  # type: ignore[misc]
                _value(record, group.get("field", ""))
            ),
            reverse=group.get("reverse") == "1",
        )
    return records


# -- chunk and columns ---------------------------------------------------------------------------


def _chunk(records: list[Record], parameters: Parameters) -> tuple[list[Record], dict[str, int]]:
    """A page: ``start`` counts records from 1; without a size, everything from there on.

    A start below 1 means the whole list, which is how clients ask for all pages at once.
    """
    total = len(records)
    begin = _whole(parameters.text("api.chunk.start"), 1)
    size = _whole(parameters.text("api.chunk.size"), 0)
    if begin < 1:
        begin, size = 1, 0
    size = size if size > 0 else max(total, 1)
    page = records[begin - 1 : begin - 1 + size]
    about = {
        "start": begin,
        "size": size,
        "records": total,
        "chunks": max(1, math.ceil(total / size)),
        "current": (begin - 1) // size + 1,
    }
    return page, about


def _whole(text: str, default: int) -> int:
    if text == "":
        return default
    if not re.fullmatch(r"-?[0-9]{1,15}", text):
        raise BadParameters(f"“{text[:40]}” is not a whole number.")
    return int(text)


def _columns(records: list[Record], parameters: Parameters) -> list[Record]:
    lettered = parameters.starting("api.columns.")
    names = [
        lettered[letter] for letter in sorted(lettered) if letter.isalpha() and letter != "enable"
    ]
    return [
        {name: record[name] for name in names if name in record}
        if isinstance(record, Mapping)
        else record
        for record in records
    ]


# -- values ----------------------------------------------------------------------------------------


def _value(record: Record, field: str) -> Any:
    return record.get(field) if isinstance(record, Mapping) else record


def _values(record: Record) -> list[Any]:
    return list(record.values()) if isinstance(record, Mapping) else [record]


def _as_text(value: Any) -> str:
    return "" if value is None else str(value)


def _number(value: Any, endless: bool) -> float | None:
    text = _as_text(value).strip().lower()
    if text in UNLIMITED:
        return math.inf if endless else None
    try:
        number = float(text)
    except ValueError:
        return None
    return None if math.isnan(number) else number

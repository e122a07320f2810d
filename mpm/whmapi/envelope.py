"""The shapes WHM answers in. Every outcome travels as HTTP 200 but a refused login."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class Failed(Exception):
    """The function did not do what was asked; ``str()`` is the reason the caller reads, ``data``
    what it gets all the same."""

    def __init__(self, reason: str, *, data: Mapping[str, Any] | None = None) -> None:
        super().__init__(reason)
        self.data = dict(data or {})


def succeeded(
    function: str, data: Mapping[str, Any], about: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    metadata = {"command": function, "reason": "OK", "result": 1, "version": 1, **(about or {})}
    return {"data": dict(data), "metadata": metadata}


def failed(function: str, reason: str, version: int = 1) -> dict[str, Any]:
    return {
        "metadata": {"command": function, "reason": reason, "result": 0, "version": version},
    }


def unknown(function: str, version: str) -> dict[str, Any]:
    """What WHM says of a function it does not have."""
    number = int(version) if version.isdecimal() else 0
    reason = f'Unknown app ("{function}") requested for this version ({number}) of the API.'
    return failed(function, reason, number)


def denied() -> dict[str, Any]:
    """What WHM answers, with HTTP 403, to credentials that are not good; in its older shape."""
    return {
        "cpanelresult": {
            "apiversion": "2",
            "error": "Access denied",
            "data": {"reason": "Access denied", "result": "0"},
            "type": "text",
        }
    }


def bridged(module: str, function: str, answer: Mapping[str, Any]) -> dict[str, Any]:
    """An answer in the shape of cPanel API 2, for clients that know no other."""
    metadata = answer["metadata"]
    result: dict[str, Any] = {
        "apiversion": 2,
        "module": module[:100],
        "func": function[:100],
        "event": {"result": metadata["result"]},
        "data": [answer.get("data", {})],
    }
    if not metadata["result"]:
        result["error"] = metadata["reason"]
    return {"cpanelresult": result}

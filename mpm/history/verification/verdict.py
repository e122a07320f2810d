"""What a verification found."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from mpm.history.seal import Fault

Head = tuple[int, str]
"""Number and hash of the newest event of a chain."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The number of checked events, and all faults found.

    ``complete`` is False for an export without its end. ``heads`` are those of an export, by chain:
    an attacker can rewrite those of a file, but not those of the panel.
    """

    chains: int
    events: int
    faults: tuple[Fault, ...]
    complete: bool = True
    heads: Mapping[str, Head] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return {
            "verified": not self.faults,
            "complete": self.complete,
            "chains": self.chains,
            "events": self.events,
            "heads": {name: list(head) for name, head in self.heads.items()},
            "faults": [fault.as_json() for fault in self.faults],
        }


class Counted:
    """``items``, and how many of them were read."""

    def __init__(self, items: Iterable[Mapping[str, Any]]) -> None:
        self._items, self.count = items, 0

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        for item in self._items:
            self.count += 1
            yield item

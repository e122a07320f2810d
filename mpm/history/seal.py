"""The seal of history: each event carries a hash over itself and the hash before it. Pure.

Altering, inserting, swapping or deleting an event breaks every later seal. Pruning by age leaves
gaps; an event ``history.pruned`` later in the same chain names each gap with the hash before and
after it, so that a pruned chain can still be verified.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

PRUNED = "history.pruned"
HEADS = "history.heads"
"""Event of the panel's own chain: [[server, number, hash of its newest event], …]."""

FIELDS = (
    "server_name",
    "seq",
    "at",
    "change",
    "kind",
    "actor_name",
    "actor_role",
    "origin",
    "token_name",
    "address",
    "agent_class",
    "request_id",
    "data",
)
"""The sealed fields, in an export besides the two hashes."""


def stamp(moment: datetime) -> str:
    """ISO 8601 in UTC with microseconds: one spelling per moment, on every database."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def digest(value: Any) -> str:
    """SHA-256 of a JSON value, the same for every database it was stored in."""
    return hashlib.sha256(canonical(_one_spelling(value)).encode()).hexdigest()


def _one_spelling(value: Any) -> Any:
    """PostgreSQL gives a float without a fraction back as it likes: 1e16, or all its digits."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {name: _one_spelling(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_one_spelling(item) for item in value]
    return value


def canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def seal(previous: str, event: Mapping[str, Any]) -> str:
    """SHA-256 over the hash before and the canonical JSON of FIELDS of ``event``."""
    body = canonical({name: event[name] for name in FIELDS})
    return hashlib.sha256(f"{previous}\n{body}".encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Gap:
    """Events ``first`` to ``last`` were pruned; ``before`` and ``after`` are the hashes around
    them."""

    first: int
    last: int
    before: str
    after: str

    def as_json(self) -> list[Any]:
        return [self.first, self.last, self.before, self.after]


@dataclass(frozen=True, slots=True)
class Fault:
    """A place where a chain does not prove itself."""

    server_name: str
    seq: int
    message: str

    def as_json(self) -> dict[str, Any]:
        return {"server": self.server_name, "seq": self.seq, "message": self.message}


@dataclass(slots=True)
class Notes:
    """How far the panel's own chain says that the others had got, by server: the newest note."""

    heads: dict[str, tuple[int, str]] = field(default_factory=dict)

    def read(self, events: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
        """The events of the panel's chain, unaltered."""
        for event in events:
            if event["kind"] == HEADS:
                for name, seq, sealed in event["data"].get("heads", ()):
                    self.heads[str(name)] = (int(seq), str(sealed))
            yield event

    def check(
        self, server_name: str, events: Iterable[Mapping[str, Any]], faults: list[Fault]
    ) -> Iterator[Mapping[str, Any]]:
        """The events of another chain, unaltered; what contradicts the note is added to
        ``faults``."""
        wanted, sealed = self.heads.pop(server_name, (0, ""))
        last = 0
        for event in events:
            last = int(event["seq"])
            if last == wanted and event["hash"] != sealed:
                faults.append(Fault(server_name, last, "It is not the event that the panel noted."))
            yield event
        if last < wanted:
            message = f"The panel noted {wanted} events of this chain, and {last} are there."
            faults.append(Fault(server_name, last + 1, message))

    def missing(self) -> Iterator[Fault]:
        """Chains that were noted and not checked."""
        for name, (seq, _) in sorted(self.heads.items()):
            yield Fault(name, 1, f"The panel noted {seq} events of this chain, and none is there.")


def check_chain(
    server_name: str,
    events: Iterable[Mapping[str, Any]],
    head: tuple[int, str] | None = None,
) -> Iterator[Fault]:
    """Every fault of one chain; ``events`` in their order, as dictionaries of an export.

    ``head`` is (number, hash) of the newest event as stored beside the chain, if known: only it can
    show that the newest events are missing. Memory depends on the number of gaps, not of events.
    """
    expected, previous = 1, ""
    open_gaps: list[Gap] = []
    explained: set[tuple[int, int, str, str]] = set()
    for event in events:
        seq = int(event["seq"])
        if seq > expected:
            open_gaps.append(Gap(expected, seq - 1, previous, str(event["previous_hash"])))
        elif seq < expected:
            yield Fault(server_name, seq, "This number is duplicated or out of order.")
        elif event["previous_hash"] != previous:
            yield Fault(server_name, seq, "The event before it is not the one it was sealed to.")
        if seal(str(event["previous_hash"]), event) != event["hash"]:
            yield Fault(server_name, seq, "Its content is not what was sealed.")
        if event["kind"] == PRUNED:
            for first, last, before, after in event["data"].get("gaps", ()):
                explained.add((int(first), int(last), str(before), str(after)))
        expected, previous = seq + 1, str(event["hash"])
    for gap in open_gaps:
        if not _explains(gap, explained):
            yield Fault(
                server_name,
                gap.first,
                f"Events {gap.first} to {gap.last} are missing and were not pruned.",
            )
    if head is not None and (expected - 1, previous) != head:
        yield Fault(
            server_name, expected, f"The chain should end with event {head[0]}, but does not."
        )


def _explains(gap: Gap, explained: Iterable[tuple[int, int, str, str]]) -> bool:
    """Whether prunings, end to end, cover exactly this gap, hash by hash."""
    at, before = gap.first, gap.before
    for first, last, hash_before, hash_after in sorted(explained):
        if first == at and hash_before == before:
            at, before = last + 1, hash_after
            if at == gap.last + 1:
                return before == gap.after
    return False

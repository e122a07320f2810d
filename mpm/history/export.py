"""The history as files: streamed piece by piece, so that a million rows need no more memory
than a page."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

from mpm.history.filters import ChangeFilters
from mpm.history.seal import stamp
from mpm.models import Chain, Change, Event

BATCH = 1000
COLUMNS = (
    "number",
    "id",
    "server",
    "state",
    "from_mpm",
    "from_itk",
    "to_mpm",
    "to_itk",
    "requested_at",
    "started_at",
    "finished_at",
    "person",
    "role",
    "origin",
    "token",
    "address",
    "request",
    "reason",
    "ticket",
    "outcome",
    "decided_by",
    "refused",
    "longest_wait_ms",
    "rollback_of",
)
_FIELDS = (
    "pk",
    "uuid",
    "server_name",
    "state",
    "from_mpm",
    "from_itk",
    "to_mpm",
    "to_itk",
    "requested_at",
    "started_at",
    "finished_at",
    "actor_name",
    "actor_role",
    "origin",
    "token_name",
    "address",
    "request_id",
    "reason",
    "ticket",
    "sentence",
    "decided_by",
    "refused",
    "longest_wait_ms",
    "rollback_of_id",
)


def rows(filters: ChangeFilters) -> Iterator[dict[str, Any]]:
    """Every change the filters leave, newest first, in batches that each hold no cursor open."""
    edge: int | None = None
    while True:
        part = filters.newest(Change.objects.all(), edge)
        batch = list(part.values_list(*_FIELDS)[:BATCH])
        for values in batch:
            row = dict(zip(COLUMNS, values, strict=True))
            for name in ("requested_at", "started_at", "finished_at"):
                row[name] = stamp(row[name]) if row[name] else None
            yield row
        if len(batch) < BATCH:
            return
        edge = batch[-1][0]


def as_csv(filters: ChangeFilters) -> Iterator[str]:
    """Pieces of a CSV file with a header line."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(COLUMNS)
    for number, row in enumerate(rows(filters), start=1):
        writer.writerow([_cell(value) for value in row.values()])
        if number % 200 == 0:
            yield buffer.getvalue()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue()


def _cell(value: Any) -> Any:
    """A spreadsheet takes a text that begins like a formula for one; an apostrophe stops it."""
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return f"'{value}"
    return value


def as_json(filters: ChangeFilters) -> Iterator[str]:
    """Pieces of one JSON list, a change per line."""
    yield from _listed(rows(filters))


def events_as_json(server: str | None = None) -> Iterator[str]:
    """Pieces of one JSON list of sealed events, chain by chain, an event per line, and behind
    them the head of every chain: what ``mpm history verify --file`` proves on any machine.
    None: every chain."""
    yield from _listed(_sealed_events(server))


def _sealed_events(server: str | None) -> Iterator[dict[str, Any]]:
    chains = Chain.objects.order_by("server_name")
    if server is not None:
        chains = chains.filter(server_name=server)
    heads: list[tuple[str, int, str]] = []
    for name in list(chains.values_list("server_name", flat=True)):
        seq, sealed = 0, ""
        # Until nothing was added meanwhile: a pruning is explained by an event behind it.
        while True:
            head, sealed = Chain.objects.values_list("seq", "hash").get(server_name=name)
            if head == seq:
                break
            rows = Event.objects.filter(server_name=name, seq__gt=seq, seq__lte=head)
            for event in rows.order_by("seq").iterator(chunk_size=BATCH):
                yield event_as_json(event)
            seq = head
        heads.append((name, seq, sealed))
    yield {"heads": heads}


def event_as_json(event: Event) -> dict[str, Any]:
    """An event as an export holds it: what is sealed, and the two hashes."""
    return {**event.sealed, "previous_hash": event.previous_hash, "hash": event.hash}


def _listed(items: Iterator[dict[str, Any]]) -> Iterator[str]:
    first = True
    pieces: list[str] = []
    for item in items:
        pieces.append(("[\n" if first else ",\n") + json.dumps(item, separators=(",", ":")))
        first = False
        if len(pieces) == 200:
            yield "".join(pieces)
            pieces.clear()
    yield "".join(pieces) + ("[]\n" if first else "\n]\n")

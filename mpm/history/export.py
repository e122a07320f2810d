"""The history as files: streamed piece by piece, so that a million rows need no more memory
than a page."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

from mpm.history.filters import ChangeFilters
from mpm.history.outside import HEAVY
from mpm.models import Chain, Change, Event
from mpm.schemas.change import Change as ChangeSchema

BATCH = 1000
_SIDES = ("from", "to")


def _columns() -> Iterator[str]:
    for name, field in ChangeSchema.model_fields.items():
        column = field.alias or name
        if column in _SIDES:
            yield from (f"{column}_mpm", f"{column}_itk")
        else:
            yield column


COLUMNS = tuple(_columns())
"""Of a CSV file: the fields of a change, with both sides spread out."""


def rows(filters: ChangeFilters) -> Iterator[ChangeSchema]:
    """Every change the filters leave, newest first, in batches that each hold no cursor open."""
    edge: int | None = None
    while True:
        part = filters.newest(Change.objects.defer(*HEAVY), edge)
        batch = list(part[:BATCH])
        yield from (ChangeSchema.of(row) for row in batch)
        if len(batch) < BATCH:
            return
        edge = batch[-1].pk


def as_csv(filters: ChangeFilters) -> Iterator[str]:
    """Pieces of a CSV file with a header line."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(COLUMNS)
    for number, row in enumerate(rows(filters), start=1):
        writer.writerow([_cell(value) for value in _flat(row)])
        if number % 200 == 0:
            yield buffer.getvalue()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue()


def _flat(row: ChangeSchema) -> Iterator[Any]:
    for name, value in row.as_json().items():
        if name in _SIDES:
            yield from (value["mpm"], value["itk"])
        else:
            yield value


def _cell(value: Any) -> Any:
    """A spreadsheet takes a text that begins like a formula for one; an apostrophe stops it."""
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return f"'{value}"
    return value


def as_json(filters: ChangeFilters) -> Iterator[str]:
    """Pieces of one JSON list, a change per line, as REST shows it."""
    yield from _listed(row.as_json() for row in rows(filters))


def events_as_json(server: str | None = None) -> Iterator[str]:
    """Pieces of one JSON list of sealed events, chain by chain, an event per line, and behind
    them the head of every chain: what ``manage.py mpm verify --file`` proves on any machine.
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
    """An event in an export: the sealed fields, and the two hashes."""
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

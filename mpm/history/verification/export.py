"""An export of sealed events, checked without any database."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

from mpm.history.seal import FIELDS, Fault, Notes, check_chain
from mpm.history.verification.verdict import Counted, Head, Verdict

_EVENT = {*FIELDS, "previous_hash", "hash"}


class BadExport(ValueError):
    """The file is no export of the history."""


def verify_export(path: Path) -> Verdict:
    """Check an export (mpm.history.events_as_json). Raises BadExport if it is no export.

    Each chain must start with its first event, or with a gap that a pruning event in it explains;
    have no other gaps; and end with the event named in the last line of the file. Memory depends on
    the number of chains.
    """
    lines = _Lines(path)
    ends: dict[str, Head] = {}
    faults: list[Fault] = []
    events, notes = 0, Notes()
    for name, group in groupby(lines, key=lambda row: str(row["server_name"])):
        counted, last = Counted(group), _Last()
        noted: list[Fault] = []
        read = notes.check(name, counted, noted) if name else notes.read(counted)
        found = [*check_chain(name, last.watch(read)), *noted]
        events += counted.count
        if name in ends:
            faults.append(Fault(name, last.head[0], "This chain appears twice."))
        else:
            faults += found
            ends[name] = last.head
    if lines.heads is None:
        faults.append(
            Fault(
                "",
                0,
                "The export is incomplete: the last line, which names the newest event of "
                "every chain, is missing.",
            )
        )
        return Verdict(len(ends), events, tuple(faults), complete=False, heads=ends)
    faults += notes.missing()
    for name, (seq, sealed) in lines.heads.items():
        if name not in ends and seq:
            faults.append(Fault(name, 1, f"All of its {seq} events are missing."))
        elif name in ends and ends[name] != (seq, sealed):
            message = f"The chain should end with event {seq}, but does not."
            faults.append(Fault(name, ends[name][0], message))
    faults += [
        Fault(name, 0, "The last line of the export does not know this chain.")
        for name in ends
        if name not in lines.heads
    ]
    return Verdict(len(ends), events, tuple(faults), heads=lines.heads)


def _is_event(row: Any) -> bool:
    return (
        isinstance(row, dict)
        and set(row) >= _EVENT
        and isinstance(row["seq"], int)
        and isinstance(row["data"], dict)
    )


class _Last:
    """Remembers the head of a chain that is being read."""

    head: Head = (0, "")

    def watch(self, events: Iterable[Mapping[str, Any]]) -> Iterator[Any]:
        for event in events:
            self.head = (int(event["seq"]), str(event["hash"]))
            yield event


class _Lines:
    """The events of a file; after the last one, ``heads`` has the heads in its last line, or
    None."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.heads: dict[str, Head] | None = None

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for number, row in self._rows():
            if self.heads is not None:
                raise BadExport(f"{self._path}, line {number}: content after the end")
            if isinstance(row, dict) and set(row) == {"heads"}:
                self.heads = self._heads(number, row["heads"])
            elif _is_event(row):
                yield row
            else:
                raise BadExport(f"{self._path}, line {number}: not an event of an export")

    def _heads(self, number: int, value: Any) -> dict[str, Head]:
        try:
            return {str(name): (int(seq), str(sealed)) for name, seq, sealed in value}
        except (TypeError, ValueError) as error:
            raise BadExport(f"{self._path}, line {number}: not the end of an export") from error

    def _rows(self) -> Iterator[tuple[int, Any]]:
        number = 0
        try:
            with self._path.open(encoding="utf-8") as handle:
                for number, line in enumerate(handle, start=1):
                    text = line.strip().rstrip(",")
                    if text not in ("", "[", "]", "[]"):
                        yield number, json.loads(text)
        except json.JSONDecodeError as error:
            raise BadExport(f"{self._path}, line {number}: not JSON ({error.msg})") from error
        except (OSError, UnicodeDecodeError) as error:
            raise BadExport(f"{self._path} cannot be read: {error}") from error

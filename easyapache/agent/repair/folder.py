"""One repair on disk: the request, its progress and its result.

In ``<spool>/repairs/<request>/``:

* ``asked.json``: {action, asked_at}, written before anything is done;
* ``before.json``: {httpd_started} when the work first started;
* ``starts``: one line per process that has worked on it; ``lock``: held by the current one;
* ``result.json``: {ok, message, log}; nothing more is done once it exists;
* ``told``: exists once the result was handed to the broker (the name is part of released versions);
* ``reserve``: space for the above on a full disk.

The same request five times is one folder, and so one repair.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from easyapache.agent.change.durable import (
    RESERVE_BYTES,
    append,
    at_work,
    despite_a_full_disk,
    held,
    write_atomically,
)


class RepairFolder:
    """The folder of one repair. It may not be there yet."""

    program = "easyapache.agent.repair.engine"

    def __init__(self, path: Path) -> None:
        self.path = path
        self.request = path.name

    def create(self, action: str, requested_at: str) -> None:
        """Write down the request, unless that was done before."""
        if self.known:
            return
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        (self.path / "reserve").write_bytes(os.urandom(RESERVE_BYTES))
        self._write("asked.json", {"action": action, "asked_at": requested_at})

    @property
    def known(self) -> bool:
        return (self.path / "asked.json").exists()

    @property
    def begun(self) -> float:
        """When it was written down, in seconds since 1970."""
        return (self.path / "asked.json").stat().st_mtime

    @property
    def action(self) -> str:
        request = self._read("asked.json") or {}
        return str(request.get("action", ""))

    # -- who works on it (see ``engines.Work``) --------------------------------------------

    @property
    def key(self) -> str:
        return f"repair-{self.request}"

    @property
    def over(self) -> bool:
        return self.result is not None

    @property
    def progress(self) -> int:
        return int(self.before is not None)

    @property
    def engine_at_work(self) -> bool:
        return at_work(self.path / "lock")

    @contextmanager
    def engine_lock(self) -> Iterator[None]:
        """Be the process that carries it out. Raises Busy when another one does."""
        with held(self.path / "lock"):
            yield

    def note_start(self) -> int:
        """Record an attempt; returns the number of attempts, this one included."""
        path = self.path / "starts"
        self._despite_a_full_disk(lambda: append(path, b"%d\n" % os.getpid(), durable=True))
        return len(path.read_bytes().splitlines())

    # -- what became of it -----------------------------------------------------------------

    @property
    def before(self) -> str | None:
        """Which httpd ran when the work first started, as Profile's fact ``httpd_started``; None if
        it has not started yet."""
        seen = self._read("before.json")
        return None if seen is None else str(seen.get("httpd_started", ""))

    def begin(self, httpd_started: str) -> None:
        self._write("before.json", {"httpd_started": httpd_started})

    @property
    def result(self) -> Mapping[str, Any] | None:
        return self._read("result.json")

    def finish(self, result: Mapping[str, Any]) -> None:
        self._write("result.json", result)

    @property
    def reported(self) -> bool:
        return (self.path / "told").exists()

    def set_reported(self) -> None:
        """A result not marked as reported is reported again, which does no harm."""
        try:
            (self.path / "told").touch(mode=0o600)
        except OSError:
            return

    # -- inside ----------------------------------------------------------------------------

    def _read(self, name: str) -> dict[str, Any] | None:
        """None for a file that is not there, or that cannot be read."""
        try:
            data = json.loads((self.path / name).read_bytes())
        except (FileNotFoundError, ValueError):
            return None
        return data if isinstance(data, dict) else None

    def _write(self, name: str, value: Mapping[str, Any]) -> None:
        data = json.dumps(dict(value)).encode()
        self._despite_a_full_disk(lambda: write_atomically(self.path / name, data))

    def _despite_a_full_disk(self, write: Callable[[], None]) -> None:
        despite_a_full_disk(self.path / "reserve", write)

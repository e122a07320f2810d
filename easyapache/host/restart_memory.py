"""The restart that was begun, kept across a crash."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from easyapache.host.processes import Identity


@dataclass(frozen=True, slots=True)
class Memory:
    """What must be put back even when this process is killed: kept in a file from before the
    first change until after the last."""

    path: Path

    def load(self) -> Identity | None:
        """The old httpd of a restart that was begun and not completed."""
        try:
            return Identity.from_json(json.loads(self.path.read_text())["old"])
        except (FileNotFoundError, ValueError):
            return None

    def save(self, old: Identity) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        scratch = self.path.with_suffix(".new")
        with scratch.open("w") as handle:
            json.dump({"old": old.as_json()}, handle)
            handle.flush()
            os.fsync(handle.fileno())
        scratch.rename(self.path)

    def forget(self) -> None:
        self.path.unlink(missing_ok=True)

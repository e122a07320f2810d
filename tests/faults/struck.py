"""One change's engine, killed at a line of its journal.

    python -m tests.faults.struck <folder of a change> before|after

It is the engine itself, with one thing added: SIGKILL from within, just before a line of the
journal is written, or just after that line is on disk. Each kind of line strikes once for a
change; the file ``struck`` in its folder remembers which have. Started again and again until
it lives, it has died at every line there is.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

from easyapache.agent.change import durable, engine, folder

STRUCK = "struck"


def short(data: bytes) -> str:
    """What kind of line it is, as ``step packages started``."""
    line = json.loads(data)
    fields = line["data"]
    what = (
        fields.get("step")
        or fields.get("phase")
        or fields.get("outcome")
        or fields.get("code")
        or ""
    )
    return f"{line['kind']} {what} {fields.get('status', '')}".strip()


def struck_at(change: Path) -> list[str]:
    """The lines at which the engine of this change has been killed, in that order."""
    path = change / STRUCK
    return path.read_text().splitlines() if path.exists() else []


def arm(when: str) -> None:
    """Let the next new kind of line kill this process ``before`` or ``after`` it is written."""

    def append(path: Path, data: bytes, *, durable: bool) -> None:
        strikes = path.name == "journal.jsonl" and short(data) not in struck_at(path.parent)
        if strikes:
            _append(path.parent / STRUCK, f"{short(data)}\n".encode(), durable=True)
        if strikes and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        _append(path, data, durable=durable)
        if strikes and when == "after":
            os.kill(os.getpid(), signal.SIGKILL)

    _append = durable.append
    folder.append = append  # type: ignore[attr-defined]


if __name__ == "__main__":
    arm(sys.argv[2])
    sys.exit(engine.main(sys.argv[1:2]))

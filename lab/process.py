"""Runs programs for the lab: argument lists only, with output captured and failures raised."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path


class LabError(Exception):
    """The lab failed; the message has the reason, as a sentence or with output."""


def run(
    argv: Sequence[str | Path],
    *,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    check: bool = True,
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, away from the terminal.

    Messages are forced into English (LC_ALL=C), because some of them are compared. Raises
    LabError with the last lines of the output when it fails and ``check`` is set.
    """
    command = [str(word) for word in argv]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            env={**os.environ, "LC_ALL": "C", **(environment or {})},
            cwd=folder,
            check=False,
        )
    except FileNotFoundError as error:
        raise LabError(f"{command[0]} not found: {error.strerror}") from error
    if check and done.returncode != 0:
        tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-15:])
        raise LabError(f"{' '.join(command)[:300]} ended with {done.returncode}:\n{tail}")
    return done

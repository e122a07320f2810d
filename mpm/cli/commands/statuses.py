"""How a command can end: its exit status, and the ways in which it is refused."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from typing import Any

from mpm.cli.commands.language import marked

Json = dict[str, Any]

DONE, FAILED, USAGE, REFUSED, UNAVAILABLE, BUSY = range(6)
INTERRUPTED, UNREAD = 128 + signal.SIGINT, 128 + signal.SIGPIPE
"""As a shell shows that a program was ended by the signal."""

EXIT_STATUSES: Mapping[int, str] = {
    DONE: marked("done"),
    FAILED: marked(
        "the change failed, the server needs attention, or the answer didn't arrive in time"
    ),
    USAGE: marked("wrong arguments or configuration, or not confirmed"),
    REFUSED: marked("refused by the panel"),
    UNAVAILABLE: marked("the panel, its database or its broker isn't available"),
    BUSY: marked("another change of the server isn't finished"),
    INTERRUPTED: marked("interrupted; a change that was started continues on the server"),
    UNREAD: marked("the program that reads the output ended"),
}


class Refused(Exception):
    """The panel refused. ``problem`` is its answer, ``status`` the HTTP status."""

    def __init__(self, status: int, problem: Json) -> None:
        super().__init__(str(problem.get("detail") or f"The panel answered {status}."))
        self.status, self.problem = status, problem

    @property
    def code(self) -> str:
        return str(self.problem.get("code", ""))

    @property
    def exit_status(self) -> int:
        if self.code == "busy":
            return BUSY
        if self.code in ("no_answer", "preview_failed"):
            return FAILED
        return UNAVAILABLE if self.status == 503 else REFUSED


class Unreachable(Exception):
    """The panel could not be reached, even after retries, or is no panel."""


class BadUsage(Exception):
    """The input is invalid, or was not confirmed. ``code`` is stable."""

    def __init__(self, message: str, code: str = "usage") -> None:
        super().__init__(message)
        self.code = code

"""Runs one command: finds its server, prints its answer, and returns the exit status."""

from __future__ import annotations

import argparse
import codecs
import io
import json
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, TextIO, cast

from mpm.cli.commands import display
from mpm.cli.commands.connection import Connection
from mpm.cli.commands.display import Terminal
from mpm.cli.commands.language import _
from mpm.cli.commands.statuses import (
    FAILED,
    INTERRUPTED,
    UNAVAILABLE,
    UNREAD,
    USAGE,
    BadUsage,
    Json,
    Refused,
    Unreachable,
)

Problem = tuple[int, Json]
"""The exit status, and what a program reads: ``code`` and ``detail`` at least."""


@dataclass(frozen=True, slots=True)
class Program:
    """One of the two ways to reach the panel. ``panel_only``: commands that need the panel's own
    machine, by name. ``notices``: problems of the panel known here, besides those in its answers;
    with True also those that an answer about a server would have. ``errors`` are more exceptions
    that end a command, and ``problem_of`` makes a problem of them; it raises those that are
    bugs."""

    name: str
    connect: Callable[[argparse.Namespace], Connection]
    panel_only: Mapping[str, Callable[[Run], int]] = field(default_factory=dict)
    notices: Callable[[bool], list[str]] = lambda _alone: []
    errors: tuple[type[Exception], ...] = ()
    problem_of: Callable[[Exception], Problem] | None = None


class Run:
    """The context of a command. ``aside`` is the output for messages besides the answer; ``begun``
    is the change that continues without this command."""

    def __init__(
        self, program: Program, options: argparse.Namespace, out: TextIO, err: TextIO
    ) -> None:
        self.program, self.options = program, options
        output = _Output(out)
        self.console = Terminal(cast(TextIO, output))
        self.aside = Terminal(cast(TextIO, _Output(err)))
        self._plain = not output.takes_unicode
        self.begun: int | None = None
        self._panel: Connection | None = None

    @property
    def panel(self) -> Connection:
        if self._panel is None:
            self._panel = self.program.connect(self.options)
        return self._panel

    def close(self) -> None:
        if self._panel is not None:
            self._panel.close()

    def server(self) -> str:
        """The server that ``--server`` names, or the only one. Raises BadUsage with their names
        where there are several."""
        if name := str(self.options.server or ""):
            if "/" in name:
                detail = _("There is no server called {name!r}.").format(name=name[:80])
                raise Refused(404, {"code": "not_found", "detail": detail})
            return name
        names = [item["name"] for item in self.panel.pages("servers")["items"] if item["active"]]
        if len(names) == 1:
            return str(names[0])
        if not names:
            raise BadUsage(_("No server has been added yet."), "no_server")
        raise BadUsage(
            _("Choose a server with --server: {names}.").format(names=", ".join(names)),
            "which_server",
        )

    def answer(self, value: Any, show: Callable[[Terminal, Any], None]) -> None:
        """JSON for a program, else as a person reads it."""
        if self.options.json:
            self.console.raw(json.dumps(value, indent=2, ensure_ascii=self._plain) + "\n")
        else:
            show(self.console, value)

    def hint(self, text: str) -> str:
        """A command of this program, to be typed as it is."""
        return f"{self.program.name} {text}"

    def refuse(self, problem: Json) -> None:
        """Print a problem: for programs on standard output, for people on standard error."""
        if self.options.json:
            self.answer(problem, display.problem)
        else:
            display.problem(self.aside, problem)


def execute(
    program: Program,
    options: argparse.Namespace,
    out: TextIO | None = None,
    err: TextIO | None = None,
) -> int:
    """The exit status of a command that was parsed."""
    run = Run(program, options, out or sys.stdout, err or sys.stderr)
    try:
        with closing(run):
            status = _ended(run)
            run.console.file.flush()
    except BrokenPipeError:
        _close_output()
        return UNREAD
    except Unwritable as error:
        _close_output()
        words = _("The answer can't be written: {error}").format(error=error)
        sys.stderr.write(f"{words}\n")
        return FAILED
    return status


class Unwritable(Exception):
    """Standard output takes nothing, as on a full disk; the message has the reason."""


class _Output:
    """A stream that is not there takes everything, as a reader that is not interested; one in an
    encoding that lacks a character gets its code."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream: Any = stream if stream is not None else io.StringIO()
        change = getattr(self._stream, "reconfigure", None)
        if change is not None:
            change(errors="backslashreplace")

    def write(self, text: str) -> int:
        return int(self._tried(self._stream.write, text) or 0)

    def flush(self) -> None:
        self._tried(self._stream.flush)

    def _tried(self, work: Callable[..., Any], *arguments: str) -> Any:
        try:
            return work(*arguments)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise Unwritable(error.strerror or str(error)) from error

    @property
    def takes_unicode(self) -> bool:
        encoding = getattr(self._stream, "encoding", None) or "utf-8"
        return codecs.lookup(encoding).name.startswith("utf")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _ended(run: Run) -> int:
    program, options = run.program, run.options
    try:
        _refuse_bytes(options)
        refuse_panel_only(program, options)
        work: Callable[[Run], int] = options.work or program.panel_only[options.panel_only]
        return work(run)
    except KeyboardInterrupt:
        detail = _("Interrupted.")
        if run.begun is not None:
            words = _("Change #{number} continues on the server. Follow it with: {command}")
            detail = words.format(number=run.begun, command=run.hint(f"log -f {run.begun}"))
        problem: Problem = INTERRUPTED, {"code": "interrupted", "detail": detail}
    except BadUsage as error:
        problem = USAGE, {"code": error.code, "detail": str(error)}
    except Unreachable as error:
        problem = UNAVAILABLE, {"code": "unreachable", "detail": str(error)}
    except Refused as refused:
        problem = refused.exit_status, refused.problem
    except program.errors as error:
        assert program.problem_of is not None
        problem = program.problem_of(error)
    status, body = problem
    run.refuse(body)
    return status


def _refuse_bytes(options: argparse.Namespace) -> None:
    """Raises BadUsage for an argument that isn't text: Python reads its bytes as half characters,
    which no request can hold."""
    for value in vars(options).values():
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str) and not _is_text(text):
                raise BadUsage(_("An argument isn't UTF-8 text: {text!a}").format(text=text[:80]))


def _is_text(text: str) -> bool:
    return not any("\ud800" <= sign <= "\udfff" for sign in text)


def refuse_panel_only(program: Program, options: argparse.Namespace) -> None:
    """Raises BadUsage for what only the panel's own machine can do, where this is not it."""
    if program.panel_only:
        return
    what = options.panel_only or next(
        (f"--{name}" for name in options.panel_only_options if getattr(options, name)), ""
    )
    if what:
        raise BadUsage(
            _(
                "{what} is available on the panel's machine only. Sign in there and run: manage.py "
                "mpm {command}"
            ).format(what=what, command=options.panel_only or options.command),
            "panel_only",
        )


def _close_output() -> None:
    """Standard output takes no more: discard the rest of the buffer."""
    if sys.stdout is None:
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)

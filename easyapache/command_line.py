"""Runs a command of ``manage.py``. Missing requirements end it with one sentence on standard error
and a specific exit status; a traceback is for bugs of the panel."""

from __future__ import annotations

import io
import os
import signal
import sys
from typing import NoReturn

from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line

UNAVAILABLE = 4
"""Exit status: database, broker or settings are not there, or not as they must be."""
INTERRUPTED = 128 + signal.SIGINT


def run(argv: list[str]) -> None:
    """Raises SystemExit if the command failed, and other exceptions for bugs."""
    from django.db import DatabaseError

    from easyapache.unavailable import why

    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # it was closed, and nobody reads it
            setattr(sys, name, io.StringIO())
    try:
        execute_from_command_line(argv)
        sys.stdout.flush()
    except ImproperlyConfigured as error:
        if "--traceback" in argv:
            raise
        _end(str(error), UNAVAILABLE)
    except DatabaseError as error:
        sentence = why(error)
        if not sentence or "--traceback" in argv:
            raise
        _end(sentence, UNAVAILABLE)
    except BrokenPipeError:
        leave_the_pipe()
        raise SystemExit(128 + signal.SIGPIPE) from None
    except KeyboardInterrupt:
        _end("Interrupted.", INTERRUPTED)


def leave_the_pipe() -> None:
    """The reader of standard output has ended: discard the rest of the buffer."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _end(sentence: str, status: int) -> NoReturn:
    sys.stderr.write(f"{sentence}\n")
    raise SystemExit(status)

"""Runs a command of ``manage.py``. What it lacks is one sentence on standard error, and a status
of its own; a traceback is for errors of the panel itself."""

from __future__ import annotations

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
    """Raises SystemExit where the command did not end well, and whatever is a fault of ours."""
    from django.db import DatabaseError

    from easyapache.unavailable import why

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
    """Nobody reads our standard output any more: what is still in its buffer goes nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _end(sentence: str, status: int) -> NoReturn:
    sys.stderr.write(f"{sentence}\n")
    raise SystemExit(status)

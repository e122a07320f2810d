"""When Python's garbage collector runs.

A process of the panel loads more than a hundred thousand permanent objects. By default, Python
scans all of them several times during the start, occasionally during work, and again at the end: of
the processor time of a start and an end a fifth with a command (``manage.py mpm status``) and two
fifths with the web part (``import easyapache.wsgi``).
"""

from __future__ import annotations

import atexit
import gc


def starting() -> None:
    """Disable garbage collection until ``started``."""
    gc.disable()


def started() -> None:
    """All loaded objects are permanent: from here on only newer ones are scanned.

    Before a fork this also keeps memory shared between parent and child. At its end a process scans
    nothing: the system frees its memory as a whole.
    """
    gc.freeze()
    gc.enable()
    atexit.register(gc.freeze)

"""When Python looks through its memory for what nobody uses any more.

A process of the panel loads more than a hundred thousand objects that stay as long as it does.
Left alone, Python looks through all of them several times while it starts, now and then while it
works, and once more before it ends: of the processor time of a start and an end a fifth with a
command (``manage.py mpm status``) and two fifths with the web part (``import easyapache.wsgi``).
"""

from __future__ import annotations

import atexit
import gc


def starting() -> None:
    """What is loaded from here on is not looked through, until ``started``."""
    gc.disable()


def started() -> None:
    """What has been loaded stays: from here on Python looks only through what comes after.

    Before a fork this also keeps memory shared between parent and child. And at its end a
    process looks through nothing: the system takes back its memory as a whole.
    """
    gc.freeze()
    gc.enable()
    atexit.register(gc.freeze)

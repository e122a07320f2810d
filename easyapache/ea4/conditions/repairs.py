"""The repairs that are safe enough for a button, by code: what each is called.

The agent carries them out (``easyapache.agent.repair.repairs``).
"""

from __future__ import annotations

from collections.abc import Mapping

from easyapache.ea4.conditions.condition import (
    ACCEPT,
    REINSTALL,
    RESTART,
    SETTLE,
    START,
    TAKE_BACK,
)
from easyapache.ea4.sentences import Sentence

REPAIR_LABELS: Mapping[str, str] = {
    START: Sentence("Start Apache"),
    RESTART: Sentence("Restart Apache"),
    SETTLE: Sentence("Restore one MPM"),
    REINSTALL: Sentence("Reinstall missing files"),
    ACCEPT: Sentence("Accept the packages as they are"),
    TAKE_BACK: Sentence("Undo the incomplete change"),
}

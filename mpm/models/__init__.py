"""The rows of the MPM section, one module per matter."""

from mpm.models.change import ACTIVE_STATES, TERMINAL_STATES, Change, Preview, State
from mpm.models.history import Chain, Event, PruningPermit
from mpm.models.journal import LogChunk, Report

__all__ = [
    "ACTIVE_STATES",
    "TERMINAL_STATES",
    "Chain",
    "Change",
    "Event",
    "LogChunk",
    "Preview",
    "PruningPermit",
    "Report",
    "State",
]

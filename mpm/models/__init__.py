"""The rows of the MPM section, one module per matter."""

from mpm.models.change import ACTIVE_STATES, TERMINAL_STATES, Change, Preview, State
from mpm.models.history import Chain, Event, PruningPermit
from mpm.models.idempotency import IdempotentAnswer
from mpm.models.journal import LogChunk, Report
from mpm.models.once import HistoryIsWrittenOnce
from mpm.models.token import Token
from mpm.models.webhook import Delivery, Webhook
from mpm.models.words import Words

__all__ = [
    "ACTIVE_STATES",
    "TERMINAL_STATES",
    "Chain",
    "Change",
    "Delivery",
    "Event",
    "HistoryIsWrittenOnce",
    "IdempotentAnswer",
    "LogChunk",
    "Preview",
    "PruningPermit",
    "Report",
    "State",
    "Token",
    "Webhook",
    "Words",
]

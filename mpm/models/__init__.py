"""The rows of the MPM section, one module per matter."""

from mpm.access.models.idempotency import IdempotentAnswer
from mpm.access.models.token import Token
from mpm.access.models.whm import WhmKey, WhmTicket, WhmUser
from mpm.changes.models.change import ACTIVE_STATES, TERMINAL_STATES, Change, Preview, State
from mpm.changes.models.journal import LogChunk, Report
from mpm.history.models.append_only import HistoryIsWrittenOnce
from mpm.history.models.events import Chain, Event, PruningPermit
from mpm.history.models.search_index import Words
from mpm.notify.models import Delivery, Webhook

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
    "WhmKey",
    "WhmTicket",
    "WhmUser",
    "Words",
]

"""One line of the log per message, whatever text it contains."""

from __future__ import annotations

import json
import logging
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

current_change: ContextVar[str] = ContextVar("change_id", default="-")
"""The number or the ID of the change that a request or a message is about."""

_CODES = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))}


class NotEveryTick(logging.Filter):
    """Beat logs each message it sends, every two seconds; its other lines are kept."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not str(record.msg).startswith("Scheduler: Sending due task")


class OneLine(logging.Formatter):
    """Shows control characters of a message by their codes. A traceback keeps its lines."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        return super().formatMessage(record).translate(_CODES)


class JsonLine(logging.Formatter):
    """One JSON object for each record.

    ``at`` (UTC), ``level``, ``logger``, ``message``; ``request`` and ``change`` where they are
    known, ``traceback`` where there is one; and of a request that was answered ``method``,
    ``path``, ``status``, ``ms`` and ``address``.
    """

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        about = {
            "request": getattr(record, "request_id", "-"),
            "change": getattr(record, "change_id", "-"),
        }
        line |= {key: value for key, value in about.items() if value != "-"}
        line |= getattr(record, "access", {})
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)

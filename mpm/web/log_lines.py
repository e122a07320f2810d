"""One line of the log for one thing that happened, whatever somebody put into its words."""

from __future__ import annotations

import logging

_CODES = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))}


class OneLine(logging.Formatter):
    """Shows control characters of a message by their codes. A traceback keeps its lines."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        return super().formatMessage(record).translate(_CODES)

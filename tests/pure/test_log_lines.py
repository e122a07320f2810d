"""Nobody can forge a line of the log."""

from __future__ import annotations

import logging

from mpm.web.log_lines import OneLine


def test_what_somebody_put_into_a_message_stays_on_its_line() -> None:
    record = logging.LogRecord(
        "x", logging.INFO, "x", 1, "it is %s", ("a\n2026 INFO b\x1b[1m",), None
    )
    assert OneLine("%(message)s").format(record) == r"it is a\x0a2026 INFO b\x1b[1m"

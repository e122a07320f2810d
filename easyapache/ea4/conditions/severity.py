"""How bad each known failure is for a server that has it."""

from __future__ import annotations

BROKEN = frozenset(
    {
        "half-way",
        "httpd-down",
        "no-mpm",
        "two-mpms",
        "mpm-changed-in-graceful",
        "module-file-missing",
        "run-folder-missing",
        "semaphores",
        "semaphores-removed",
        "address-in-use",
        "syntax",
        "setup-failed",
        "transaction-cut",
        "unfinished-transaction",
        "missing-files",
        "rpm-database",
        "disk-full",
        "broker",
    }
)
"""Apache does not serve, would not start again, or no change can be made."""
ADVICE = frozenset(
    {
        "limit-150",
        "event-or-worker",
        "event-untuned",
        "spare-servers-throttle",
        "restart-deferred",
        "pinned",
    }
)
"""The server works as it is, and could work better."""
ORDER = ("block", "warn", "note")
"""The severities, the worst first; the words of easyapache.ea4.rules.findings.Severity."""


def severity_of(code: str) -> str:
    """``block`` for what is broken, ``note`` for advice, else ``warn``."""
    if code in BROKEN:
        return "block"
    return "note" if code in ADVICE else "warn"

"""How bad each known failure is for a server that has it."""

from __future__ import annotations

from easyapache.ea4.rules.findings import Severity

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
ORDER = (Severity.BLOCK, Severity.WARN, Severity.NOTE)


def severity_of(code: str) -> Severity:
    """``block`` for what is broken, ``note`` for advice, else ``warn``."""
    if code in BROKEN:
        return Severity.BLOCK
    return Severity.NOTE if code in ADVICE else Severity.WARN

"""Notifies systemd that this process is ready, and that it still works: sd_notify(3).

If the process was not started by a unit of Type=notify, nothing happens.
"""

from __future__ import annotations

import logging
import os
import socket

log = logging.getLogger(__name__)

SOCKET_VARIABLE = "NOTIFY_SOCKET"
WATCHDOG_VARIABLE = "WATCHDOG_USEC"
_PATIENCE = 5.0
"""Seconds a full socket of systemd's is waited for."""


def ready(status: str = "") -> bool:
    """The service is ready. Returns whether systemd was notified."""
    return notify("READY=1", *([f"STATUS={status}"] if status else []))


def at_work() -> bool:
    """Call it when the process has shown that it works, never by a timer alone: systemd kills and
    restarts a process without a notification within WatchdogSec."""
    return notify("WATCHDOG=1")


def watched() -> bool:
    """Whether the unit has a WatchdogSec."""
    return bool(os.environ.get(SOCKET_VARIABLE) and os.environ.get(WATCHDOG_VARIABLE))


def notify(*lines: str) -> bool:
    """Send these lines in one message. False if there is no receiver; never an exception, because
    the service must continue without it."""
    address = os.environ.get(SOCKET_VARIABLE, "")
    if address[:1] not in ("/", "@"):
        return False
    name = f"\0{address[1:]}" if address.startswith("@") else address
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            channel.settimeout(_PATIENCE)
            channel.connect(name)
            channel.sendall("\n".join(lines).encode())
    except OSError as error:
        log.warning("systemd cannot be notified: %s", error)
        return False
    return True

"""Tells systemd that this process is ready, and that it is still at work: sd_notify(3).

Where no unit of Type=notify started the process there is nobody to tell, and nothing happens.
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
    """What the unit is for can be used from here on. Returns whether systemd has heard it."""
    return notify("READY=1", *([f"STATUS={status}"] if status else []))


def at_work() -> bool:
    """Call it when the process has shown that it works, never from a clock alone: systemd kills
    and restarts a process of which it does not hear within WatchdogSec."""
    return notify("WATCHDOG=1")


def watched() -> bool:
    """Whether the unit has a WatchdogSec."""
    return bool(os.environ.get(SOCKET_VARIABLE) and os.environ.get(WATCHDOG_VARIABLE))


def notify(*lines: str) -> bool:
    """Send these lines in one message. False where nobody listens; never an exception, because
    a service that cannot tell how it does must go on doing it."""
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

"""Whether this machine is being shut down: a failure at that time is no failure of the change."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from easyapache.agent.config import HostConfig
from easyapache.agent.httpd.processes import systemd_is_init
from easyapache.agent.runner import Runner
from easyapache.agent.server import HostError

LIMIT = 10.0
"""Seconds for systemd's answer."""


class ShuttingDown(SystemExit):
    """The machine is being shut down. The process exits with status 76 and without an outcome; its
    work continues from the journal after the boot."""

    def __init__(self) -> None:
        super().__init__(76)


def shutdown_of(config: HostConfig) -> Callable[[], bool]:
    """A function that returns whether the machine is being shut down."""
    return partial(is_shutting_down, Runner(config.environment))


def is_shutting_down(runner: Runner) -> bool:
    """Whether systemd is stopping the machine; it then starts no units. False if systemd is not
    process 1 or does not answer."""
    if not systemd_is_init():
        return False
    try:
        state = runner.capture(["systemctl", "is-system-running"], limit=LIMIT)
    except HostError:
        return False
    return state.stdout.strip() == "stopping"

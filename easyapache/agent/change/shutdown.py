"""Whether this machine is being shut down: what fails then says nothing about a change."""

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
    """The machine is being shut down. It is nobody's failure: the process ends where it is, with
    status 76 and without a verdict, and what it did goes on from the journal after the boot."""

    def __init__(self) -> None:
        super().__init__(76)


def shutdown_of(config: HostConfig) -> Callable[[], bool]:
    """Asks, whenever it is called, whether the machine of a server is being shut down."""
    return partial(is_shutting_down, Runner(config.environment))


def is_shutting_down(runner: Runner) -> bool:
    """Whether systemd is stopping the machine: it then starts neither units nor httpd. False
    where systemd is not process 1, and where it does not answer."""
    if not systemd_is_init():
        return False
    try:
        state = runner.capture(["systemctl", "is-system-running"], limit=LIMIT)
    except HostError:
        return False
    return state.stdout.strip() == "stopping"

"""Whether this machine is being shut down: what fails then says nothing about a change."""

from __future__ import annotations

from easyapache.host.processes import systemd_is_init
from easyapache.host.runner import Runner
from easyapache.host.server import HostError

LIMIT = 10.0
"""Seconds for systemd's answer."""


class GoingDown(BaseException):
    """The machine is being shut down. Like KeyboardInterrupt it is nobody's failure: whatever is
    under way stops where it is, without a verdict, and goes on from the journal after the boot."""


def machine_goes_down(runner: Runner) -> bool:
    """Whether systemd is stopping the machine: it then starts neither units nor httpd. False
    where systemd is not process 1, and where it does not answer."""
    if not systemd_is_init():
        return False
    try:
        said = runner.ask(["systemctl", "is-system-running"], limit=LIMIT)
    except HostError:
        return False
    return said.stdout.strip() == "stopping"

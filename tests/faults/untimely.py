"""One change's engine, to whose server something happens at a moment that is told.

    python -m tests.faults.untimely <folder of a change> reload|orphans|death MOMENT

It is the engine itself on the real server. Just before it tests the configuration (configtest),
just before it restarts httpd (restart), or just after it has (restarted), somebody else reloads
httpd as log rotation does, httpd's parent is killed, or the engine is.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from easyapache.agent.change.engine import Engine
from easyapache.agent.change.folder import ChangeFolder
from easyapache.agent.config import HostConfig
from easyapache.agent.drivers import config_of
from easyapache.agent.real import RealServer
from easyapache.agent.server import Interruption, Log

PATIENCE = 60.0


class Untimely(RealServer):
    def __init__(self, config: HostConfig, what: str, moment: str) -> None:
        super().__init__(config)
        self._what, self._moment = what, moment

    def config_test(self, log: Log) -> None:
        self._it_is("configtest")
        super().config_test(log)

    def restart(self, method: str, log: Log) -> Interruption:
        self._it_is("restart")
        noticed = super().restart(method, log)
        self._it_is("restarted")
        return noticed

    def _it_is(self, moment: str) -> None:
        if moment != self._moment:
            return
        if self._what == "death":
            os.kill(os.getpid(), signal.SIGKILL)
        self._moment = ""
        if self._what == "orphans":
            kill_parent(self)
        else:
            reload_httpd(self)


def reload_httpd(server: RealServer) -> None:
    """What log rotation does to a server whose MPM has changed on disk: it ends. Returns once
    there is another one."""
    old = server.httpd.parent()
    assert old is not None
    os.kill(old.pid, signal.SIGUSR1)
    end = time.monotonic() + PATIENCE
    while old.alive or not server.httpd.parents():
        assert time.monotonic() < end, "nobody started httpd again"
        time.sleep(0.01)


def kill_parent(server: RealServer) -> None:
    """What the kernel does when memory runs out, if it picks this process. Its children go on."""
    old = server.httpd.parent()
    assert old is not None
    os.kill(old.pid, signal.SIGKILL)
    while old.alive:
        time.sleep(0.01)


if __name__ == "__main__":
    path = Path(sys.argv[1])
    config = config_of(path.parent)
    Engine(ChangeFolder(path), Untimely(config, *sys.argv[2:]), config).run()

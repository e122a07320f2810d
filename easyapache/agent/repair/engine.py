"""Carries out one repair, in a process of its own: killing the agent does not end it, and what
was cut off is taken up again.

Run as ``python -m easyapache.agent.repair.engine <folder>``, by the agent.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from easyapache.agent.change.durable import Busy
from easyapache.agent.change.inhibitor import Inhibitor
from easyapache.agent.change.shutdown import ShuttingDown, shutdown_of
from easyapache.agent.change.spool import Spool
from easyapache.agent.config import BadConfig
from easyapache.agent.drivers import config_of, open_server
from easyapache.agent.repair.folder import RepairFolder
from easyapache.agent.repair.repairs import Repaired, repair
from easyapache.agent.runner import Runner
from easyapache.agent.server import HostError, Server
from easyapache.ea4.sentences import counted

STARTS = 5
"""So often is a repair set about; what dies more often would die for ever."""
LONGEST_LOG = 50_000
"""The most characters of the log in a result: its end."""


def carry_out(
    folder: RepairFolder,
    server: Server,
    spool: Spool,
    shutting_down: Callable[[], bool] = lambda: False,
) -> Repaired:
    """Carry out a repair once. Raises Busy when another process does, and ShuttingDown when it
    failed because the machine is being shut down: it starts again after the boot."""
    with folder.engine_lock():
        result = folder.result
        if result is not None:
            return Repaired(ok=bool(result["ok"]), message=str(result["message"]))
        if folder.note_start() > STARTS:
            done = Repaired(
                ok=False,
                message=counted(
                    "The repair was interrupted {count} time. Check the server before you try "
                    "again.",
                    "The repair was interrupted {count} times. Check the server before you try "
                    "again.",
                    count=STARTS,
                ),
            )
        else:
            begun = folder.before
            if begun is None:
                folder.begin(_httpd_of(server))
            done = repair(folder.action, server, spool, begun=begun)
        if not done.ok and shutting_down():
            raise ShuttingDown
        folder.finish({**done.as_json(), "log": done.log[-LONGEST_LOG:]})
        return done


def _httpd_of(server: Server) -> str:
    try:
        return str(server.inspect().facts.get("httpd_started", ""))
    except HostError:
        return ""


def _note(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def main(arguments: list[str]) -> int:
    """Exit status 0: there is a result, good or bad; 2: no such repair; 75: another process carries
    it out; 76: the machine is shutting down."""
    if len(arguments) != 1 or not RepairFolder(Path(arguments[0])).known:
        sys.stderr.write("usage: python -m easyapache.agent.repair.engine <folder of a repair>\n")
        return 2
    folder = RepairFolder(Path(arguments[0]).resolve())
    spool = folder.path.parent.parent
    try:
        config = config_of(spool)
        lock = Inhibitor(Runner(config.environment), _note)
        if config.driver != "simulated":
            lock.take("Apache or its packages are being repaired. It ends by itself.")
        try:
            done = carry_out(folder, open_server(config), Spool(spool), shutdown_of(config))
        finally:
            lock.release()
    except BadConfig as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except Busy:
        sys.stderr.write("another engine is already working on this repair\n")
        return 75
    sys.stdout.write(f"{done.message}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Continue or undo a change by hand, as root: ``python -m easyapache.agent status|resume|undo
FOLDER``.

FOLDER is the folder of one change in the agent's spool. The panel, its database, Redis and the
agent need not run. ``resume --all`` finishes every change that was interrupted after it had started
to change the server; a unit may run it at boot. FOLDER is then the spool (default: the one in the
agent's configuration).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from easyapache import sd_notify
from easyapache.agent.change.durable import Busy
from easyapache.agent.change.engine import Engine
from easyapache.agent.change.folder import ChangeFolder
from easyapache.agent.change.progress import label, progress_of
from easyapache.agent.change.shutdown import ShuttingDown
from easyapache.agent.change.spool import Spool
from easyapache.agent.config import BadConfig, HostConfig, load_config
from easyapache.agent.drivers import CONFIG_VARIABLE, config_of, open_server
from easyapache.agent.httpd.unit import Unit
from easyapache.agent.packages import kit as kits
from easyapache.agent.runner import Runner
from easyapache.ea4.protocol import Outcome, Report, Step
from easyapache.ea4.schema import BadMessage

OVER, UNFINISHED, FAILED, USAGE, BUSY = 0, 1, 1, 2, 75
BY_HAND = "undone on the server by hand"
NEEDS_HTTPD = (Step.RESTART, Step.VERIFY, Step.UNDO_RESTART, Step.UNDO_VERIFY)
"""Steps in which the packages and the configuration on the disk are whole."""
HTTPD_STARTS = 120.0
"""Seconds that a start of httpd at boot is waited for."""


def status(folder: ChangeFolder) -> int:
    """Show the request, the steps so far and the next commands. Exit status 1: the change is
    unfinished."""
    for line in _story(folder):
        sys.stdout.write(f"{line}\n")
    return OVER if folder.outcome else UNFINISHED


def _story(folder: ChangeFolder) -> Iterator[str]:
    yield f"Change {folder.change}: {_goal_of(folder)}"
    for report in folder.reports():
        if report.kind == "step" and report.data["status"] != "started":
            data = report.data
            yield f"{report.at}  {data['step']} {data['status']}: {data.get('detail', '')}"
    outcome, progress = folder.outcome, progress_of(folder.reports())
    if outcome:
        yield f"{outcome.at}  {_how(outcome)}: {outcome.data['sentence']}"
    elif folder.engine_at_work:
        yield f"Running, in step {progress.last or 'preflight'}."
    else:
        where = "The server may have been changed" if progress.touched else "Nothing was changed"
        yield f"Interrupted in step {progress.last or 'preflight'}. {where}. Next: resume or undo."
    if progress.touched and kits.load(folder.kit):
        yield f"Restore point: {folder.kit}."


def _goal_of(folder: ChangeFolder) -> str:
    try:
        request = folder.request()
    except BadMessage as error:
        return f"its request can't be read ({error})"
    return f"server {request.server} to {label(request.mpm, request.itk)}"


def resume(folder: ChangeFolder) -> int:
    """Finish an interrupted change, or undo it if it can't be finished."""
    return _engine(folder)


def resume_all(spool: Spool) -> int:
    """Finish or undo every interrupted change on this server, the oldest first. A change that has
    changed nothing yet is left to the agent. Returns the worst exit status."""
    worst = OVER
    for folder in spool.unfinished():
        if _altered(folder):
            sys.stdout.write(f"Change {folder.change}\n")
            _let_httpd_start(folder)
            try:
                worst = max(worst, _engine(folder))
            except Busy:
                sys.stderr.write("An engine is already working on it.\n")
    return worst


def _let_httpd_start(folder: ChangeFolder) -> None:
    """At boot, httpd waits for this process until its configuration can start. A change that was
    interrupted later compares the running httpd with the plan, so httpd must start first."""
    if progress_of(folder.reports()).last not in NEEDS_HTTPD:
        return
    if sd_notify.ready("httpd can start."):
        unit = Unit(Runner(_config(folder).environment))
        end = time.monotonic() + HTTPD_STARTS
        while unit.settled().moving and time.monotonic() < end:
            pass  # each look takes up to 20 seconds by itself


def undo(folder: ChangeFolder) -> int:
    """Restore the state before this change, whether it has finished or not."""
    outcome = folder.outcome
    if outcome is None:
        return _engine(folder, back=BY_HAND)
    if _how(outcome) in (Outcome.CANCELED, Outcome.RESTORED) or not _altered(folder):
        sys.stdout.write(f"There is nothing to undo. {outcome.data['sentence']}\n")
        return OVER
    if _config(folder).driver == "simulated":
        sys.stderr.write("To undo a change of a simulated server, roll back in the panel.\n")
        return USAGE
    script = folder.kit / "undo"
    if not script.is_file():
        sys.stderr.write(f"{script} is missing: restore points are kept for a month.\n")
        return USAGE
    spool = Spool(folder.path.parent)
    with spool.server_lock(wait=False):
        half = [other for other in spool.unfinished() if progress_of(other.reports()).touched]
        if half:
            sys.stderr.write(f"Run first: python -m easyapache.agent resume {half[0].path}\n")
            return BUSY
        return (
            OVER
            if subprocess.run(["/bin/sh", str(script)], check=False).returncode == 0
            else FAILED
        )


def _altered(folder: ChangeFolder) -> bool:
    return progress_of(folder.reports()).touched


def _config(folder: ChangeFolder) -> HostConfig:
    return config_of(folder.path.parent)


def _engine(folder: ChangeFolder, *, back: str = "") -> int:
    config = _config(folder)
    try:
        outcome = Engine(folder, open_server(config), config).run(back=back)
    except ShuttingDown:
        sys.stderr.write(
            "The machine is shutting down. The change continues after the next start.\n"
        )
        return BUSY
    how = _how(outcome)
    sys.stdout.write(f"{how}: {outcome.data['sentence']}\n")
    return FAILED if how in (Outcome.FAILED, Outcome.NOT_STARTED) else OVER


def _how(outcome: Report) -> Outcome:
    """How a change ended, in this version's wording."""
    return Outcome(outcome.data["outcome"])


COMMANDS = {"status": status, "resume": resume, "undo": undo}


def main(arguments: list[str]) -> int:
    """Exit status 0: finished, and the server is sound; 1: unfinished or failed; 2: it cannot be
    resumed or undone; 75: another process is changing this server."""
    parser = argparse.ArgumentParser(prog="python -m easyapache.agent", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="|".join(COMMANDS))
    for name, run in COMMANDS.items():
        text = (run.__doc__ or "").strip()
        command = commands.add_parser(name, help=text.splitlines()[0], description=text)
        several = name == "resume"
        command.add_argument(
            "folder",
            type=Path,
            nargs="?" if several else None,
            help="the folder of one change in the spool",
        )
        if several:
            command.add_argument(
                "--all", action="store_true", help="every interrupted change in the spool"
            )
    options = parser.parse_args(arguments)
    if getattr(options, "all", False):
        return _resume_all(options.folder)
    if options.folder is None:
        parser.error("give the folder of a change, or --all")
    path = options.folder.resolve()
    if not (path / "request.json").is_file():
        parser.error(f"{path} is not the folder of a change")
    try:
        return COMMANDS[options.command](ChangeFolder(path))
    except BadConfig as error:
        sys.stderr.write(f"{error}\n")
        return USAGE
    except Busy:
        sys.stderr.write("Another change, repair or engine is running on this server.\n")
        return BUSY


def _resume_all(spool: Path | None) -> int:
    try:
        if spool is None:
            configured = os.environ.get(CONFIG_VARIABLE)
            if not configured:
                raise BadConfig(
                    f"give the spool, or set {CONFIG_VARIABLE} to the agent's configuration"
                )
            spool = load_config(Path(configured)).spool
        return resume_all(Spool(spool.resolve()))
    except BadConfig as error:
        sys.stderr.write(f"{error}\n")
        return USAGE
    finally:
        sd_notify.ready("Nothing is cut off.")  # at boot httpd waits for this


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""For root, by hand, on a server: ``python -m easyapache.host status|resume|undo FOLDER``.

FOLDER is the folder of one change in the agent's spool. Nothing else is needed: no panel, no
database, no Redis, no agent.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from easyapache.host import kit as kits
from easyapache.host.config import BadConfig, HostConfig
from easyapache.host.drivers import config_of, open_server
from easyapache.host.durable import Busy
from easyapache.host.engine import Engine
from easyapache.host.folder import ChangeFolder
from easyapache.host.progress import label, progress_of
from easyapache.host.protocol import BadMessage
from easyapache.host.spool import Spool

OVER, UNFINISHED, FAILED, USAGE, BUSY = 0, 1, 1, 2, 75
BY_HAND = "taken back by hand"


def status(folder: ChangeFolder) -> int:
    """What was asked, how far it got, and what can be done. Exit status 1: it is unfinished."""
    for line in _story(folder):
        sys.stdout.write(f"{line}\n")
    return OVER if folder.outcome else UNFINISHED


def _story(folder: ChangeFolder) -> Iterator[str]:
    yield f"Change {folder.change}: {_wish(folder)}"
    for report in folder.reports():
        if report.kind == "step" and report.data["status"] != "started":
            data = report.data
            yield f"{report.at}  {data['step']} {data['status']}: {data.get('detail', '')}"
    outcome, progress = folder.outcome, progress_of(folder.reports())
    if outcome:
        yield f"{outcome.at}  {outcome.data['outcome']}: {outcome.data['sentence']}"
    elif folder.engine_at_work:
        yield f"Under way, in step {progress.last or 'preflight'}."
    else:
        where = "The server may have been altered" if progress.touched else "Nothing was altered"
        yield f"Cut off in step {progress.last or 'preflight'}. {where}. Next: resume, or undo."
    if progress.touched and kits.load(folder.kit):
        yield f"The way back is kept in {folder.kit}."


def _wish(folder: ChangeFolder) -> str:
    try:
        request = folder.request()
    except BadMessage as error:
        return f"its request cannot be read ({error})"
    return f"server {request.server} to {label(request.mpm, request.itk)}"


def resume(folder: ChangeFolder) -> int:
    """Finish the change, or undo it where it cannot be finished."""
    return _engine(folder)


def undo(folder: ChangeFolder) -> int:
    """Back to what was before this change, wherever it is and whether it is over or not."""
    outcome = folder.outcome
    if outcome is None:
        return _engine(folder, back=BY_HAND)
    if outcome.data["outcome"] in ("cancelled", "rolled_back") or not _altered(folder):
        sys.stdout.write(f"There is nothing to take back. {outcome.data['sentence']}\n")
        return OVER
    if _config(folder).driver == "simulated":
        sys.stderr.write("A simulated server is only taken back by a rollback from the panel.\n")
        return USAGE
    script = folder.kit / "undo"
    if not script.is_file():
        sys.stderr.write(f"{script} is gone: kits are kept for a month.\n")
        return USAGE
    spool = Spool(folder.path.parent)
    with spool.server_lock(wait=False):
        half = [other for other in spool.unfinished() if progress_of(other.reports()).touched]
        if half:
            sys.stderr.write(f"First: python -m easyapache.host resume {half[0].path}\n")
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
    outcome = Engine(folder, open_server(config), config).run(back=back)
    sys.stdout.write(f"{outcome.data['outcome']}: {outcome.data['sentence']}\n")
    return FAILED if outcome.data["outcome"] == "failed" else OVER


COMMANDS = {"status": status, "resume": resume, "undo": undo}


def main(arguments: list[str]) -> int:
    """Exit status 0: over, and the server is sound; 1: unfinished or failed; 2: it cannot be worked
    on; 75: something else is at work on this server."""
    parser = argparse.ArgumentParser(prog="python -m easyapache.host", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="|".join(COMMANDS))
    for name, run in COMMANDS.items():
        said = (run.__doc__ or "").strip()
        command = commands.add_parser(name, help=said.splitlines()[0], description=said)
        command.add_argument("folder", type=Path, help="the folder of one change in the spool")
    options = parser.parse_args(arguments)
    path = options.folder.resolve()
    if not (path / "request.json").is_file():
        parser.error(f"{path} is not the folder of a change")
    try:
        return COMMANDS[options.command](ChangeFolder(path))
    except BadConfig as error:
        sys.stderr.write(f"{error}\n")
        return USAGE
    except Busy:
        sys.stderr.write("Something else is at work on this change or on this server.\n")
        return BUSY


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""The repairs that are safe enough for a button.

Safe means: each brings a server nearer to one MPM and a running httpd, looks before and
after, and never runs beside a change.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from easyapache.host import kit as kits
from easyapache.host.durable import Busy
from easyapache.host.progress import label, progress_of
from easyapache.host.server import HostError, Log, Server
from easyapache.host.spool import Spool
from easyapache.sentences import Sentence, joined, with_words


@dataclass(frozen=True, slots=True)
class Repaired:
    """Whether the repair did what it should, in a sentence, and what was written meanwhile."""

    ok: bool
    message: str
    log: str = ""

    def as_json(self) -> dict[str, Any]:
        return with_words({"ok": self.ok, "message": self.message, "log": self.log}, "message")


def repair(action: str, server: Server, spool: Spool) -> Repaired:
    """Carry out one repair. Never raises: whoever pressed the button gets an answer."""
    lines: list[str] = []
    try:
        with spool.server_lock(wait=False):
            _must_be_whole(spool)
            message = REPAIRS[action].work(server, spool, lines.append)
    except Busy:
        return Repaired(
            ok=False, message=Sentence("A change is at work on this server; let it end first.")
        )
    except HostError as error:
        said = "\n".join([*lines, error.output]).strip()
        message = joined(" ", [part for part in (error.message, error.remedy) if part])
        return Repaired(ok=False, message=message, log=said)
    return Repaired(ok=True, message=message, log="\n".join(lines))


def _must_be_whole(spool: Spool) -> None:
    """Raises Busy for a change whose engine has just died: it goes on from where it was, and must
    not find the server repaired to something else."""
    for folder in spool.unfinished():
        if progress_of(folder.reports()).touched:
            raise Busy(folder.change)


def finish_restart(server: Server, spool: Spool, log: Log) -> str:
    """Complete a restart that was cut off together with whoever performed it. Returns what
    httpd is now; empty where there was none, and while a change is at work. Raises HostError."""
    try:
        with spool.server_lock(wait=False):
            _must_be_whole(spool)
            return start_httpd(server, spool, log) if server.settle_restart(log) else ""
    except Busy:
        return ""


def start_httpd(server: Server, _: Spool, log: Log) -> str:
    if server.inspect().running is not None:
        return Sentence("httpd is running already.")
    server.config_test(log)
    server.restart("auto", log)
    return _running(server)


def restart_httpd(server: Server, _: Spool, log: Log) -> str:
    server.config_test(log)
    server.restart("auto", log)
    return _running(server)


def settle_mpm(server: Server, _: Spool, log: Log) -> str:
    """Exactly one MPM again, with all its files: the one that runs, else the configured one."""
    mpm, _itk = kits.mpm_of(server.inspect())
    log(f"Settling on {mpm}.")
    server.repair(mpm, log)
    server.config_test(log)
    now = server.inspect()
    if now.running is None or now.running != now.configured:
        server.restart("auto", log)
    return _running(server)


def reinstall_files(server: Server, _: Spool, log: Log) -> str:
    """Every file rpm believes in is there again, and httpd has loaded what they bring: it may
    have been started without a module whose file was gone."""
    missing = server.inspect().facts.get("missing_files") or {}
    if not missing:
        return "No file is missing."
    server.reinstall(sorted(missing), log)
    server.config_test(log)
    server.restart("auto", log)
    return f"All files of {', '.join(sorted(missing))} are there again. {_running(server)}"


def _running(server: Server) -> str:
    now = server.inspect()
    if now.running is None or now.running.mpm is None:
        raise HostError(
            "restart", Sentence("httpd does not answer."), Sentence("See its error log.")
        )
    if now.configured != now.running:
        raise HostError("restart", Sentence("httpd runs with another MPM than is configured."))
    return Sentence("httpd runs with {mpm}.", mpm=label(now.running.mpm, now.running.itk))


@dataclass(frozen=True, slots=True)
class Repair:
    """A button: what it is called, and what it does."""

    label: str
    work: Callable[[Server, Spool, Log], str]


REPAIRS: Mapping[str, Repair] = {
    "start-httpd": Repair(Sentence("Start httpd"), start_httpd),
    "restart-httpd": Repair(Sentence("Restart httpd"), restart_httpd),
    "settle-mpm": Repair(Sentence("Settle on one MPM"), settle_mpm),
    "reinstall-files": Repair(Sentence("Bring missing files back"), reinstall_files),
}

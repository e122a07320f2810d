"""The repairs that are safe enough for a button.

Safe means: each brings a server closer to one MPM and a running httpd, checks before and after,
never runs during a change, and may be interrupted at any moment and repeated.
"""

from __future__ import annotations

import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from easyapache.agent.change.durable import Busy
from easyapache.agent.change.folder import ChangeFolder
from easyapache.agent.change.progress import label, progress_of, shows
from easyapache.agent.change.spool import Spool
from easyapache.agent.packages import kit as kits
from easyapache.agent.server import Check, HostError, Kit, Log, Server, SiteAnswer
from easyapache.ea4.conditions.condition import (
    ACCEPT,
    REINSTALL,
    RESTART,
    SETTLE,
    START,
    TAKE_BACK,
)
from easyapache.ea4.conditions.evidence import mpm_packages
from easyapache.ea4.profile import Profile
from easyapache.ea4.schema import BadMessage, Translatable
from easyapache.ea4.sentences import Sentence, joined

VERIFY_ATTEMPTS, VERIFY_PAUSE = 4, 0.4


@dataclass(frozen=True, slots=True)
class Repaired(Translatable):
    """Whether the repair succeeded, in a sentence, and its log."""

    SENTENCES: ClassVar = ("message",)
    ok: bool
    message: str
    log: str = ""


@dataclass(frozen=True, slots=True)
class Job:
    """The context of a repair. ``begun``: which httpd ran (Profile's fact ``httpd_started``) when
    an interrupted attempt started; None in the first attempt."""

    server: Server
    spool: Spool
    log: Log
    begun: str | None = None

    def restart(self) -> None:
        """Test the configuration and restart httpd, unless an earlier attempt did."""
        now = self.server.inspect()
        started = now.facts.get("httpd_started")
        if self.begun and started not in (None, self.begun) and _agrees(now):
            self.log("httpd was already restarted before the interruption")
            return
        self.server.config_test(self.log)
        self.server.restart("auto", self.log)

    def running(self) -> str:
        """A sentence on what Apache runs. Raises HostError if that is not what is configured."""
        now = self.server.inspect()
        if now.running is None or now.running.mpm is None:
            raise HostError(
                "restart", Sentence("Apache doesn't answer."), Sentence("See its error log.")
            )
        if now.configured != now.running:
            raise HostError("restart", Sentence("Apache runs a different MPM than is configured."))
        return Sentence("Apache runs {mpm}.", mpm=label(now.running.mpm, now.running.itk))


def repair(action: str, server: Server, spool: Spool, *, begun: str | None = None) -> Repaired:
    """Carry out one repair. Never raises: the administrator always gets an answer."""
    lines: list[str] = []
    try:
        with spool.server_lock(wait=False):
            _must_be_whole(spool)
            server.settle_restart(lines.append)
            message = REPAIRS[action](Job(server, spool, lines.append, begun))
    except Busy:
        return Repaired(
            ok=False,
            message=Sentence("A change is running on this server. Wait until it finishes."),
        )
    except HostError as error:
        written = "\n".join([*lines, error.output]).strip()
        message = joined(" ", [part for part in (error.message, error.remedy) if part])
        return Repaired(ok=False, message=message, log=written)
    except Exception as error:  # noqa: BLE001 -- a mistake of ours is an answer too
        written = "\n".join([*lines, traceback.format_exc()])
        message = Sentence("Internal error of the agent: {error}.", error=repr(error))
        return Repaired(ok=False, message=message, log=written)
    return Repaired(ok=True, message=message, log="\n".join(lines))


def _must_be_whole(spool: Spool) -> None:
    """Raises Busy for a change whose engine has just died: it will continue, and must not find the
    server repaired to another state."""
    for folder in spool.unfinished():
        if progress_of(folder.reports()).touched:
            raise Busy(folder.change)


def finish_restart(server: Server, spool: Spool, log: Log) -> str:
    """Complete a restart that was interrupted together with its process. Returns what Apache runs
    now; empty if there was no such restart, and during a change. Raises HostError."""
    try:
        with spool.server_lock(wait=False):
            _must_be_whole(spool)
            return start_httpd(Job(server, spool, log)) if server.settle_restart(log) else ""
    except Busy:
        return ""


def _agrees(now: Profile) -> bool:
    return now.running is not None and now.running == now.configured


def start_httpd(job: Job) -> str:
    if job.server.inspect().running is not None:
        return Sentence("Apache is already running.") if job.begun is None else job.running()
    job.server.config_test(job.log)
    job.server.restart("auto", job.log)
    return job.running()


def restart_httpd(job: Job) -> str:
    job.restart()
    return job.running()


def settle_mpm(job: Job) -> str:
    """Exactly one MPM again, with all its files: the one that runs, else the configured one."""
    mpm, _itk = kits.mpm_of(job.server.inspect())
    job.log(f"repairing packages for {mpm}")
    job.server.repair(mpm, job.log)
    job.server.config_test(job.log)
    if not _agrees(job.server.inspect()):
        job.server.restart("auto", job.log)
    return job.running()


def reinstall_files(job: Job) -> str:
    """Restore every file that rpm reports missing, and have httpd load them: it may have been
    started without a module whose file was missing."""
    missing = job.server.inspect().facts.get("missing_files") or {}
    if not missing and job.begun is None:
        return Sentence("No files are missing.")
    if missing:
        job.server.reinstall(sorted(missing), job.log)
    job.restart()
    return joined(" ", [Sentence("All files are in place again."), job.running()])


def accept_packages(job: Job) -> str:
    """Mark an unfinished package transaction as settled, if nothing is left of it: no change can
    start before that."""
    now = job.server.inspect()
    unfinished = str(now.facts.get("unfinished_transaction") or "")
    if not unfinished:
        return Sentence("There is no interrupted transaction.")
    wrong = [*_left_behind(now)]
    if wrong:
        raise HostError(
            "unfinished_transaction",
            Sentence("The packages are damaged: {wrong}.", wrong=joined("; ", wrong)),
            Sentence(
                "Reinstall missing files or settle on one MPM first. To remove packages that "
                "are installed twice, run: dnf remove --duplicates"
            ),
        )
    job.server.config_test(job.log)
    job.spool.settle(unfinished)
    return Sentence(
        "Nothing is missing or installed twice. The packages were accepted as they are."
    )


def take_back(job: Job) -> str:
    """Undo the incomplete last change: its kit restores the state before it, from whatever state
    the server is in, and the sites that answered then must answer again."""
    begun = [one for one in job.spool.folders() if progress_of(one.reports()).touched]
    last = begun[-1] if begun else None
    outcome = last.outcome if last else None
    if last is None or outcome is None or outcome.data["outcome"] != "failed":
        return Sentence(
            "The last change on this server is not incomplete. There is nothing to undo."
        )
    kit, sites = kits.load(last.kit), _sites_before(last)
    if kit is None or sites is None:
        raise HostError(
            "kit",
            Sentence("The restore point is missing."),
            Sentence("Settle on one MPM instead."),
        )
    job.log(f"undoing change {last.change}")
    job.server.undo_packages(kit, job.log)
    for path in kits.restore_files(kit):
        job.log(f"restored edited file {path}")
    job.server.config_test(job.log)
    if not shows(job.server.inspect(), kit.mpm, kit.itk):
        job.server.restart("auto", job.log)
    _verify(job, kit, sites)
    unfinished = job.server.inspect().facts.get("unfinished_transaction")
    if unfinished:
        job.spool.settle(str(unfinished))
    as_it_was = Sentence("The state before the last change is restored.")
    return joined(" ", [as_it_was, job.running()])


def _sites_before(change: ChangeFolder) -> list[SiteAnswer] | None:
    """The answers of the sites before a change; None if they cannot be read (any more)."""
    try:
        seen = change.before()
    except (OSError, BadMessage):
        return None
    return list(seen.sites) if seen else None


def _verify(job: Job, kit: Kit, sites: Sequence[SiteAnswer]) -> None:
    """Raises HostError with the check that differs from before. Sites get some time to answer."""
    wrong: Check | None = None
    for attempt in range(VERIFY_ATTEMPTS):
        if attempt:
            time.sleep(VERIFY_PAUSE)
        checks = job.server.checks(kit.transaction.inverse, kit.mpm, kit.itk, sites)
        wrong = next((check for check in checks if not check.ok), None)
        if wrong is None:
            return
    assert wrong is not None
    raise HostError(
        "verification",
        Sentence(
            "The packages are restored, but a check failed: {title}: expected {expected}, got "
            "{seen}.",
            title=wrong.title,
            expected=wrong.expected or Sentence("as before"),
            seen=wrong.seen,
        ),
    )


def _left_behind(now: Profile) -> Iterator[str]:
    """What a transaction leaves that broke off."""
    builds = Counter(f"{package.name}.{package.arch}" for package in now.packages)
    if twice := sorted(name for name, count in builds.items() if count > 1):
        yield Sentence("installed twice: {names}", names=", ".join(twice))
    if missing := now.facts.get("missing_files"):
        yield Sentence("missing files of {names}", names=", ".join(sorted(missing)))
    mpms = mpm_packages(now)
    if len(mpms) != 1:
        yield (
            Sentence("MPMs installed: {names}", names=", ".join(mpms))
            if mpms
            else Sentence("no MPM is installed")
        )


REPAIRS: Mapping[str, Callable[[Job], str]] = {
    START: start_httpd,
    RESTART: restart_httpd,
    SETTLE: settle_mpm,
    REINSTALL: reinstall_files,
    ACCEPT: accept_packages,
    TAKE_BACK: take_back,
}
"""The function of each repair; ``easyapache.ea4.conditions.repairs`` has their names."""

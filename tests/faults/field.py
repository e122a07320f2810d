"""A real server in a folder on which changes are cut off, and what became of each of them."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import ClassVar

import easyapache
from easyapache.agent.change.folder import ChangeFolder
from easyapache.agent.change.progress import progress_of, shows
from easyapache.agent.change.spool import Spool
from easyapache.agent.drivers import remember
from easyapache.agent.httpd.processes import identify
from easyapache.agent.real import RealServer
from easyapache.agent.server import HostError, SiteAnswer
from easyapache.ea4.profile import Profile
from easyapache.ea4.protocol import ChangeRequest, Goal, Step
from lab import apache
from lab.process import LabError
from lab.server import Lab

PREFIX = "ea-apache24-mod_"
PROJECT = Path(easyapache.__file__).resolve().parent.parent
PATIENCE = 180.0

BEFORE, AS_PLANNED, NEITHER = "as before", "as planned", "neither"


@dataclass(frozen=True, slots=True)
class Ending:
    """What one change came to. ``why`` says what is wrong when it is neither."""

    fault: str
    kills: int
    end: str
    outcome: str
    why: str = ""


@dataclass
class Table:
    """Fault, times, ended as before, ended as asked, neither."""

    endings: list[Ending] = field(default_factory=list)

    def add(self, ending: Ending) -> Ending:
        self.endings.append(ending)
        return ending

    @property
    def kills(self) -> int:
        return sum(ending.kills for ending in self.endings)

    @property
    def wrong(self) -> list[Ending]:
        return [ending for ending in self.endings if ending.end == NEITHER]

    def __str__(self) -> str:
        lines = [f"{'fault':<44}{'changes':>8}{'kills':>7}{BEFORE:>11}{AS_PLANNED:>12}{NEITHER:>9}"]
        for fault in sorted({ending.fault for ending in self.endings}):
            mine = [ending for ending in self.endings if ending.fault == fault]
            ends = [ending.end for ending in mine]
            kills = sum(ending.kills for ending in mine)
            counts = f"{ends.count(BEFORE):>11}{ends.count(AS_PLANNED):>12}{ends.count(NEITHER):>9}"
            lines.append(f"{fault:<44}{len(mine):>8}{kills:>7}{counts}")
        lines += [f"  WRONG {e.fault}: {e.outcome}: {e.why}" for e in self.wrong]
        return "\n".join(lines)


class Field:
    """One lab, one spool, and engines that are started and killed from outside."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.config = lab.host_config()
        self.server = RealServer(self.config)
        self.spool = Spool(self.config.spool)
        self.spool.prepare()
        remember(self.config)
        self.kills = 0
        self.boot_error = ""

    # -- asking ---------------------------------------------------------------------------

    def request(self, mpm: str, *, itk: bool = False, undo_of: str | None = None) -> ChangeRequest:
        """A change somebody looked at and agreed to, whatever it takes out."""
        install = [f"{PREFIX}mpm_{mpm}", f"{PREFIX}cgi{'' if mpm == 'prefork' else 'd'}"]
        remove = []
        if itk:
            install.append(f"{PREFIX}mpm_itk")
        elif f"{PREFIX}mpm_itk" in self.server.inspect().names:
            remove.append(f"{PREFIX}mpm_itk")
        wish = Goal(tuple(sorted(install)), tuple(remove))
        answer = self.server.resolve(wish, protect=False)
        gone = tuple(sorted(package.name for package in answer.remove))
        goal = Goal(wish.install, wish.remove, gone)
        return ChangeRequest(
            uuid.uuid4().hex, self.config.server, goal, answer, mpm, itk, undo_of=undo_of
        )

    def inverse(self, request: ChangeRequest, before: Profile) -> ChangeRequest:
        """The change that takes ``request`` back to ``before``."""
        back = request.transaction.inverse
        names = tuple(sorted(package.name for package in back.install))
        gone = tuple(sorted(package.name for package in back.remove))
        assert before.running is not None
        assert before.running.mpm is not None
        return ChangeRequest(
            uuid.uuid4().hex,
            self.config.server,
            Goal(names, (), gone),
            back,
            before.running.mpm,
            before.running.itk,
            undo_of=request.change,
        )

    def folder(self, request: ChangeRequest) -> ChangeFolder:
        return self.spool.create(request)[0]

    # -- how long things take on this machine ---------------------------------------------

    _measured: ClassVar[tuple[float, float] | None] = None

    @property
    def _clean(self) -> tuple[float, float]:
        """Seconds of one change that nothing happens to: all of it, and its dnf. Measured on the
        first server that asks; on this machine they are all alike."""
        if Field._measured is None:
            Field._measured = self._measure()
        return Field._measured

    def _measure(self) -> tuple[float, float]:
        before = self.server.inspect()
        folder = self.folder(self.request(other_mpm(before)))
        begun = time.monotonic()
        assert self.finish(folder) == "succeeded"
        all_of_it = time.monotonic() - begun
        at = {
            report.data["status"]: datetime.fromisoformat(report.at)
            for report in folder.reports()
            if report.data.get("step") == Step.PACKAGES
        }
        return all_of_it, (at["done"] - at["started"]).total_seconds()

    @property
    def time_of_a_change(self) -> float:
        """Seconds from the engine's start to its end."""
        return self._clean[0]

    @property
    def time_of_dnf(self) -> float:
        """Seconds from the point of no return until the packages are there."""
        return self._clean[1]

    # -- processes ------------------------------------------------------------------------

    def start_engine(
        self, folder: ChangeFolder, *, strike: str = "", untimely: Sequence[str] = ()
    ) -> subprocess.Popen[bytes]:
        """``strike``: it kills itself ``before`` or ``after`` a line (``tests.faults.struck``);
        ``untimely``: what happens, and when (``tests.faults.untimely``)."""
        output = (folder.path / "said").open("ab")
        program = ["easyapache.agent.change.engine", str(folder.path)]
        if strike:
            program = ["tests.faults.struck", str(folder.path), strike]
        elif untimely:
            program = ["tests.faults.untimely", str(folder.path), *untimely]
        with output:
            return subprocess.Popen(
                [sys.executable, "-m", *program],
                env={**os.environ, "PYTHONPATH": str(PROJECT)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                cwd="/",
            )

    def processes(self) -> dict[int, str]:
        """Every living process that belongs to this lab, with its command line."""
        needle = str(self.lab.folder).encode()
        inside = set(apache.processes_of(self.lab.root))
        found = {}
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            try:
                line = (entry / "cmdline").read_bytes()
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue
            if needle in line or int(entry.name) in inside:
                found[int(entry.name)] = line.replace(b"\0", b" ").decode(errors="replace")
        return found

    def kill(self, wanted: Callable[[str], bool]) -> int:
        """SIGKILL, all at once, to every process of this lab whose command line is wanted. They
        are gone when this returns: after a power cut nothing is still on its way out."""
        wanted_ones = [identify(pid) for pid, line in self.processes().items() if wanted(line)]
        hit = [one for one in wanted_ones if one]
        for one in hit:
            try:
                os.kill(one.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        while any(one.alive for one in hit):
            time.sleep(0.001)
        self.kills += 1
        return len(hit)

    def boot(self) -> None:
        """What a machine does after a power cut: start httpd, if it starts."""
        try:
            if apache.running_pid(self.lab.root) is None:
                apache.start(self.lab.root, self.lab.status_url)
        except LabError as error:
            self.boot_error = str(error)

    def finish(self, folder: ChangeFolder, engine: subprocess.Popen[bytes] | None = None) -> str:
        """Start engines, as the agent would, until the change is over."""
        end = time.monotonic() + PATIENCE
        while folder.outcome is None:
            assert time.monotonic() < end, f"no end: {(folder.path / 'said').read_text()}"
            engine = engine or self.start_engine(folder)
            engine.wait(timeout=PATIENCE)
            engine = None
        if engine is not None:
            engine.wait(timeout=PATIENCE)
        outcome = folder.outcome
        return str(outcome.data["outcome"])

    # -- when to strike -------------------------------------------------------------------

    def until(
        self,
        engine: subprocess.Popen[bytes],
        ready: Callable[[], bool],
        pause: float = 0.003,
    ) -> bool:
        """Wait for an instant. False when the engine was over before it came. ``pause``: seconds
        between two looks, short against what is aimed at, long enough to leave the processor
        to the engine."""
        while not ready():
            if engine.poll() is not None:
                return False
            time.sleep(pause)
        return True

    def dnf_printed(self, folder: ChangeFolder, words: bytes) -> bool:
        return any(words in path.read_bytes() for path in folder.output.rglob("*.out"))

    # -- what became of it ----------------------------------------------------------------

    def judge(
        self, fault: str, request: ChangeRequest, before: Profile, sites: Iterable[SiteAnswer]
    ) -> Ending:
        """One MPM, httpd answers, rpm -V clean, sites as before, journal terminal and true."""
        folder = self.spool.folder(request.change)
        assert folder is not None
        outcome = str(folder.outcome.data["outcome"]) if folder.outcome else "none"
        kills, self.kills = self.kills, 0
        try:
            now = self.server.inspect()
            why = self._wrong(now, sites)
        except HostError as error:
            return Ending(fault, kills, NEITHER, outcome, f"{error.message} {error.output}")
        as_planned = shows(now, request.mpm, request.itk) and _moved(now, request)
        as_before = _packages(now) == _packages(before) and now.running == before.running
        if as_planned and (outcome == "succeeded") and not why:
            return Ending(fault, kills, AS_PLANNED, outcome)
        if as_before and (outcome != "succeeded") and not why:
            return Ending(fault, kills, BEFORE, outcome)
        said = folder.outcome.data["sentence"] if folder.outcome else "no outcome"
        return Ending(fault, kills, NEITHER, outcome, why or f"the page says: {said}")

    def _wrong(self, now: Profile, sites: Iterable[SiteAnswer]) -> str:
        installed = [name for name in now.names if name.startswith(f"{PREFIX}mpm_")]
        mpms = [name for name in installed if not name.endswith("_itk")]
        if len(mpms) != 1:
            return f"installed are {mpms}"
        if now.running is None or now.configured != now.running:
            said = f"configured {now.configured}, running {now.running}"
            return f"{said} {now.facts.get('running_error', '')} {self.boot_error}"
        serving = self.server.httpd.parents()
        if len(serving) != 1 or serving != [self.server.httpd.pid_file_parent()]:
            return f"{len(serving)} httpds take connections, or the pid file names another"
        wrong = unclean(self.lab, now.names)
        if wrong:
            return "; ".join(wrong)
        then = {answer.url: (answer.status, bool(answer.error)) for answer in sites}
        today = {a.url: (a.status, bool(a.error)) for a in self.server.sites()}
        changed = [url for url, answer in then.items() if today.get(url) != answer]
        return f"sites answer otherwise: {changed}" if changed else ""


def unclean(lab: Lab, names: Iterable[str]) -> list[str]:
    """What rpm -V has against the packages of Apache: files missing, or altered though they are
    no configuration. (Configuration is there to be edited, and the lab edits its own.)"""
    ours = sorted(name for name in names if name.startswith("ea-apache24"))
    lines = lab.rpm("-V", "--nomtime", *ours, check=False).splitlines()
    return [
        line
        for line in lines
        if line.startswith("missing") or (line[2:3] == "5" and line[9:].split()[0] != "c")
    ]


def other_mpm(profile: Profile) -> str:
    """Somewhere to go from here: to prefork from threads, and to threads from prefork."""
    running = profile.running
    threaded = running is not None and running.mpm in ("event", "worker")
    return "prefork" if threaded else random.choice(["event", "worker"])


def touched(folder: ChangeFolder) -> bool:
    return Step.PACKAGES in progress_of(folder.reports()).begun


def _packages(profile: Profile) -> set[str]:
    return {package.nevra for package in profile.packages if package.name.startswith("ea-")}


def _moved(now: Profile, request: ChangeRequest) -> bool:
    have = {package.nevra for package in now.packages}
    came = {package.nevra for package in request.transaction.install}
    left = {package.nevra for package in request.transaction.remove}
    return came <= have and not left & have

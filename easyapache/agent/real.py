"""A real server: the drivers combined into the protocol the engine uses."""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from easyapache.agent import inspection
from easyapache.agent.change.durable import mark, sync_disks
from easyapache.agent.change.outage_window import Window
from easyapache.agent.change.preflight import Preflight
from easyapache.agent.change.spool import Spool
from easyapache.agent.config import HostConfig
from easyapache.agent.httpd import sites, verification
from easyapache.agent.httpd.cpanel import Cpanel
from easyapache.agent.httpd.httpd import Httpd
from easyapache.agent.httpd.processes import systemd_is_init
from easyapache.agent.httpd.rehearsal import Rehearsal
from easyapache.agent.httpd.restart import Restart
from easyapache.agent.httpd.watch import Watch
from easyapache.agent.packages import hooks
from easyapache.agent.packages.dnf import ALWAYS_PROTECTED, PACKAGES, PackageManager
from easyapache.agent.packages.package_metadata import Library
from easyapache.agent.packages.rpm import RpmDatabase
from easyapache.agent.packages.second_opinion import resolve_by_whm
from easyapache.agent.packages.undo import Undo
from easyapache.agent.runner import Detached, Runner
from easyapache.agent.server import (
    Check,
    HostError,
    Interruption,
    Kit,
    Log,
    Obstacle,
    SiteAnswer,
    Stop,
    never,
)
from easyapache.ea4.opinion import Opinion, wanted_set
from easyapache.ea4.package_metadata import Particulars
from easyapache.ea4.profile import Profile, Transaction
from easyapache.ea4.protocol import Goal
from easyapache.ea4.schema import BadMessage
from easyapache.ea4.sentences import Sentence, with_words

_JUST_NOW = 5.0
"""Seconds for which an answer of the solver is still the answer to the same question."""


class RealServer:
    """Drives dnf, rpm and httpd of the server that ``config`` describes.

    Raises HostError ``no_package_manager`` when there is none.
    """

    def __init__(self, config: HostConfig) -> None:
        self.config = config
        self.runner = Runner(config.environment)
        self.rpm = RpmDatabase(self.runner, config.rpm, config.root)
        self.httpd = Httpd(config, self.runner)
        self.packages = PackageManager(config, self.runner)
        self.library = Library(config.root, self.rpm, self.packages)
        self.restarter = Restart(config, self.httpd)
        self.cpanel = Cpanel(config.root)
        self.undoing = Undo(config, self.runner, self.packages, self.rpm)
        self._watch: Watch | None = None
        self._last_answer: tuple[Goal, Mapping[str, Any], float] | None = None
        """The solver's latest answer (and its time) from the search for obstacles: it takes most of
        a second. Used for the next request only, never for a later one."""

    # -- facts ---------------------------------------------------------------------------

    def inspect(self) -> Profile:
        return inspection.inspect(self.config, self.httpd, self.rpm)

    def httpd_start(self) -> str:
        parent = self.httpd.parent()
        return inspection.start_of(parent) if parent else ""

    def particulars(self) -> Particulars:
        return self.library.particulars(inspection.catalogue_names())

    def resolve(self, goal: Goal, *, protect: bool, kept: Path | None = None) -> Transaction:
        if kept is not None:
            files = sorted(str(path) for path in kept.glob("*.rpm"))
            return Transaction.from_json(self._solve(goal, protect=protect, files=files))
        recent, self._last_answer = self._last_answer, None
        fresh = recent is not None and time.monotonic() - recent[2] < _JUST_NOW
        if protect and recent and fresh and recent[0] == goal:
            return Transaction.from_json(recent[1])
        return Transaction.from_json(self._solve(goal, protect=protect))

    def second_opinion(self, profile: Profile, transaction: Transaction) -> Opinion | None:
        if not self.config.second_opinion:
            return None
        wanted = wanted_set(profile.packages, transaction)
        return resolve_by_whm(self.config.root, self.runner, wanted)

    def _solve(
        self, goal: Goal, *, protect: bool, files: Sequence[str] = (), stop: Stop = never
    ) -> Mapping[str, Any]:
        keep = self._protected(goal.may_remove) if protect else [*ALWAYS_PROTECTED]
        if not protect:
            keep.remove("ea-apache24")  # a preview shows even that
        return self.packages.resolve(
            goal.install, goal.remove, protect=keep, files=files, stop=stop
        )

    def _protected(self, may_remove: Sequence[str]) -> list[str]:
        names = {package.name for package in self.rpm.installed()} - set(may_remove)
        return sorted({*names, *ALWAYS_PROTECTED, *self.packages.protected_by_server()})

    def obstacles(
        self,
        goal: Goal,
        transaction: Transaction,
        seen: Callable[[], Profile] | None = None,
        stop: Stop = never,
    ) -> Sequence[Obstacle]:
        with ThreadPoolExecutor(max_workers=1) as pool:
            answer = pool.submit(self._solve, goal, protect=True, stop=stop)
            found = Preflight(
                config=self.config,
                httpd=self.httpd,
                profile=seen() if seen else self.inspect(),
                transaction=transaction,
                resolve=answer.result,
            ).obstacles()
            if answer.exception() is None:
                self._last_answer = goal, answer.result(), time.monotonic()
        return found

    def sites(self, stop: Stop = never) -> Sequence[SiteAnswer]:
        return sites.witnesses(sites.candidates(self.config, self.httpd.read()), stop)

    def checks(
        self,
        transaction: Transaction,
        mpm: str,
        itk: bool,
        before: Sequence[SiteAnswer],
        listened: Sequence[tuple[str, int]] = (),
    ) -> Sequence[Check]:
        return verification.checks(
            self.httpd, self.rpm, self.inspect(), transaction, mpm, itk, before, listened
        )

    def capabilities(self) -> Mapping[str, Any]:
        try:
            method = self.restarter.choose()
            how = {"restart_method": method.name, "restart_reason": method.reason}
        except HostError as error:
            how = {"restart_method": "", "restart_reason": error.message}
        return {
            "driver": "dnf",
            "package_manager": Path(self.packages.argv[len(self.packages.wrapper)]).name,
            **with_words(how, "restart_reason"),
            "restart_script": " ".join(self.restarter.script()),
            "systemd": systemd_is_init(),
            "root": os.geteuid() == 0,
            "rehearsal": Rehearsal(self.config, self.runner, self.httpd, self.rpm).isolation(),
            "kernel": platform.release(),
            "python": sys.version.split()[0],
        }

    # -- operations ----------------------------------------------------------------------

    def download(self, transaction: Transaction, kit: Kit, log: Log, stop: Stop = never) -> None:
        self.packages.fetch(transaction, kit.folder / "incoming", kit.folder / "rpms", log, stop)

    def rehearse(
        self, transaction: Transaction, mpm: str, itk: bool, folder: Path, log: Log
    ) -> None:
        Rehearsal(self.config, self.runner, self.httpd, self.rpm).perform(
            transaction, mpm, itk, folder, self._incoming(folder, transaction, log), log
        )

    def _incoming(self, folder: Path, transaction: Transaction, log: Log) -> Path:
        """The files of the packages to install: from the kit beside the trial start if there is
        one."""
        kept = folder.parent / "kit" / "incoming"
        if transaction.install and not any(kept.glob("*.rpm")):
            kept = folder.with_name(f"{folder.name}-incoming")
            self.packages.fetch(Transaction(transaction.install), kept, kept, log)
        return kept

    def start_packages(
        self, change: str, goal: Goal, transaction: Transaction, folder: Path, log: Log
    ) -> None:
        done = folder / "hooks-before"
        if not Detached(folder, PACKAGES).started and not done.exists():
            folder.mkdir(parents=True, exist_ok=True)
            hooks.run_before(self.config.root, _names(transaction), self.runner, log)
            self._settle_on_disk()
            mark(done)
        self.packages.begin(change, transaction, folder, self._protected(goal.may_remove))

    def follow_packages(self, change: str, folder: Path, log: Log) -> int | None:
        status = None
        for begun in sorted(folder.glob("*.start"), key=lambda path: path.stem):
            status = Detached(folder, begun.stem).follow(log)
        done = folder / "hooks-done"
        if (folder / f"{PACKAGES}.start").exists() and not done.exists():
            names = _names_in(folder / "transaction.json") or self._names_of(change)
            hooks.run_after(self.config.root, names, self.runner, log)
            self._settle_on_disk()
            mark(done)
        return status

    def start_packages_again(self, change: str, folder: Path, log: Log) -> bool:
        return self.packages.begin_again(change, folder, log)

    def _names_of(self, change: str) -> list[str]:
        """The packages of a change, by its request; none where that cannot be read either."""
        folder = Spool(self.config.spool).folder(change)
        try:
            return _names(folder.request().transaction) if folder else []
        except BadMessage:
            return []

    def _settle_on_disk(self) -> None:
        """What packages and their scripts have written reaches the disk: rpm does not wait for
        it, and after a power cut its database would know of files that are empty."""
        root = self.config.root
        places = (".", "usr", "etc", "var", "var/lib/rpm", "var/lib/dnf", "run")
        sync_disks([self.config.server_root, *(root / place for place in places)])

    @contextmanager
    def watch(self, folder: Path, log: Log) -> Iterator[None]:
        with Watch(self.httpd, Window(folder, self.runner, self.httpd), log) as self._watch:
            try:
                yield
            finally:
                self._watch = None

    def noticed(self) -> Interruption:
        if self._watch is None:
            raise RuntimeError("nothing is watched")
        return self._watch.noticed()

    def config_test(self, log: Log) -> None:
        tested = self.httpd.test()
        for line in tested.text.splitlines():
            log(line)
        if not tested.ok:
            raise HostError(
                "configtest",
                Sentence("Apache refuses its configuration."),
                Sentence("See Apache's output."),
                tested.text,
            )

    def restart(self, method: str, log: Log) -> Interruption:
        chosen = self.restarter.choose(method)
        log(f"restart method {chosen.name}: {chosen.reason}")
        watch = self._watch
        if watch is not None:
            watch.window.note(chosen.name, chosen.reason)
            with watch.paused(), self.cpanel.unchecked(log):
                self.restarter.perform(chosen, log)
            return watch.noticed()
        window = Window(self.config.spool / "restart-window", self.runner, self.httpd)
        window.clear()
        window.note(chosen.name, chosen.reason)
        with window.measuring(), self.cpanel.unchecked(log):
            window.open()
            self.restarter.perform(chosen, log)
        return window.noticed()

    def settle_restart(self, log: Log) -> bool:
        try:
            return self.restarter.settle(log)
        finally:
            self.cpanel.give_back(log)

    def wait_for_restarts(self, log: Log, stop: Stop = never) -> bool:
        return self.cpanel.wait_for_restarts(log, stop)

    def packages_from_kit(self, kit: Kit, log: Log) -> None:
        with self._hooks(_names(kit.transaction), log):
            self.undoing.forth(kit, log)

    def undo_packages(self, kit: Kit, log: Log) -> None:
        with self._hooks(_names(kit.transaction), log):
            self.undoing.back(kit, log)

    def repair(self, mpm: str, log: Log) -> None:
        """Give a torn server (two MPMs, none, files missing) the one MPM named, from the
        repositories, and its configuration. httpd is not restarted. Raises HostError."""
        with self._hooks([verification.mpm_package(mpm), verification.cgi_package(mpm)], log):
            self.undoing.repair(mpm, log)

    def reinstall(self, names: Sequence[str], log: Log) -> None:
        with self._hooks(names, log):
            self.undoing.reinstall(names, log)

    def _hooks(self, names: Sequence[str], log: Log) -> AbstractContextManager[None]:
        return self._settled(hooks.around(self.config.root, names, self.runner, log))

    @contextmanager
    def _settled(self, work: AbstractContextManager[None]) -> Iterator[None]:
        with work:
            yield
        self._settle_on_disk()


def _names(transaction: Transaction) -> list[str]:
    return sorted({package.name for package in (*transaction.install, *transaction.remove)})


def _names_in(stored: Path) -> list[str]:
    """Nothing where it cannot be read."""
    try:
        entries = json.loads(stored.read_bytes())["rpms"]
        return [str(entry["nevra"]).rsplit("-", 2)[0] for entry in entries]
    except (OSError, ValueError, KeyError, TypeError):
        return []

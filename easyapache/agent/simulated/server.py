"""A simulated server: a file with EasyApache 4's real package relations; nothing is installed.

For the sandbox, for training and for tests. Its state is one JSON file that any process may look at
and change. A transaction started here continues by the clock, whichever process dies: package
number *n* is done once *n* paces have passed. That is how a detached dnf looks from outside, and it
can't be killed.

Faults make it fail on purpose; ``FAULTS`` lists them. Its capabilities, log and measurements are
marked ``simulated``.
"""

# ruff: noqa: ARG002 -- a protocol's method takes what other servers need
from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from easyapache.agent.change.durable import locked
from easyapache.agent.packages import kit as kits
from easyapache.agent.server import (
    Check,
    HostError,
    Interruption,
    Kit,
    Log,
    Obstacle,
    SiteAnswer,
    Stop,
    Stopped,
    never,
)
from easyapache.agent.simulated import state as model
from easyapache.ea4.conditions.evidence import no_mpm, several_mpms
from easyapache.ea4.opinion import Opinion
from easyapache.ea4.package_metadata import Particulars, imagined
from easyapache.ea4.profile import Observation, Package, Profile, Transaction
from easyapache.ea4.protocol import Goal
from easyapache.ea4.relations import Unsolvable, load_catalogue
from easyapache.ea4.sentences import Sentence


class SimulatedServer:
    """Keeps the Server protocol over the state in ``path``, which is made when missing."""

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time) -> None:
        self.path, self.clock = path, clock
        if not path.exists():
            model.create_state(path)

    # -- the state ------------------------------------------------------------------------

    @contextmanager
    def state(self) -> Iterator[dict[str, Any]]:
        """The state, advanced to the present, to read and change; saved at the end."""
        with locked(self.path.with_name(f".{self.path.name}.lock"), wait=True):
            state: dict[str, Any] = json.loads(self.path.read_bytes())
            was = json.dumps(state)
            model.advance(state, self.clock())
            try:
                yield state
            finally:
                if json.dumps(state) != was:
                    model.save(self.path, state)

    def _strikes(self, fault: str) -> bool:
        with self.state() as state:
            return model.take_fault(state, fault)

    # -- facts ----------------------------------------------------------------------------

    def inspect(self) -> Profile:
        with self.state() as state:
            facts = dict(state["facts"])
            if state["missing_files"]:
                facts["missing_files"] = dict(state["missing_files"])
            if state["running"] is None:
                facts["running_error"] = "Apache does not answer (simulated)."
            facts["httpd_started"] = state["started"]
            facts.update(load=model.load_of(state, self.clock()), simulated=True)
            return Profile(
                packages=tuple(sorted(Package.from_json(item) for item in state["packages"])),
                configured=model.configured(state),
                running=model.observation(state["running"]),
                facts=facts,
            )

    def httpd_start(self) -> str:
        with self.state() as state:
            return str(state["started"]) if state["running"] else ""

    def particulars(self) -> Particulars:
        return imagined(self.inspect().names)

    def resolve(self, goal: Goal, *, protect: bool, kept: Path | None = None) -> Transaction:
        profile = self.inspect()
        scene = load_catalogue().for_server(profile.packages, profile.facts.get("relations"))
        fetches = any(name not in profile.names for name in goal.install)
        if kept is None and protect and fetches and self._strikes("repository_gone"):
            raise HostError(
                "repository_unreachable",
                Sentence("The repository EA4 can't be reached."),
                Sentence("Check the network and the repository's address."),
                "Error: Failed to download metadata for repo 'EA4'",
            )
        try:
            answer = scene.resolve(goal.install, goal.remove)
        except Unsolvable as error:
            raise HostError(
                "unsatisfiable",
                Sentence("No combination of packages meets this request."),
                Sentence("Change the selection."),
                str(error),
            ) from error
        if protect:
            may_go = set(goal.may_remove) | set(goal.remove)
            lost = sorted({item.name for item in answer.remove} - may_go)
            lost = [name for name in lost if name not in {item.name for item in answer.install}]
            if lost:
                raise HostError(
                    "protected",
                    Sentence(
                        "This would remove {names}, which you didn't allow.",
                        names=", ".join(lost),
                    ),
                    Sentence("Refresh the plan."),
                    "Error: The operation would result in removing the following protected "
                    f"packages: {', '.join(lost)}",
                )
        return answer

    def second_opinion(self, profile: Profile, transaction: Transaction) -> Opinion | None:
        return None  # there is no WHM

    def obstacles(
        self,
        goal: Goal,
        transaction: Transaction,
        seen: Callable[[], Profile] | None = None,
        stop: Stop = never,
    ) -> Sequence[Obstacle]:
        found = []
        if self._strikes("locked"):
            found.append(
                Obstacle(
                    "package_manager_busy",
                    Sentence("dnf (pid 4711, for 12 s) holds the lock (simulated)."),
                )
            )
        if self._strikes("disk_full"):
            found.append(
                Obstacle(
                    "disk_full",
                    Sentence("12 MB are free and 64 MB are needed (simulated)."),
                )
            )
        profile = seen() if seen else self.inspect()
        torn = {"no_mpm": no_mpm(profile), "several_mpms": several_mpms(profile)}
        found += [Obstacle(code, why) for code, why in torn.items() if why]
        return found

    def sites(self, stop: Stop = never) -> Sequence[SiteAnswer]:
        with self.state() as state:
            running, differs = state["running"], state.get("differs_under")
            results = []
            for site in state["sites"]:
                if running is None:
                    results.append(SiteAnswer(**site, error="connection refused"))
                    continue
                bad = site["kind"] == "php" and running["mpms"] == differs
                results.append(
                    SiteAnswer(
                        **site,
                        status=500 if bad else 200,
                        content_type="text/html",
                        size_class=9 if bad else 11,
                    )
                )
            return results

    def checks(
        self,
        transaction: Transaction,
        mpm: str,
        itk: bool,
        before: Sequence[SiteAnswer],
        listened: Sequence[tuple[str, int]] = (),
    ) -> Sequence[Check]:
        return model.checks(self.inspect(), transaction, mpm, itk, before, self.sites())

    def capabilities(self) -> Mapping[str, Any]:
        return {
            "simulated": True,
            "package_manager": "simulated",
            "systemd": False,
            "restart_method": "simulated",
            "restart_reason": Sentence("simulated server without visitors"),
        }

    # -- operations -----------------------------------------------------------------------

    def download(self, transaction: Transaction, kit: Kit, log: Log, stop: Stop = never) -> None:
        if self._strikes("repository_gone"):
            raise HostError(
                "repository_unreachable",
                Sentence("The packages can't be downloaded."),
                Sentence("Check the network and the repository's address."),
                "Error: Error downloading packages: Cannot download EA4 (simulated)",
            )
        if self._strikes("bad_signature"):
            raise HostError(
                "bad_signature",
                Sentence("A package has no valid signature."),
                Sentence("Import the right key, or clean the cache."),
                "Error: GPG check FAILED (simulated)",
            )
        for package in transaction.install:
            (kit.folder / kits.INCOMING / kits.rpm_name(package)).touch()
            log(f"simulated: fetched {package.nevra}")
            self._rest()
            if stop():
                raise Stopped
        for package in transaction.remove:
            (kit.folder / kits.RPMS / kits.rpm_name(package)).touch()
            log(f"simulated: kept {package.nevra}")

    def rehearse(
        self, transaction: Transaction, mpm: str, itk: bool, folder: Path, log: Log
    ) -> None:
        self._rest()
        if self._strikes("rehearsal") or (itk and mpm != "prefork"):
            raise HostError(
                "rehearsal",
                Sentence("Apache would not start with the new modules."),
                Sentence("See its output."),
                "[mpm_itk:emerg] mpm-itk cannot use threaded MPMs; please use prefork. (simulated)",
            )
        log(f"simulated: httpd started with {model.label_of(Observation((mpm,), itk))}")

    def start_packages(
        self, change: str, goal: Goal, transaction: Transaction, folder: Path, log: Log
    ) -> None:
        with self.state() as state:
            begun = state["transaction"]
            if begun and begun["folder"] == str(folder):
                return
            folder.mkdir(parents=True, exist_ok=True)
            state["transaction"] = {
                "change": change,
                "folder": str(folder),
                "begun": self.clock(),
                "moves": [["out", item.as_json()] for item in transaction.remove]
                + [["in", item.as_json()] for item in transaction.install],
                "done": 0,
                "status": None,
                "lines": [],
            }
            if model.take_fault(state, "site_differs"):
                mpm = [p.name.removeprefix(model.MPM_PACKAGE) for p in transaction.install]
                state["differs_under"] = [name for name in mpm if name in model.MPMS]
            model.order_for_fault(state)

    def follow_packages(self, change: str, folder: Path, log: Log) -> int | None:
        reported = 0
        while True:
            with self.state() as state:
                run = state["transaction"]
                if run is None or run["folder"] != str(folder):
                    return None
                lines, status = list(run["lines"]), run["status"]
                pause = min(0.05, float(state["pace"]) or 0.001)
            for line in lines[reported:]:
                log(line)
            reported = len(lines)
            if status is not None:
                return int(status)
            time.sleep(pause)

    def start_packages_again(self, change: str, folder: Path, log: Log) -> bool:
        return False  # nothing else changes packages of a simulated server

    @contextmanager
    def watch(self, folder: Path, log: Log) -> Iterator[None]:
        over = threading.Event()

        def look() -> None:
            while not over.wait(0.02):
                self._start_if_dead(log)

        thread = threading.Thread(target=look, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            self._start_if_dead(log)

    def _start_if_dead(self, log: Log) -> None:
        with self.state() as state:
            run = state["transaction"]
            moving = run is not None and run["status"] is None
            seen = model.configured(state)
            if state["running"] is None and not moving and seen and seen.mpm:
                model.start_httpd(state)
                log("simulated: httpd had died and was started again")

    def config_test(self, log: Log) -> None:
        seen = self.inspect().configured
        count = len(seen.mpms) if seen else 0
        if self._strikes("configtest"):
            text = "AH00526: Syntax error on line 7 of pre_main_global.conf (simulated)"
        elif count != 1:
            what = "No MPM" if count == 0 else "More than one MPM"
            text = f"AH00534: httpd: Configuration error: {what} loaded."
        else:
            log("simulated: Syntax OK")
            return
        raise HostError("configtest", Sentence("Apache refuses its configuration."), "", text)

    def restart(self, method: str, log: Log) -> Interruption:
        self._rest()
        with self.state() as state:
            back = state.get("undone", False)
            fails = model.take_fault(state, "undo_restart" if back else "restart")
            if fails:
                state["running"] = None
            else:
                model.start_httpd(state)
        if fails:
            raise HostError(
                "restart",
                Sentence("Apache didn't start."),
                Sentence("See its error log."),
                "AH00016: Configuration Failed (simulated)",
            )
        log("simulated: httpd replaced")
        return model.NOTICED

    def noticed(self) -> Interruption:
        return model.NOTICED

    def settle_restart(self, log: Log) -> bool:
        return False  # a restart here is one write

    def wait_for_restarts(self, log: Log, stop: Stop = never) -> bool:
        return True  # nobody else is here

    def packages_from_kit(self, kit: Kit, log: Log) -> None:
        self._rest()
        with self.state() as state:
            model.move(state, kit.transaction)
        log("simulated: moved packages of the kit")

    def undo_packages(self, kit: Kit, log: Log) -> None:
        self._rest()
        if self._strikes("undo_packages"):
            raise HostError(
                "undo", Sentence("The packages could not be restored."), "", "(simulated)"
            )
        with self.state() as state:
            model.move(state, kit.transaction.inverse)
            state["undone"] = True
        for package in kit.transaction.remove:
            log(f"simulated: restored {package.nevra}")

    def repair(self, mpm: str, log: Log) -> None:
        self._rest()
        with self.state() as state:
            try:
                model.settle(state, mpm)
            except Unsolvable as error:
                raise HostError(
                    "unsatisfiable", Sentence("This cannot be repaired."), "", str(error)
                ) from error
        log(f"simulated: settled on {mpm}")

    def reinstall(self, names: Sequence[str], log: Log) -> None:
        self._rest()
        with self.state() as state:
            for name in names:
                state["missing_files"].pop(name, None)
        log(f"simulated: installed again {', '.join(names)}")

    def _rest(self) -> None:
        with self.state() as state:
            pace = float(state["pace"])
        time.sleep(pace)

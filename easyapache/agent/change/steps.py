"""What each step of a change does on the server, and how its success is checked.

A step returns a sentence for the journal, or raises HostError when it failed. The engine decides
their order and what follows a failure.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from easyapache.agent.change.cutover import Handover
from easyapache.agent.change.folder import Before, ChangeFolder
from easyapache.agent.change.known_states import Remembered
from easyapache.agent.change.progress import (
    Packages,
    difference,
    label,
    moves_of,
    observed,
    packages_now,
    progress_of,
    runs,
)
from easyapache.agent.change.spool import Spool
from easyapache.agent.config import HostConfig
from easyapache.agent.httpd.httpd import SWITCHED_OFF
from easyapache.agent.packages import kit as kits
from easyapache.agent.server import (
    Check,
    HostError,
    Kit,
    Log,
    Server,
    SiteAnswer,
)
from easyapache.ea4.profile import Profile, Transaction
from easyapache.ea4.protocol import ChangeRequest
from easyapache.ea4.schema import BadMessage
from easyapache.ea4.scope import beyond, leads_back
from easyapache.ea4.sentences import Sentence, counted

VERIFY_ATTEMPTS = 4
VERIFY_PAUSE = 0.4
"""A site may need a moment after a start (PHP-FPM, a cold cache): together over a second."""
VERIFY_LIMIT = 10.0
"""Seconds after which checks are not repeated: a slow site is no reason to wait longer."""


_KIT_SERVES = frozenset(
    {
        "repository_unreachable",
        "unsigned_repository",
        "bad_signature",
        "bad_checksum",
        "no_such_package",
        "unsatisfiable",
        "download",
        "package_manager",
        "no_answer",
        "kit",
    }
)
"""Blockers only for packages from repositories, not for those from rollback kits."""


class Moved(Exception):
    """The server's own answer is no longer the one that was confirmed."""

    def __init__(self, transaction: Transaction) -> None:
        super().__init__("the server changed")
        self.transaction = transaction


class Undecided(HostError):
    """Verification saw something else than it should. The message is the observation."""


class Steps:
    """The steps of one change, and what they hand to each other."""

    def __init__(
        self,
        folder: ChangeFolder,
        request: ChangeRequest,
        server: Server,
        config: HostConfig,
        log: Log,
        pause: Callable[[float], None],
    ) -> None:
        self.folder, self.request = folder, request
        self.server, self.config = server, config
        self.log, self.pause = log, pause
        self.before = Profile(packages=())
        self.sites: tuple[SiteAnswer, ...] = ()
        self.from_kit = False
        self.handover = Handover(folder, server, log)

    # -- what survives a crash ------------------------------------------------------------

    def remember(self) -> None:
        outdated = tuple(sorted(self.handover.outdated))
        seen = Before(self.before, self.sites, self.from_kit, outdated)
        self.folder.write_json("before.json", seen.as_json())

    def recall(self) -> None:
        """What an earlier engine saw before anything was touched."""
        try:
            seen = Before.from_json(self.folder.read_json("before.json"))
        except (OSError, BadMessage) as error:
            raise HostError(
                "before_lost",
                Sentence("The state of the server before this change can't be read."),
                Sentence("Check the server in Diagnostics."),
                repr(error),
            ) from error
        self.before, self.sites, self.from_kit = seen.profile, seen.sites, seen.from_kit
        self.handover.in_place(self.before)
        self.handover.outdated |= set(seen.outdated)

    # -- before anything is touched -------------------------------------------------------

    def preflight(self) -> str:
        request = self.request
        with ThreadPoolExecutor(max_workers=3) as pool:
            profile = pool.submit(self.server.inspect)
            sites = pool.submit(self.server.sites, self._canceled)
            in_the_way = pool.submit(
                self.server.obstacles,
                request.goal,
                request.transaction,
                profile.result,
                self._canceled,
            )
            self.before, self.sites = profile.result(), tuple(sites.result())
            self._within_scope()
            self.handover.in_place(self.before)
            self._evidence("before", _seen_before(self.before, self.sites))
            obstacles = in_the_way.result()
        for obstacle in obstacles:
            self.folder.report("finding", obstacle.as_json())
            self.log(f"{obstacle.title}: {obstacle.message} {obstacle.remedy}")
        refusing = [item for item in obstacles if item.code not in _KIT_SERVES]
        if not refusing and obstacles and not self.turn_to_kit(obstacles[0].title):
            refusing = list(obstacles)
        if refusing:
            raise HostError(refusing[0].code, refusing[0].message, refusing[0].remedy)
        if not self.from_kit:
            self.resolve()
        self.remember()
        return counted(
            "{count} site checked. No problems found.",
            "{count} sites checked. No problems found.",
            count=len(self.sites),
        )

    def _canceled(self) -> bool:
        """Whether a cancel was requested while it is still possible."""
        return self.folder.cancel_requested

    def _within_scope(self) -> None:
        """Raises HostError if this is neither an MPM change nor a rollback to a state this agent
        has seen."""
        goal, undone = self.request.goal, self.request.undo_of
        wrong = beyond(goal.install, goal.remove, self.before, self.request.mpm)
        if not wrong:
            return
        if undone is not None:
            states = Remembered(Spool(self.config.spool)).states_before(undone, self.before)
            if leads_back(goal.install, goal.remove, states):
                return
            wrong = Sentence(
                "This change claims to roll back another one, but the agent has no record of "
                "this server with the packages it would restore. Nothing was changed."
            )
        raise HostError(
            "beyond_the_mpm", wrong, Sentence("Use the server's package manager instead.")
        )

    def resolve(self, *, last: bool = False) -> None:
        """Have the server's package manager resolve the goal again. Raises Moved.

        Before the download, a rollback may fall back to kept packages; the ``last`` time, just
        before acting, it may not.
        """
        try:
            answer = self.server.resolve(self.request.goal, protect=True)
        except HostError as error:
            if last or error.code not in _KIT_SERVES or not self.turn_to_kit(error.message):
                raise
            return
        if answer.digest != self.request.transaction.digest and (
            last or not self.turn_to_kit("the package manager's plan changed")
        ):
            raise Moved(answer)

    def turn_to_kit(self, why: str) -> bool:
        """Do without the repositories, if this is a rollback and the kits in the spool hold all
        packages it needs, including those to undo it again. The package manager decides whether
        they fit what is installed now."""
        if not self.request.undo_of:
            return False
        kit = self.lay_out_kit()
        missing = kits.gather(kit, self.config.spool)
        if missing:
            self.log(f"not in any restore point: {', '.join(missing)}")
            return False
        try:
            kept = kit.folder / kits.INCOMING
            answer = self.server.resolve(self.request.goal, protect=True, kept=kept)
        except HostError as error:
            self.log(f"the restore points can't be used: {error.message} {error.output}".rstrip())
            return False
        self.from_kit = answer.digest == self.request.transaction.digest
        if self.from_kit:
            self.log(f"{why.rstrip('.')}. Using packages from restore points.")
        return self.from_kit

    def lay_out_kit(self) -> Kit:
        return kits.prepare(
            self.folder.kit,
            self.folder.change,
            self.before,
            self.request.transaction,
            self.config,
        )

    def kept_kit(self) -> Kit:
        """The kit as it was sealed. One that can no longer be read is created again: its packages
        are then searched for in other kits and in the repositories."""
        return kits.load(self.folder.kit) or self.lay_out_kit()

    def download(self) -> str:
        kit = self.lay_out_kit()
        if not self.from_kit:
            try:
                self.server.download(self.request.transaction, kit, self.log, self._canceled)
            except HostError as error:
                if error.code not in _KIT_SERVES or not self.turn_to_kit(error.message):
                    raise
        kits.seal(self.folder.kit)
        self.remember()
        if self.from_kit:
            return Sentence("Packages taken from restore points. No repository needed.")
        return Sentence("Packages downloaded. Old packages saved for rollback.")

    def rehearse(self) -> str:
        request = self.request
        self.server.wait_for_restarts(self.log, self._canceled)
        with ThreadPoolExecutor(max_workers=1) as pool:
            # The solver resolves a last time in parallel: both only read.
            last = None if self.from_kit else pool.submit(self.resolve, last=True)
            self.server.rehearse(
                request.transaction,
                request.mpm,
                request.itk,
                self.folder.path / "rehearsal",
                self.log,
            )
            if last:
                last.result()
        return Sentence("Apache started with the new modules and your configuration.")

    # -- the transaction ------------------------------------------------------------------

    def packages(self) -> str:
        if self.from_kit:
            self.server.packages_from_kit(self.kept_kit(), self.log)
        else:
            change, request = self.folder.change, self.request
            self.server.start_packages(
                change, request.goal, request.transaction, self._attempt(), self.log
            )
            self.settle()
            while self.server.start_packages_again(change, self._attempt(), self.log):
                self.settle()
        return self.packages_are_right()

    def settle(self) -> None:
        """Wait for the end of a transaction that was started. None is ever stopped."""
        if self._attempt().is_dir():
            self.server.follow_packages(self.folder.change, self._attempt(), self.log)

    def packages_never_moved(self) -> bool:
        now = packages_now(self.server.inspect(), self.before, self.request.transaction)
        return now is Packages.BEFORE

    def packages_are_right(self) -> str:
        now, transaction = self.server.inspect(), self.request.transaction
        if packages_now(now, self.before, transaction) is not Packages.PLANNED:
            wrong = difference(now, self.before, transaction)
            raise HostError(
                "packages",
                Sentence(
                    "The installed packages don't match the plan: {difference}.", difference=wrong
                ),
            )
        self._restore_files(self._kit_of_undone())
        if self.handover.in_place(now):
            self.remember()
        return Sentence("{moves}.", moves=moves_of(transaction))

    def _kit_of_undone(self) -> Kit | None:
        undone = Spool(self.config.spool).folder(self.request.undo_of or "")
        return kits.load(undone.kit) if undone else None

    def _attempt(self) -> Path:
        """Where the output of the present attempt is. A new attempt is only made when the
        one before it is over and no package moved."""
        if self.from_kit:
            return self.folder.kit / kits.FORTH
        tries = progress_of(self.folder.reports()).tries
        return self.folder.output / f"packages-{max(1, tries)}"

    # -- httpd ----------------------------------------------------------------------------

    def config_test(self) -> str:
        self.server.config_test(self.log)
        return Sentence("Apache accepts its configuration.")

    def restart(self) -> str:
        request = self.request
        return self.handover.restart(request.restart_method, request.mpm, request.itk)

    def verify(self) -> str:
        return self._verify("after", self.request.transaction, self.request.mpm, self.request.itk)

    def _verify(self, phase: str, transaction: Transaction, mpm: str, itk: bool) -> str:
        checks: Sequence[Check] = ()
        held: Any = self.before.facts.get("listeners") or ()
        listened = [(str(address), int(port)) for address, port in held]
        end = time.monotonic() + VERIFY_LIMIT
        for attempt in range(VERIFY_ATTEMPTS):
            if attempt:
                self.pause(VERIFY_PAUSE)
            checks = self.server.checks(transaction, mpm, itk, self.sites, listened)
            if all(check.ok for check in checks) or time.monotonic() > end:
                break
        self._evidence(phase, checks)
        for check in checks:
            if not check.ok:
                self.log(f"{check.title}: expected {check.expected}, got {check.seen}")
        off = [check for check in checks if check.name == SWITCHED_OFF]
        if off and phase == "after":
            raise Undecided(
                SWITCHED_OFF,
                Sentence("Apache was switched off during the change: {why}", why=off[0].seen),
            )
        wrong = next((check for check in checks if not check.ok), None)
        if phase == "undo" and wrong and self._sites_alone(checks):
            self.log("packages and Apache are restored; only these sites answer differently")
            wrong = None
        if wrong:
            raise Undecided(
                "verification",
                Sentence(
                    "{title}: expected {expected}, got {seen}",
                    title=wrong.title,
                    expected=wrong.expected or Sentence("as before"),
                    seen=wrong.seen,
                ),
            )
        return counted(
            "{count} of {count} check passed.",
            "{count} of {count} checks passed.",
            count=len(checks),
        )

    def _sites_alone(self, checks: Sequence[Check]) -> bool:
        """Whether only a few sites, which differed before the undo too, differ after it. With the
        packages restored and most sites as before, those changed by themselves: site owners can
        change their sites at any time, so this does not fail the undo."""
        evidence = (report for report in self.folder.reports() if report.kind == "evidence")
        seen = {
            str(item["name"])
            for report in evidence
            if report.data.get("phase") == "after"
            for item in report.data["observations"]
            if not item["ok"]
        }
        wrong = [check for check in checks if not check.ok]
        witnesses = [check for check in checks if check.name.startswith("site:")]
        sites = all(check.name.startswith("site:") and check.name in seen for check in wrong)
        return sites and 2 * len(wrong) < len(witnesses)

    # -- back -----------------------------------------------------------------------------

    def undo_packages(self) -> str:
        self.settle()
        never, kit = self.packages_never_moved(), kits.load(self.folder.kit)
        if kit is None and (self.folder.kit / kits.RPMS).is_dir():
            kit = self.lay_out_kit()
        # Even if the database shows no change: an interrupted transaction may have unpacked a
        # module it had not entered yet, and the next start of httpd would load it.
        if not never or (kit is not None and self._attempt().is_dir()):
            if kit is None:
                raise HostError(
                    "kit",
                    Sentence("The restore point is missing."),
                    Sentence("Install the packages with the server's package manager."),
                )
            self.server.undo_packages(kit, self.log)
        self._restore_files(kit)
        now = self.server.inspect()
        if packages_now(now, self.before, self.request.transaction) is not Packages.BEFORE:
            wrong = difference(now, self.before, Transaction())
            raise HostError(
                "packages",
                Sentence(
                    "The packages could not be fully restored: {difference}.", difference=wrong
                ),
            )
        self.handover.in_place(now)
        return Sentence("The previous packages are installed again.")

    def _restore_files(self, kit: Kit | None) -> None:
        for path in kits.restore_files(kit) if kit else ():
            self.log(f"restored edited file {path}")

    def undo_restart(self) -> str:
        mpm, itk = kits.mpm_of(self.before)
        self.server.settle_restart(self.log)
        original = self.before.facts.get("httpd_started")
        if self.server.httpd_start() == original and runs(self.server.inspect(), mpm, itk):
            return Sentence("Apache was not restarted and still runs {mpm}.", mpm=label(mpm, itk))
        self.server.config_test(self.log)
        try:
            return self.handover.restart(self.request.restart_method, mpm, itk, somehow=True)
        except HostError as error:
            if error.code != SWITCHED_OFF:
                raise
            return Sentence("{why} Apache was not started.", why=error.message)

    def undo_verify(self) -> str:
        mpm, itk = kits.mpm_of(self.before)
        return self._verify("undo", self.request.transaction.inverse, mpm, itk)

    def keep_httpd_running(self) -> None:
        """The last resort: get Apache to serve visitors, whatever packages are installed."""
        if self.server.inspect().running is None:
            self.log("httpd does not run: starting it")
            self.handover.replace(self.request.restart_method, somehow=True)

    # -- observations --------------------------------------------------------------------

    def _evidence(self, phase: str, checks: Sequence[Check]) -> None:
        observations = [check.as_json() for check in checks]
        self.folder.report("evidence", {"phase": phase, "observations": observations})


def _seen_before(profile: Profile, sites: Sequence[SiteAnswer]) -> list[Check]:
    def seen(observation: Any) -> str:
        if observation is None:
            return Sentence("no answer")
        return observed(observation.mpms, observation.itk)

    checks = [
        Check("configured", Sentence("Configured MPM"), "", seen(profile.configured), ok=True),
        Check("running", Sentence("Running MPM"), "", seen(profile.running), ok=True),
    ]
    for site in sites:
        answer = site.error or f"{site.status} {site.content_type}".strip()
        title = f"{site.kind} {site.host or site.url}"
        checks.append(Check(f"site:{site.url}", title, "", answer, ok=not site.error))
    return checks

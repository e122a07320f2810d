"""Carries out one change: the order of its steps, and how it ends.

Run as ``python -m easyapache.agent.change.engine <folder>``: by the agent, or by root if nothing
else works. It may be killed at any moment and started again. What it does next depends on the
journal (what may have started) and on the state of the server (what was done), never on an exit
status.

Nothing on the server changes before ``packages`` starts; every step until then can simply run
again. From then on the change ends in one of two ways: as planned and verified, or as before and
verified. Only if neither can be reached after several attempts to undo it does it end as *failed*.
"""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from easyapache.agent.change.cancellation import Cancellation
from easyapache.agent.change.durable import Busy
from easyapache.agent.change.folder import ChangeFolder, now
from easyapache.agent.change.inhibitor import Inhibitor
from easyapache.agent.change.progress import (
    Progress,
    label,
    progress_of,
    shows,
    succeeded_sentence,
)
from easyapache.agent.change.shutdown import shutdown_of
from easyapache.agent.change.spool import Spool
from easyapache.agent.change.step_reporter import Failed, StepReporter
from easyapache.agent.change.steps import Moved, Steps
from easyapache.agent.config import BadConfig, HostConfig
from easyapache.agent.drivers import config_of, open_server
from easyapache.agent.runner import Runner
from easyapache.agent.server import HostError, Server, Stopped
from easyapache.ea4.conditions.diagnosis import diagnosis_of
from easyapache.ea4.profile import Profile
from easyapache.ea4.protocol import Outcome, Report, Step
from easyapache.ea4.schema import BadMessage
from easyapache.ea4.sentences import Sentence, counted, ended, with_words

UNDO_ATTEMPTS = 3
DEATHS_PER_STEP = 5
"""So often may the work be cut off within one step before it turns round."""
SERVER_WAIT = 30.0
"""Seconds an untouched change waits for another one to be over before it gives way."""


class Engine:
    """One change on one server."""

    def __init__(
        self,
        folder: ChangeFolder,
        server: Server,
        config: HostConfig,
        *,
        pause: Callable[[float], None] = time.sleep,
        shutting_down: Callable[[], bool] | None = None,
    ) -> None:
        self.folder, self.server, self.config = folder, server, config
        self.spool = Spool(folder.path.parent)
        self.pause = pause
        self.reporter = StepReporter(folder, shutting_down or shutdown_of(config))
        self.cancellation = Cancellation(folder)
        self.inhibitor = Inhibitor(Runner(config.environment), self.reporter.log)
        self.steps: Steps

    def run(self, *, back: str = "") -> Report:
        """Finish the change and return its outcome. Raises Busy when another engine works on it,
        and ShuttingDown when the machine is shut down meanwhile: it has no outcome then. ``back``:
        why to undo it instead of finishing it.
        """
        with self.folder.engine_lock():
            over = self.folder.outcome
            if over:
                return over
            try:
                request = self.folder.request()
            except BadMessage as error:
                return self._unreadable(error)
            number = str(request.note.get("number", ""))[:40]
            self.reporter.changes = (number, self.folder.change)
            self.steps = Steps(
                self.folder, request, self.server, self.config, self.reporter.log, self.pause
            )
            with self.cancellation.answering():
                return self._run(back)

    def _unreadable(self, error: BadMessage) -> Report:
        """A request that cannot be read: refused, unless an engine that could read it had
        started."""
        if not self._progress().touched:
            return self._end(
                Outcome.NOT_STARTED,
                "request",
                Sentence(
                    "Nothing was changed. The request can't be read: {error}.", error=str(error)
                ),
            )
        sentence = Sentence(
            "The change was interrupted while packages were being changed, and its request "
            "can no longer be read ({error}). Apache may be down. As root, run: sh {undo}. "
            "Then open Diagnostics.",
            error=str(error),
            undo=str(self.folder.kit / "undo"),
        )
        return self._end(Outcome.FAILED, "request", sentence)

    # -- the way through ------------------------------------------------------------------

    def _run(self, back: str) -> Report:
        progress = self._progress()
        self.reporter.step = progress.last or Step.PREFLIGHT
        self.reporter.check_shutdown()
        deaths = self.folder.note_start(self.reporter.step) - 1
        with ExitStack() as stack:
            stack.callback(self.inhibitor.release)
            try:
                self._take_server(stack, progress)
                stack.callback(self.steps.handover.close)
                self.server.settle_restart(self.reporter.log)
                if deaths:
                    self.reporter.log(f"resuming: step {self.reporter.step} was interrupted")
                if back and not progress.touched:
                    raise Stopped
                if progress.touched:
                    return self._resume(progress, deaths, back)
                return self._begin(deaths)
            except Busy:
                return self._refuse(Sentence("Another change is running on this server."))
            except Stopped:
                self.cancellation.accept()
                sentence = Sentence("Canceled before anything was changed.")
                return self._end(Outcome.CANCELED, "cancel", sentence)
            except Moved as moved:
                self.folder.report("moved", {"transaction": moved.transaction.as_json()})
                if self._progress().touched:
                    return self._undo(Sentence("packages on the server changed in the meantime"))
                return self._refuse(
                    Sentence(
                        "Packages on this server changed after this plan was made. Refresh "
                        "the plan, then confirm again."
                    ),
                    decided_by="moved",
                )
            except Failed as failed:
                if self._progress().touched:
                    return self._undo(failed.decided_by)
                decided_by = Sentence(
                    "{step}: {why}", step=failed.step.value, why=failed.decided_by
                )
                return self._refuse(failed.decided_by, decided_by=decided_by)
            except Exception as error:  # noqa: BLE001 -- as in _do: reported, and undone
                self.reporter.log(traceback.format_exc())
                why = error.message if isinstance(error, HostError) else repr(error)
                return self._undo(why) if self._progress().touched else self._refuse(why)

    def _begin(self, deaths: int) -> Report:
        too_late = self.steps.request.not_after
        if too_late is not None and now() > too_late:
            # The agent may have been away, or its queue, since the panel sent this in time.
            sentence = Sentence(
                "The maintenance window passed before the change could start. Nothing was changed."
            )
            return self._end(Outcome.CANCELED, "window", sentence)
        if deaths > DEATHS_PER_STEP:
            return self._refuse(
                counted(
                    "The engine was interrupted {count} time in step {step}.",
                    "The engine was interrupted {count} times in step {step}.",
                    count=deaths,
                    step=self.reporter.step.value,
                )
            )
        return self._forward()

    def _resume(self, progress: Progress, deaths: int, back: str) -> Report:
        """Go on with a change whose engine died after the point of no return."""
        self._hold_back_shutdown()
        try:
            self.steps.recall()
        except HostError as error:
            return self._lost(error.message)
        if progress.undoing or back:
            return self._undo(progress.cause if progress.undoing else back)
        if Step.RESTART not in progress.done:
            self.steps.handover.watch()
        if Step.PACKAGES not in progress.done:
            self.steps.settle()
        if deaths > DEATHS_PER_STEP:
            return self._undo(self._cut_off(deaths))
        if Step.PACKAGES not in progress.done:
            if self.steps.packages_never_moved() and progress.tries < DEATHS_PER_STEP:
                self.reporter.log("no package was changed yet: starting again")
                self._settle()
                self.steps.handover.close()
                return self._forward()
            self.reporter.perform(Step.PACKAGES, self.steps.packages_are_right, reported=True)
        return self._finish(progress)

    def _cut_off(self, deaths: int) -> str:
        return counted(
            "the engine was interrupted {count} time in step {step}",
            "the engine was interrupted {count} times in step {step}",
            count=deaths,
            step=self.reporter.step.value,
        )

    def _forward(self) -> Report:
        steps, request = self.steps, self.steps.request
        self.reporter.perform(Step.PREFLIGHT, steps.preflight)
        self.cancellation.check()
        if request.transaction.empty:
            wanted = label(request.mpm, request.itk)
            if shows(steps.before, request.mpm, request.itk):
                for step in list(Step)[1:7]:
                    self.reporter.skip(step, Sentence("No changes needed."))
                sentence = Sentence("No changes needed: the server already runs {mpm}.", mpm=wanted)
                return self._end(Outcome.SUCCEEDED, "nothing_to_do", sentence)
            steps.lay_out_kit()
            no_package = Sentence("No packages to install or remove.")
            for step in (Step.DOWNLOAD, Step.REHEARSAL):
                self.reporter.skip(step, no_package)
            self._past_the_point()
            self.reporter.skip(Step.PACKAGES, no_package)
        else:
            self.reporter.perform(Step.DOWNLOAD, steps.download)
            self.cancellation.check()
            self.reporter.perform(Step.REHEARSAL, steps.rehearse)
            self.cancellation.check()
            self._past_the_point()
            steps.handover.watch()
            self.reporter.perform(Step.PACKAGES, steps.packages, reported=True)
        return self._finish(Progress())

    def _finish(self, progress: Progress) -> Report:
        steps, request = self.steps, self.steps.request
        if Step.RESTART not in progress.done:
            steps.handover.watch()
            if Step.CONFIGTEST not in progress.done:
                self.reporter.perform(Step.CONFIGTEST, steps.config_test)
            self.reporter.perform(Step.RESTART, steps.restart)
        steps.handover.close()
        self.reporter.perform(Step.VERIFY, steps.verify)
        sentence = succeeded_sentence(request, self._progress().interruption)
        return self._end(Outcome.SUCCEEDED, "verification", sentence)

    # -- undo -----------------------------------------------------------------------------

    def _undo(self, cause: str) -> Report:
        """Restore the previous state from the kit, in a limited number of attempts."""
        steps = self.steps
        wrong = cause
        self.reporter.check_shutdown()
        for attempt in range(UNDO_ATTEMPTS):
            if attempt:
                self.reporter.log(f"not restored yet ({wrong}); trying again")
                self.pause(1.0)
            try:
                steps.handover.watch()
                self.reporter.perform(Step.UNDO_PACKAGES, steps.undo_packages, decided_by=cause)
                self.reporter.perform(Step.UNDO_RESTART, steps.undo_restart)
                steps.handover.close()
                self.reporter.perform(Step.UNDO_VERIFY, steps.undo_verify)
            except Failed as failed:
                wrong = failed.decided_by
                continue
            except Exception as error:  # noqa: BLE001 -- one more attempt is better than none
                self.reporter.log(traceback.format_exc())
                wrong = error.message if isinstance(error, HostError) else repr(error)
                continue
            sentence = Sentence(
                "The change was undone, and the previous state was restored. Reason: {cause}",
                cause=ended(cause),
            )
            return self._end(Outcome.RESTORED, cause, sentence)
        try:
            steps.keep_httpd_running()
        except Exception as error:  # noqa: BLE001 -- the outcome reports the error
            self.reporter.log(traceback.format_exc())
            wrong = Sentence(
                "{wrong}; and Apache could not be started: {error}", wrong=wrong, error=str(error)
            )
        steps.handover.close()
        return self._lost(wrong, cause)

    def _lost(self, wrong: str, cause: str = "") -> Report:
        request = self.steps.request
        sentence = Sentence(
            "The change to {mpm} failed and could not be fully undone. Apache may be down. "
            "{wrong} Open Diagnostics and choose “Undo the incomplete change”. Without the "
            "panel, run as root: sh {undo} (restore point: {kit})",
            mpm=label(request.mpm, request.itk),
            wrong=ended(wrong),
            undo=str(self.folder.kit / "undo"),
            kit=str(self.folder.kit),
        )
        seen = Sentence(
            "{wrong} As root, run: sh {undo}",
            wrong=ended(wrong),
            undo=str(self.folder.kit / "undo"),
        )
        self.folder.report("finding", diagnosis_of("incomplete_change", seen).as_finding())
        return self._end(Outcome.FAILED, cause or wrong, sentence)

    # -- who may work, who may stop it ----------------------------------------------------

    def _take_server(self, stack: ExitStack, progress: Progress) -> None:
        """A server has one change at a time; an incomplete one is finished first."""
        if progress.touched:
            stack.enter_context(self.spool.server_lock(wait=True))
            return
        end = time.monotonic() + SERVER_WAIT
        while True:
            try:
                stack.enter_context(self.spool.server_lock(wait=False))
                break
            except Busy:
                if time.monotonic() > end:
                    raise
                self.cancellation.check()
                self.pause(0.2)
        for other in self.spool.unfinished():
            if other.change != self.folder.change and progress_of(other.reports()).touched:
                raise Busy(other.change)

    def _past_the_point(self) -> None:
        """Record that the server may be altered from here on, unless a cancel arrived first."""
        self.reporter.check_shutdown()
        self._hold_back_shutdown()
        with self.cancellation.last_chance():
            self.reporter.step = Step.PACKAGES
            self.reporter.report_step(Step.PACKAGES, "started")

    def _hold_back_shutdown(self) -> None:
        """From here to the end of the change. A simulated server has no machine to shut down."""
        if self.config.driver != "simulated":
            request = self.steps.request
            number = str(request.note.get("number", self.folder.change))[:40]
            wanted = label(request.mpm, request.itk)
            self.inhibitor.take(
                f"Change {number} replaces packages of Apache: its MPM will be {wanted}. "
                "It ends by itself, in a minute as a rule."
            )

    # -- the end --------------------------------------------------------------------------

    def _progress(self) -> Progress:
        return progress_of(self.folder.reports())

    def _refuse(self, why: str, decided_by: str = "") -> Report:
        """End a change that has altered nothing."""
        return self._end(
            Outcome.NOT_STARTED, decided_by or why, Sentence("Nothing was changed. {why}", why=why)
        )

    def _end(self, outcome: Outcome, decided_by: str, sentence: str) -> Report:
        if outcome is Outcome.FAILED:
            self.reporter.check_shutdown()
        profile = self._look()
        verified = outcome in (Outcome.SUCCEEDED, Outcome.RESTORED)
        if verified and self._settle(profile):
            profile = self._look()
        with self.cancellation.closing():
            self.reporter.log(sentence)
            outcome_json = {
                "outcome": outcome.value,
                "decided_by": decided_by,
                "sentence": sentence,
                "profile": profile.as_json() if profile else None,
            }
            return self.folder.report("outcome", with_words(outcome_json, "sentence", "decided_by"))

    def _settle(self, profile: Profile | None = None) -> bool:
        """A transaction that broke off, of packages that have been looked at and are sound,
        must not keep the next change from beginning. Whether there was one."""
        profile = profile or self._look()
        unfinished = profile.facts.get("unfinished_transaction") if profile else None
        if unfinished:
            self.spool.settle(str(unfinished))
        return bool(unfinished)

    def _look(self) -> Profile | None:
        try:
            return self.server.inspect()
        except Exception as error:  # noqa: BLE001 -- a change must end even if inspection fails
            self.reporter.log(f"cannot inspect the server: {error}")
            return None


def main(arguments: list[str]) -> int:
    """Exit status 0: the change is over, however it ended; 2: it cannot be worked on;
    75: another engine is at it; 76: the machine is shutting down."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m easyapache.agent.change.engine <folder of a change>\n")
        return 2
    path = Path(arguments[0]).resolve()
    if not (path / "request.json").is_file():
        sys.stderr.write(f"{path} is not the folder of a change\n")
        return 2
    try:
        config = config_of(path.parent)
        server = open_server(config)
        outcome = Engine(ChangeFolder(path), server, config).run()
    except BadConfig as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except Busy:
        sys.stderr.write("another engine is already working on this change\n")
        return 75
    sys.stdout.write(f"{outcome.data['outcome']}: {outcome.data['sentence']}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Reports the steps of a change: a line in the journal before and after each, the log, and the
conditions recognized in a failure."""

from __future__ import annotations

import traceback
from collections import deque
from collections.abc import Callable

from easyapache import journal
from easyapache.agent.change.folder import ChangeFolder
from easyapache.agent.change.shutdown import ShuttingDown
from easyapache.agent.change.steps import Moved
from easyapache.agent.server import HostError, Stopped
from easyapache.ea4.conditions import BY_CODE
from easyapache.ea4.conditions.diagnosis import diagnose, diagnosis_of
from easyapache.ea4.conditions.renamed import code_of
from easyapache.ea4.protocol import Step
from easyapache.ea4.sentences import Sentence, with_words


class Failed(Exception):
    """A step failed. ``decided_by`` is the observation that shows it."""

    def __init__(self, step: Step, decided_by: str) -> None:
        super().__init__(decided_by)
        self.step, self.decided_by = step, decided_by


class StepReporter:
    """Writes into the folder of one change, and to systemd's journal where this is a service's
    process, what its steps do. ``step`` is the present one."""

    def __init__(
        self, folder: ChangeFolder, shutting_down: Callable[[], bool] = lambda: False
    ) -> None:
        self.folder, self.shutting_down = folder, shutting_down
        self.step = Step.PREFLIGHT
        self.changes: tuple[str, ...] = (folder.change,)
        """What the change is called in systemd's journal."""
        self._lines: deque[str] = deque(maxlen=500)
        self._journal = journal.Journal("ea4-mpm-engine") if journal.started_by_systemd() else None

    def log(self, text: str) -> None:
        self._lines.append(text)
        self.folder.log(self.step, text)
        self._to_journal(text)

    def _to_journal(self, text: str, priority: int = 6) -> None:
        if self._journal is not None:
            names = [(journal.CHANGE, name) for name in self.changes]
            fields = [*names, (journal.STEP, self.step.value)]
            self._journal.send(f"{self.step.value}: {text}", priority, fields)

    def perform(
        self, step: Step, work: Callable[[], str], *, reported: bool = False, decided_by: str = ""
    ) -> None:
        """Run one step with a line in the journal before and after it. Raises Failed, and passes on
        Moved and Stopped from ``work``.

        ``reported``: the line before it has been written. A failure during a shutdown doesn't
        count: ShuttingDown is raised, and the journal stays as it is."""
        self.step = step
        self._lines.clear()
        if not reported:
            self.report_step(step, "started", decided_by=decided_by)
        try:
            detail = work()
        except Moved:
            self.report_step(step, "failed", Sentence("The server changed."))
            raise
        except Stopped:
            self.skip(step, Sentence("Canceled."))
            raise
        except HostError as error:
            self.log(error.message)
            self.check_shutdown()
            if error.output:
                self.log(error.output)
            self._explain(error)
            self.report_step(step, "failed", error.message, decided_by=error.message)
            raise Failed(step, error.message) from error
        except Exception as error:
            # A mistake of ours must not leave a server half changed: it is reported and undone
            # like any other failure.
            self.log(traceback.format_exc())
            self.check_shutdown()
            failure = Sentence(
                "internal error: {kind}: {error}",
                kind=type(error).__name__,
                error=str(error),
            )
            self.report_step(step, "failed", failure, decided_by=failure)
            raise Failed(step, failure) from error
        self.report_step(step, "done", detail)
        self.log(detail)

    def check_shutdown(self) -> None:
        """Raises ShuttingDown when the machine is being shut down."""
        if self.shutting_down():
            self.log("the machine is shutting down: the change continues after the next start")
            raise ShuttingDown

    def _explain(self, error: HostError) -> None:
        """Report the conditions recognized in this failure, for the page of the change."""
        output = "\n".join([*self._lines, error.message, error.output, self._written()])
        found = {one.code: one for one in diagnose(output)}
        code = code_of(error.code)
        if code in BY_CODE and code not in found and not (BY_CODE[code].last_resort and found):
            details = "\n".join(part for part in (error.message, error.output[-2000:]) if part)
            found[code] = diagnosis_of(code, details)
        reported = self._reported()
        for one in found.values():
            if one.code not in reported:
                self.folder.report("finding", one.as_finding())

    def _reported(self) -> set[str]:
        """Codes of what this change has reported already: preflight names it once."""
        findings = (item for item in self.folder.reports() if item.kind == "finding")
        return {str(item.data.get("code")) for item in findings}

    def _written(self) -> str:
        """The end of what the transaction wrote, which an earlier engine may have followed."""
        if self.step is not Step.PACKAGES:
            return ""
        ends = []
        for path in sorted(self.folder.output.rglob("*.out")):
            with path.open("rb") as handle:
                handle.seek(max(0, path.stat().st_size - 20_000))
                ends.append(handle.read().decode(errors="replace"))
        return "\n".join(ends)

    def skip(self, step: Step, detail: str) -> None:
        self.report_step(step, "skipped", detail)

    def report_step(
        self, step: Step, status: str, detail: str = "", *, decided_by: str = ""
    ) -> None:
        data = {"step": step.value, "status": status, "detail": detail}
        if status != "done":  # its detail is a line of the log
            text = f"{status}: {detail or decided_by}" if detail or decided_by else status
            self._to_journal(text, 4 if status == "failed" else 6)
        if decided_by:
            step_json = with_words({**data, "decided_by": decided_by}, "detail", "decided_by")
        else:
            step_json = with_words(data, "detail")
        self.folder.report("step", step_json)

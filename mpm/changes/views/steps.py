"""The steps of a change as its page shows them, read from the agent's reports. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from django.utils.translation import gettext_lazy as _

from easyapache.ea4.protocol import Step
from easyapache.ea4.sentences import marked, with_sentences
from mpm.history.story import Entry, observations_of

TITLES: dict[Step, Any] = {
    Step.PREFLIGHT: _("Preflight"),
    Step.DOWNLOAD: _("Download"),
    Step.REHEARSAL: _("Trial start"),
    Step.PACKAGES: _("Packages"),
    Step.CONFIGTEST: _("Config test"),
    Step.RESTART: _("Restart"),
    Step.VERIFY: _("Verify"),
    Step.UNDO_PACKAGES: _("Restore packages"),
    Step.UNDO_RESTART: _("Restore: restart"),
    Step.UNDO_VERIFY: _("Restore: verify"),
}
FOR_TRANSLATORS = (
    marked("verification"),
    marked("cancel"),
    marked("moved"),
    marked("nothing_to_do"),
    marked("request"),
    marked("spool"),
    marked("scan"),
    marked("window"),
    marked("recover"),
)
"""What decides how a change ends, where that is no sentence."""
FORWARD = tuple(step for step in Step if not step.value.startswith("undo_"))
BACK = tuple(step for step in Step if step.value.startswith("undo_"))


class ReportLike(Protocol):
    at: datetime
    kind: str
    data: Any


@dataclass(slots=True)
class StepShown:
    """``status``: waiting, started, done, failed or skipped."""

    step: Step
    status: str = "waiting"
    started_at: datetime | None = None
    ended_at: datetime | None = None
    detail: str = ""

    @property
    def title(self) -> Any:
        return TITLES[self.step]

    @property
    def milliseconds(self) -> float | None:
        if self.started_at is None or self.ended_at is None:
            return None
        return (self.ended_at - self.started_at).total_seconds() * 1000


@dataclass(slots=True)
class Evidence:
    """One observation of verification, before and after, in sentences of the server."""

    title: str
    expected: str
    seen: str
    ok: bool
    phase: str
    name: str = ""

    @property
    def of_a_site(self) -> bool:
        """Whether it is about one website, and not about the server."""
        return self.name.startswith(("site:", "http"))


@dataclass(frozen=True, slots=True)
class Phase:
    """The checks of one inspection of the server: failed ones, and the others by topic."""

    name: str
    title: Any
    rows: Sequence[Evidence]

    @property
    def failed(self) -> list[Evidence]:
        return [] if self.name == "before" else [one for one in self.rows if not one.ok]

    @property
    def groups(self) -> list[tuple[Any, list[Evidence]]]:
        """What did not fail: of the server, of its websites."""
        failed = self.failed
        rest = [one for one in self.rows if one not in failed]
        found = (
            (_("Server"), [one for one in rest if not one.of_a_site]),
            (_("Websites"), [one for one in rest if one.of_a_site]),
        )
        return [group for group in found if group[1]]


@dataclass(slots=True)
class Journal:
    """The contents of all reports, by topic."""

    steps: list[StepShown] = field(default_factory=list)
    restoring: list[StepShown] = field(default_factory=list)
    evidence: list[Evidence] = field(default_factory=list)
    interruptions: list[Mapping[str, Any]] = field(default_factory=list)
    last_seq: int = 0
    decided_by: str = ""

    @property
    def current(self) -> StepShown | None:
        """The step that runs, else the last one that was touched."""
        every = (*self.steps, *self.restoring)
        touched = [one for one in every if one.status != "waiting"]
        running = [one for one in touched if one.status == "started"]
        return running[-1] if running else touched[-1] if touched else None

    @property
    def phases(self) -> list[Phase]:
        """The evidence by phase: the deciding one first, the one before the change last."""
        titles = (
            ("after", _("After the change")),
            ("undo", _("After restoring")),
            ("before", _("Before the change")),
        )
        found = (Phase(phase, title, self._of(phase)) for phase, title in titles)
        return [one for one in found if one.rows]

    @property
    def decisive(self) -> list[Evidence]:
        """The checks of the last look: after restoring, where that was done."""
        return self._of("undo") or self._of("after")

    def _of(self, phase: str) -> list[Evidence]:
        return [one for one in self.evidence if one.phase == phase]

    @property
    def rehearsal(self) -> StepShown | None:
        return next((one for one in self.steps if one.step is Step.REHEARSAL), None)


def journal_of(reports: Iterable[ReportLike]) -> Journal:
    """Read reports in their order. The steps that restore only appear once one of them began."""
    journal = Journal()
    steps = {step: StepShown(step) for step in Step}
    for report in reports:
        journal.last_seq += 1
        if report.kind == "step":
            _note_step(steps, report)
        elif report.kind == "evidence":
            journal.evidence = _evidence(journal.evidence, report.data)
        elif report.kind == "interruption":
            journal.interruptions.append(with_sentences(report.data))
        elif report.kind == "outcome":
            journal.decided_by = _text(with_sentences(report.data).get("decided_by"))
    journal.steps = [steps[step] for step in FORWARD]
    if any(steps[step].status != "waiting" for step in BACK):
        journal.restoring = [steps[step] for step in BACK]
    return journal


def _note_step(steps: dict[Step, StepShown], report: ReportLike) -> None:
    try:
        row = steps[Step(str(report.data.get("step")))]
    except ValueError:
        return
    row.status = str(report.data.get("status", "started"))
    if row.status == "started":
        row.started_at, row.ended_at = report.at, None
    else:
        row.started_at = row.started_at or report.at
        row.ended_at = report.at
    data = with_sentences(report.data)
    detail = _text(data.get("detail") or data.get("decided_by"))
    row.detail = detail or row.detail


def _text(value: Any) -> str:
    """As it is: what a sentence was made of must not be lost."""
    return value if isinstance(value, str) else ""


def _evidence(so_far: list[Evidence], data: Mapping[str, Any]) -> list[Evidence]:
    """A later look of the same phase takes the place of the earlier one."""
    phase = str(data.get("phase", "after"))
    new = [
        Evidence(
            title=_text(item.get("title") or item.get("name")),
            expected=_text(item.get("expected")),
            seen=_text(item.get("seen")),
            ok=bool(item.get("ok", False)),
            phase=phase,
            name=str(item.get("name") or ""),
        )
        for item in map(with_sentences, observations_of(data))
    ]
    return [one for one in so_far if one.phase != phase] + new


@dataclass(slots=True)
class Row:
    """One line of a timeline: a step from its begin to its end, or a moment."""

    at: datetime
    title: str
    detail: str = ""
    status: str = ""
    milliseconds: float | None = None


def rows_of(entries: Iterable[Entry]) -> list[Row]:
    """A timeline with one row for each step, and each finding once."""
    rows: list[Row] = []
    begun: dict[str, Row] = {}
    found: set[tuple[str, str]] = set()
    for entry in entries:
        step = str(entry.data.get("step", "")) if entry.kind == "step" else ""
        if entry.kind == "finding":
            if (entry.title, entry.detail) in found:
                continue
            found.add((entry.title, entry.detail))
        open_row = begun.pop(step, None) if entry.status != "started" else None
        if open_row is not None:
            open_row.status = entry.status
            open_row.detail = entry.detail or open_row.detail
            open_row.milliseconds = (entry.at - open_row.at).total_seconds() * 1000
            continue
        row = Row(entry.at, entry.title, entry.detail, entry.status)
        if step and entry.status == "started":
            begun[step] = row
        rows.append(row)
    return rows

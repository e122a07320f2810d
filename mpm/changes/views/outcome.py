"""The card at the top of a change: its progress while it runs, its outcome afterwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from easyapache.ea4.conditions.condition import TAKE_BACK
from easyapache.ea4.mpm import short
from easyapache.ea4.protocol import Step
from easyapache.ea4.sentences import with_sentences
from mpm.changes.aftermath import half_way
from mpm.changes.lifecycle import past_the_point
from mpm.changes.models.change import Origin
from mpm.changes.views.steps import BACK, FORWARD, Journal
from mpm.history.customer import impact
from mpm.history.renamed import findings_of
from mpm.history.story import label, last_word, simulated
from mpm.models import Change, State
from mpm.web.translation import in_words

DOING: Mapping[Step, Any] = {
    Step.PREFLIGHT: gettext_lazy("Checking the server"),
    Step.DOWNLOAD: gettext_lazy("Downloading packages"),
    Step.REHEARSAL: gettext_lazy("Starting a second Apache as a trial"),
    Step.PACKAGES: gettext_lazy("Installing and removing packages"),
    Step.CONFIGTEST: gettext_lazy("Testing the configuration"),
    Step.RESTART: gettext_lazy("Restarting Apache"),
    Step.VERIFY: gettext_lazy("Verifying the server"),
    Step.UNDO_PACKAGES: gettext_lazy("Restoring the previous packages"),
    Step.UNDO_RESTART: gettext_lazy("Restarting Apache with the previous packages"),
    Step.UNDO_VERIFY: gettext_lazy("Verifying the restored server"),
}
"""What each step does, for people who follow a change."""


@dataclass(frozen=True, slots=True)
class Progress:
    """A change that has not ended. ``done`` of ``most`` half steps are behind it; ``since`` is
    when its clock began, None before it does; ``mark`` is for the title of the tab."""

    title: str
    about: str
    mark: str
    done: int
    most: int
    since: datetime | None = None


def progress(change: Change, journal: Journal) -> Progress:
    """How far a change is that has not ended."""
    if change.state == State.SCHEDULED:
        about = _("Nothing has changed yet. You can close this page.")
        return Progress(_("Scheduled"), about, "⏲", 0, len(FORWARD) * 2)
    since = change.started_at or change.queued_at or change.requested_at
    current = journal.current
    if current is None:
        about = _("Nothing has changed yet. You can cancel the change, or close this page.")
        return Progress(_("Waiting for the agent"), about, "0/7", 0, len(FORWARD) * 2, since)
    row = FORWARD if current.step in FORWARD else BACK
    number = row.index(current.step) + 1
    words = {"number": number, "count": len(row), "doing": DOING[current.step]}
    if row is FORWARD:
        title = _("Step %(number)s of %(count)s: %(doing)s") % words
    else:
        title = _("Restoring, step %(number)s of %(count)s: %(doing)s") % words
    return Progress(
        title=title,
        about=_about(change, current.step),
        mark=f"{number}/{len(row)}",
        done=2 * number - (1 if current.status == "started" else 0),
        most=2 * len(row),
        since=since,
    )


def _about(change: Change, step: Step) -> str:
    """One sentence of what can still be done, and what happens if a step fails."""
    if change.state == State.CANCELING:
        return _("Cancel requested. Waiting for the server.")
    if step in BACK:
        return _(
            "A step failed, and the previous state is being restored. You can close this page."
        )
    if not past_the_point(step.value):
        return _("Nothing has changed yet. You can cancel the change, or close this page.")
    return _(
        "Past the point of no return. If anything fails, the previous packages are restored "
        "automatically. You can close this page."
    )


@dataclass(frozen=True, slots=True)
class Cell:
    """One figure of the card."""

    title: str
    text: str
    plus: int = 0
    minus: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a change ended. ``tone`` is a color of the style sheet, ``icon`` one of check, warning,
    cross and dash; ``mark`` is for the title of the tab."""

    title: str
    about: str
    tone: str
    icon: str
    mark: str
    cells: Sequence[Cell] = field(default_factory=tuple)


def outcome(change: Change, journal: Journal) -> Outcome:
    """How a change ended, in a title, a sentence and up to four figures."""
    server, after = change.server_name, label(change.to_mpm, change.to_itk)
    before = label(change.from_mpm, change.from_itk)
    words = {"server": server, "mpm": after if change.state == State.SUCCEEDED else before}
    cause = last_word(change)
    if change.origin == Origin.OUTSIDE:
        title = _("Changed outside the panel")
        return Outcome(title, cause, "", "dash", "–", _figures(change, journal))
    if change.state == State.SUCCEEDED:
        if (change.from_mpm, change.from_itk) == (change.to_mpm, change.to_itk):
            title = _("Succeeded. %(server)s still runs %(mpm)s.") % words
        else:
            title = _("Succeeded. %(server)s now runs %(mpm)s.") % words
        about = f"{impact(change)} {_checked(journal)}".strip()
        return Outcome(title, about, "green", "check", "✓", _figures(change, journal))
    if change.state == State.RESTORED:
        title = _("Failed, rolled back. %(server)s still runs %(mpm)s.") % words
        return Outcome(title, cause, "amber", "warning", "↩", _figures(change, journal))
    if change.state == State.NOT_STARTED:
        title = _("Not started. Nothing was changed.")
        return Outcome(title, cause, "amber", "dash", "–")
    if change.state == State.CANCELED:
        return Outcome(_("Canceled. Nothing was changed."), _how_canceled(change), "", "dash", "–")
    if half_way(change):
        title = _("Needs attention. Apache on %(server)s may be down.") % words
        about = _("The change failed and could not be fully undone.")
    else:
        title, about = _("Needs attention. The change failed."), cause
    return Outcome(title, about, "red", "cross", "✗", _figures(change, journal))


def _how_canceled(change: Change) -> str:
    """By whom, which is all that the title leaves open."""
    if change.cancel_requested_by:
        return _("Canceled by %(who)s.") % {"who": change.cancel_requested_by}
    return last_word(change)


def _checked(journal: Journal) -> str:
    seen = journal.decisive
    if not seen:
        return ""
    passed = sum(one.ok for one in seen)
    if passed == len(seen):
        return ngettext("%(count)s check passed.", "All %(count)s checks passed.", len(seen)) % {
            "count": len(seen)
        }
    words = {"passed": passed, "count": len(seen)}
    return _("%(passed)s of %(count)s checks passed.") % words


def _figures(change: Change, journal: Journal) -> list[Cell]:
    cells = []
    installed, removed = len(change.plan.get("install", ())), len(change.plan.get("remove", ()))
    if (installed or removed) and change.state == State.SUCCEEDED:
        cells.append(Cell(_("Packages"), "", installed, removed))
    probes = sum(_number(one.get("probes")) for one in journal.interruptions)
    if change.refused is not None and probes and not simulated(change):
        words = {"refused": change.refused, "probes": probes}
        cells.append(Cell(_("Refused"), _("%(refused)s of %(probes)s") % words))
        cells.append(Cell(_("Longest wait"), f"{change.longest_wait_ms or 0:.0f} ms"))
    if seen := journal.decisive:
        words = {"passed": sum(one.ok for one in seen), "count": len(seen)}
        cells.append(Cell(_("Checks"), _("%(passed)s of %(count)s") % words))
    return cells


def _number(value: Any) -> int:
    return value if isinstance(value, int) else 0


@dataclass(frozen=True, slots=True)
class Cause:
    """One recognized condition."""

    title: str
    message: str
    remedy: str
    repair: str


def causes(change: Change, card: Outcome) -> list[Cause]:
    """The recognized conditions, each once: of a finding with the same message as another, or as
    the card above, only the remedy is shown; that an incomplete change must be undone is on the
    card itself."""
    mentioned = {_plain(card.about), _plain(card.title)}
    found: dict[str, Cause] = {}
    for one in map(with_sentences, findings_of(change.diagnosis)):
        if one.get("repair") == TAKE_BACK and half_way(change):
            continue
        title, message = (in_words(one.get(name) or "") for name in ("title", "message"))
        key = _plain(message) or _plain(title)
        if key in found:
            continue
        new = "" if _plain(message) in {_plain(title), *mentioned} else message
        remedy, repair = in_words(one.get("remedy") or ""), str(one.get("repair") or "")
        if not new and not remedy and not repair and _plain(title) in mentioned:
            continue
        found[key] = Cause(title, new, remedy, repair)
    return list(found.values())


def _plain(text: str) -> str:
    return text.strip().rstrip(".").casefold()


def outside_title(change: Change) -> str:
    """What a change made outside the panel did to the packages, where the MPM stayed."""
    installed, removed = (
        [short(str(item.get("name", ""))) for item in change.plan.get(key, ())]
        for key in ("install", "remove")
    )
    names = ", ".join(sorted({*installed, *removed})[:3])
    if len({*installed, *removed}) > 3:
        return _("%(count)s packages changed") % {"count": len({*installed, *removed})}
    if removed and not installed:
        return _("%(names)s removed") % {"names": names}
    if installed and not removed:
        return _("%(names)s installed") % {"names": names}
    return _("%(names)s changed") % {"names": names} if names else ""

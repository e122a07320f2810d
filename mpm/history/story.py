"""One change, told to somebody who was not there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from easyapache.ea4.mpm import short
from easyapache.ea4.sentences import spoken
from mpm.changes.models.change import SOMEBODY, Origin
from mpm.history import seal_payload
from mpm.history.outside import undecided
from mpm.models import Change, Event, Report, State
from mpm.web.translation import in_words


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the timeline. ``kind`` is the event's or report's; ``status`` is one of
    ``""``, started, done, failed, skipped."""

    at: datetime
    kind: str
    title: str
    detail: str = ""
    status: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BeforeAfter:
    """What one observation of the server said before the change and says after it."""

    title: str
    before: str
    after: str

    @property
    def moved(self) -> bool:
        return self.before != self.after


def label(mpm: str, itk: bool) -> str:
    name = mpm or _("no single MPM")
    return _("%(mpm)s with ITK") % {"mpm": name} if itk else name


def moved_packages(change: Change) -> tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]]:
    """(in, out) as the plan lists them; an update is in both."""
    return list(change.plan.get("install", ())), list(change.plan.get("remove", ()))


def story(change: Change) -> list[str]:
    """Plain sentences: when, who, what, why, what moved, how it ended, what visitors noticed."""
    return [sentence for part in _parts(change) for sentence in part]


def paragraphs(change: Change) -> list[str]:
    """The same as a text to read: what was wanted, what came of it, what visitors noticed."""
    return [" ".join(part) for part in _parts(change) if part]


def _parts(change: Change) -> tuple[list[str], list[str], list[str]]:
    if change.origin == Origin.OUTSIDE:
        return _from_outside(change), _said(change), _decision(change)
    moves = _moves(change) if change.state == State.SUCCEEDED else []
    return _request(change), [*_ending(change), *moves], _visitors(change)


def _request(change: Change) -> list[str]:
    sentences = [_opening(change)]
    if change.reason:
        sentences.append(_("The reason given: “%(reason)s”.") % {"reason": change.reason})
    if change.ticket:
        sentences.append(_("It belongs to ticket %(ticket)s.") % {"ticket": change.ticket})
    if change.rollback_of_id:
        sentences.append(
            _("It takes the server back to how it was before change #%(number)s.")
            % {"number": change.rollback_of_id}
        )
    return sentences


def _when(moment: datetime) -> str:
    local = timezone.localtime(moment)
    return _("On %(day)s at %(time)s") % {
        "day": date_format(local, "DATE_FORMAT"),
        "time": date_format(local, "TIME_FORMAT"),
    }


def _words(change: Change) -> dict[str, str]:
    return {
        "when": _when(change.started_at or change.requested_at),
        "server": change.server_name,
        "from": label(change.from_mpm, change.from_itk),
        "to": label(change.to_mpm, change.to_itk),
        "who": author(change),
        "way": str(change.get_origin_display()),
    }


def author(change: Change) -> str:
    """Who made it, in the reader's language where nobody knows."""
    return _("somebody on the server") if change.actor_name == SOMEBODY else change.actor_name


def _same(change: Change) -> bool:
    return (change.from_mpm, change.from_itk) == (change.to_mpm, change.to_itk)


def _opening(change: Change) -> str:
    if _same(change):
        text = _(
            "%(when)s, packages of %(to)s on %(server)s were to be changed, "
            "asked for by %(who)s (%(way)s)."
        )
    else:
        text = _(
            "%(when)s, %(server)s was to go from %(from)s to %(to)s, "
            "asked for by %(who)s (%(way)s)."
        )
    return text % _words(change)


def opening_from_outside(change: Change) -> str:
    """When and by whom a change was made without this panel, and what it did to the MPM."""
    if _same(change):
        text = _(
            "%(when)s, packages of %(server)s were changed by %(who)s, without this panel. "
            "The MPM stayed as it was: %(to)s."
        )
    else:
        text = _(
            "%(when)s, %(server)s was taken from %(from)s to %(to)s by %(who)s, without this panel."
        )
    return text % _words(change)


def _from_outside(change: Change) -> list[str]:
    sentences = [opening_from_outside(change)]
    if change.reason:
        sentences.append(_("The command was “%(command)s”.") % {"command": change.reason})
    if change.finished_at is not None:
        local = timezone.localtime(change.finished_at)
        found = {"moment": date_format(local, "DATETIME_FORMAT")}
        sentences.append(_("A look at the server showed it on %(moment)s.") % found)
    return sentences


def _decision(change: Change) -> list[str]:
    """What the panel's people say of what somebody else did."""
    if change.adopted_at is None:
        waits = _("It waits for a decision: nobody has adopted it, and nobody has taken it back.")
        return [waits] if undecided(change) else [_("It was taken back.")]
    local = timezone.localtime(change.adopted_at)
    return [
        _("%(who)s adopted it on %(moment)s: it is meant to be so.")
        % {"who": change.adopted_by, "moment": date_format(local, "DATETIME_FORMAT")}
    ]


def _moves(change: Change) -> list[str]:
    came, went = moved_packages(change)
    updated = {item["name"] for item in came} & {item["name"] for item in went}
    words = {
        "arrived": _and([short(item["name"]) for item in came if item["name"] not in updated]),
        "left": _and([short(item["name"]) for item in went if item["name"] not in updated]),
    }
    if words["arrived"] and words["left"]:
        return [_("New on the server: %(arrived)s. Gone from it: %(left)s.") % words]
    if words["arrived"]:
        return [_("New on the server: %(arrived)s.") % words]
    return [_("Gone from the server: %(left)s.") % words] if words["left"] else []


def _and(names: list[str]) -> str:
    if len(names) < 2:
        return "".join(names)
    return _("%(names)s and %(last)s") % {"names": ", ".join(names[:-1]), "last": names[-1]}


def _ending(change: Change) -> list[str]:
    if change.state == State.SUCCEEDED:
        ended = _("It succeeded.")
    elif change.state == State.RESTORED:
        ended = _("It did not pass, and the server was taken back to how it was.")
    elif change.state == State.NOT_STARTED:
        ended = _("It was not started.")
    elif change.state == State.FAILED:
        ended = _("It failed.")
    elif change.state == State.CANCELED:
        ended = _("It was cancelled before anything was touched.")
    elif change.silent_since is not None:
        ended = _(
            "It has not ended, and the agent of the server has not been heard since %(since)s."
        ) % {"since": date_format(timezone.localtime(change.silent_since), "TIME_FORMAT")}
    elif change.state == State.SCHEDULED and change.not_before is not None:
        local = timezone.localtime(change.not_before)
        ended = _("It waits until %(moment)s.") % {"moment": date_format(local, "DATETIME_FORMAT")}
    else:
        ended = _("It has not ended.")
    return [ended, *_said(change)]


def _said(change: Change) -> list[str]:
    """The sentence that was written when it ended."""
    if not change.sentence:
        return []
    words = {"sentence": change.sentence_words}
    return [in_words(spoken({"sentence": change.sentence, "words": words})["sentence"])]


def _visitors(change: Change) -> list[str]:
    if change.interruption is None:
        return []
    if change.state == State.SUCCEEDED and "refused" in change.sentence:
        return []  # the agent's own sentence has said it
    if change.refused is None:
        return [_("What visitors noticed of the restart was not measured.")]
    wait = f"{change.longest_wait_ms or 0:.0f}"
    if change.refused == 0 and change.interruption.get("partial"):
        return [
            _(
                "No visitor was refused while it was measured (with gaps); "
                "the longest wait for an answer was %(wait)s ms."
            )
            % {"wait": wait}
        ]
    if change.refused == 0:
        return [
            _("No visitor was refused; the longest wait for an answer was %(wait)s ms.")
            % {"wait": wait}
        ]
    return [
        ngettext(
            "%(count)s probe connection was refused or reset; the longest wait was %(wait)s ms.",
            "%(count)s probe connections were refused or reset; the longest wait was %(wait)s ms.",
            change.refused,
        )
        % {"count": change.refused, "wait": wait}
    ]


EVENT_TITLES = {
    "change.scheduled": lambda: _("Asked for, to begin later"),
    "change.queued": lambda: _("Asked for"),
    "change.running": lambda: _("Begun on the server"),
    "change.canceling": lambda: _("Cancel asked for"),
    "change.cancel_refused": lambda: _("The cancel came too late"),
    "change.canceled": lambda: _("Canceled"),
    "change.succeeded": lambda: _("Succeeded"),
    "change.restored": lambda: _("Failed, rolled back"),
    "change.not_started": lambda: _("Not started"),
    "change.failed": lambda: _("Failed"),
    "change.silent": lambda: _("The agent fell silent"),
    "change.recover": lambda: _("Recovery asked for"),
    "change.late_outcome": lambda: _("The agent told its outcome later"),
    seal_payload.TOLD_LATER: lambda: _("What came after the end was sealed"),
    seal_payload.OUTSIDE: lambda: _("Found by a scan"),
    seal_payload.ADOPTED: lambda: _("Adopted"),
    "change.shared": lambda: _("A link to this page was made"),
    "change.unshared": lambda: _("The links to this page were taken back"),
}

STEP_TITLES = {
    "preflight": lambda: _("Checks before anything is touched"),
    "download": lambda: _("Download"),
    "rehearsal": lambda: _("Dress rehearsal"),
    "packages": lambda: _("Packages"),
    "configtest": lambda: _("Configuration test"),
    "restart": lambda: _("Restart"),
    "verify": lambda: _("Verification"),
    "undo_packages": lambda: _("Packages taken back"),
    "undo_restart": lambda: _("Restart with the old packages"),
    "undo_verify": lambda: _("Verification of the way back"),
}


def timeline(
    change: Change,
    reports: Iterable[Report] | None = None,
    events: Iterable[Event] | None = None,
) -> list[Entry]:
    """Events of the panel and reports of the agent in the order of their times.

    ``reports`` and ``events``: where the caller has them; one query for each it has not.
    """
    if events is None:
        events = change.events.order_by("seq")
    entries = [
        Entry(
            at=event.at,
            kind=event.kind_now,
            title=EVENT_TITLES.get(event.kind_now, lambda: "")() or event.kind_now,
            detail=" · ".join(part for part in (event.actor_name, _reason(event)) if part),
            data=event.data_now,
        )
        for event in events
    ]
    if reports is None:
        reports = change.reports.order_by("seq")
    told = ("step", "finding", "moved")
    entries += [_told(report) for report in reports if report.kind in told]
    return sorted(entries, key=lambda entry: entry.at)


def _reason(event: Event) -> str:
    """A person's as it is; a server's in the reader's language."""
    reason = str(event.data.get("reason") or "")
    return in_words(reason) if event.kind == "change.cancel_refused" else reason


def _told(report: Report) -> Entry:
    data = spoken(report.data)
    if report.kind == "step":
        step = str(data.get("step", ""))
        title = STEP_TITLES.get(step, lambda: "")() or step
        detail, status = in_words(data.get("detail") or ""), str(data.get("status") or "")
        return Entry(report.at, "step", title, detail, status, data)
    if report.kind == "moved":
        return Entry(report.at, "moved", _("The server's answer was another one"), data=data)
    title, message = (in_words(data.get(name) or "") for name in ("title", "message"))
    return Entry(report.at, "finding", title, message, data=data)


def observations_of(data: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Those of a report, whatever an agent once wrote there."""
    seen = data.get("observations")
    return [item for item in seen if isinstance(item, Mapping)] if isinstance(seen, list) else []


def evidence(change: Change) -> dict[str, Sequence[Mapping[str, Any]]]:
    """What was observed, by phase (before, after, undo)."""
    found: dict[str, Sequence[Mapping[str, Any]]] = {}
    for report in change.reports.filter(kind="evidence").order_by("seq"):
        found[str(report.data.get("phase", "after"))] = observations_of(report.data)
    return found


def before_and_after(change: Change) -> list[BeforeAfter]:
    """MPM, ITK and the packages that moved; a change that did not succeed left all as it was."""
    done = change.state == State.SUCCEEDED
    yes_no = {True: _("on"), False: _("off")}
    came, went = moved_packages(change)
    rows = [
        BeforeAfter(
            _("MPM"),
            label(change.from_mpm, False),
            label(change.to_mpm if done else change.from_mpm, False),
        ),
        BeforeAfter(
            _("ITK"), yes_no[change.from_itk], yes_no[change.to_itk if done else change.from_itk]
        ),
    ]
    new = {item["name"]: item["evr"] for item in came}
    old = {item["name"]: item["evr"] for item in went}
    for name in sorted(new.keys() | old.keys()):
        was = old.get(name, _("not installed"))
        rows.append(
            BeforeAfter(short(name), was, new.get(name, _("not installed")) if done else was)
        )
    return rows

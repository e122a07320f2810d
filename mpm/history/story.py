"""The story of one change, for people who did not follow it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from easyapache.ea4.mpm import short
from easyapache.ea4.sentences import with_sentences
from mpm.changes.aftermath import half_way
from mpm.changes.models.change import SOMEBODY, Origin
from mpm.history import renamed, seal_payload
from mpm.history.outside import undecided
from mpm.models import Change, Event, Report, State
from mpm.servers.models import Server
from mpm.web.dates import written
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
    """One observation of the server, before and after the change."""

    title: str
    before: str
    after: str

    @property
    def moved(self) -> bool:
        return self.before != self.after


def label(mpm: str, itk: bool) -> str:
    name = mpm or _("no single MPM")
    return _("%(mpm)s with ITK") % {"mpm": name} if itk else name


def what_changes(change: Change) -> str:
    """``prefork → event``, or where both sides are the same MPM, ``packages of prefork``."""
    before, after = label(change.from_mpm, change.from_itk), label(change.to_mpm, change.to_itk)
    return _("packages of %(mpm)s") % {"mpm": after} if _same(change) else f"{before} → {after}"


def direction(change: Change) -> str:
    """What a sentence says after "change": from which MPM to which, or to which packages."""
    words = {
        "from": label(change.from_mpm, change.from_itk),
        "to": label(change.to_mpm, change.to_itk),
    }
    if _same(change):
        return _("to the packages of %(to)s") % words
    return _("from %(from)s to %(to)s") % words


def moved_packages(change: Change) -> tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]]:
    """(in, out) as the plan lists them; an update is in both."""
    return list(change.plan.get("install", ())), list(change.plan.get("remove", ()))


def story(change: Change) -> list[str]:
    """Plain sentences: when, who, what, why, what moved, how it ended, what visitors noticed."""
    return [sentence for part in _parts(change) for sentence in part]


def paragraphs(change: Change) -> list[str]:
    """The same as a text: the request, the outcome, the visitor impact.

    The server's own word on a change that it could not undo is a command for root, which a page
    shows elsewhere."""
    return [" ".join(part) for part in _parts(change, own=not half_way(change)) if part]


def _parts(change: Change, *, own: bool = True) -> tuple[list[str], list[str], list[str]]:
    cause = [last_word(change)] if own and last_word(change) else []
    if change.origin == Origin.OUTSIDE:
        return _from_outside(change), cause, _decision(change)
    moves = _moves(change) if change.state == State.SUCCEEDED else []
    return _request(change), [_ending(change), *cause, *moves], _visitors(change)


def _request(change: Change) -> list[str]:
    sentences = [_opening(change)]
    if change.reason:
        sentences.append(_quoted(_("Reason: “%(words)s”"), change.reason))
    if change.ticket:
        sentences.append(_("Ticket: %(ticket)s.") % {"ticket": change.ticket})
    if change.rollback_of_id:
        sentences.append(_("Rolls back change #%(number)s.") % {"number": change.rollback_of_id})
    return sentences


def _quoted(template: str, words: str) -> str:
    """What somebody wrote, as a sentence: its own end is not written twice."""
    words = words.strip()
    return template % {"words": words} + ("" if words.endswith((".", "!", "?", "…")) else ".")


def _when(moment: datetime) -> str:
    local = timezone.localtime(moment)
    return _("On %(day)s at %(time)s") % {
        "day": written(local, "DATE_FORMAT"),
        "time": written(local, "TIME_FORMAT"),
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
    """Who made it, or in the reader's language that this is unknown."""
    return _("a user on the server") if change.actor_name == SOMEBODY else change.actor_name


def _same(change: Change) -> bool:
    return (change.from_mpm, change.from_itk) == (change.to_mpm, change.to_itk)


def _opening(change: Change) -> str:
    if _same(change):
        text = _("%(when)s, %(who)s requested a package change for %(to)s on %(server)s (%(way)s).")
    else:
        text = _(
            "%(when)s, %(who)s requested a change of %(server)s from %(from)s to %(to)s (%(way)s)."
        )
    return text % _words(change)


def opening_from_outside(change: Change) -> str:
    """When and by whom an external change was made, and its effect on the MPM."""
    if _same(change):
        text = _(
            "%(when)s, packages on %(server)s were changed outside this panel by %(who)s. The "
            "MPM is still %(to)s."
        )
    else:
        text = _(
            "%(when)s, %(server)s was changed from %(from)s to %(to)s outside this panel by "
            "%(who)s."
        )
    return text % _words(change)


def _from_outside(change: Change) -> list[str]:
    sentences = [opening_from_outside(change)]
    if change.reason:
        sentences.append(_quoted(_("Command: “%(words)s”"), change.reason))
    if change.finished_at is not None:
        local = timezone.localtime(change.finished_at)
        found = {"moment": written(local, "DATETIME_FORMAT")}
        sentences.append(_("Detected on %(moment)s.") % found)
    return sentences


def _decision(change: Change) -> list[str]:
    """The decision about an external change."""
    if change.adopted_at is None:
        waits = _("This external change hasn’t been reviewed yet.")
        return [waits] if undecided(change) else [_("It was rolled back.")]
    local = timezone.localtime(change.adopted_at)
    return [
        _("Accepted by %(who)s on %(moment)s.")
        % {"who": change.adopted_by, "moment": written(local, "DATETIME_FORMAT")}
    ]


def _moves(change: Change) -> list[str]:
    came, went = moved_packages(change)
    updated = {item["name"] for item in came} & {item["name"] for item in went}
    words = {
        "arrived": _and([short(item["name"]) for item in came if item["name"] not in updated]),
        "left": _and([short(item["name"]) for item in went if item["name"] not in updated]),
    }
    if words["arrived"] and words["left"]:
        return [_("Installed: %(arrived)s. Removed: %(left)s.") % words]
    if words["arrived"]:
        return [_("Installed: %(arrived)s.") % words]
    return [_("Removed: %(left)s.") % words] if words["left"] else []


def _and(names: list[str]) -> str:
    if len(names) < 2:
        return "".join(names)
    return _("%(names)s and %(last)s") % {"names": ", ".join(names[:-1]), "last": names[-1]}


def _ending(change: Change) -> str:
    if change.state == State.SUCCEEDED:
        ended = _("The change succeeded.")
    elif change.state == State.RESTORED:
        ended = _("The change failed, and the previous state was restored automatically.")
    elif change.state == State.NOT_STARTED:
        ended = _("The change was not started.")
    elif change.state == State.FAILED:
        ended = _("The change failed.")
    elif change.state == State.CANCELED:
        ended = _("The change was canceled. Nothing was changed.")
    elif change.silent_since is not None:
        ended = _("The change isn’t finished, and the agent has been offline since %(since)s.") % {
            "since": written(timezone.localtime(change.silent_since), "TIME_FORMAT")
        }
    elif change.state == State.SCHEDULED and change.not_before is not None:
        local = timezone.localtime(change.not_before)
        ended = _("Scheduled for %(moment)s.") % {"moment": written(local, "DATETIME_FORMAT")}
    else:
        ended = _("The change isn’t finished.")
    return ended


def last_word(change: Change) -> str:
    """The sentence that was written when it ended, "" where there is none."""
    if not change.sentence:
        return ""
    words = {"sentence": change.sentence_words}
    return in_words(with_sentences({"sentence": change.sentence, "words": words})["sentence"])


def simulated(change: Change) -> bool:
    """Whether its figures are those of a simulated server, which has no visitors."""
    measured = change.interruption or {}
    return change.server.kind == Server.Kind.SIMULATED and measured.get("method") == "simulated"


def _visitors(change: Change) -> list[str]:
    if change.interruption is None:
        return []
    if simulated(change):
        return [_("Visitor impact isn’t measured on a simulated server.")]
    if change.state == State.SUCCEEDED and "refused" in change.sentence:
        return []  # it is in the agent's own sentence
    if change.refused is None:
        return [_("Visitor impact wasn’t measured.")]
    wait = f"{change.longest_wait_ms or 0:.0f}"
    if change.refused == 0 and change.interruption.get("partial"):
        return [
            _("No connections were refused while measured (with gaps). Longest wait: %(wait)s ms.")
            % {"wait": wait}
        ]
    if change.refused == 0:
        return [_("No connections were refused. Longest wait: %(wait)s ms.") % {"wait": wait}]
    return [
        ngettext(
            "%(count)s probe connection was refused or reset. Longest wait: %(wait)s ms.",
            "%(count)s probe connections were refused or reset. Longest wait: %(wait)s ms.",
            change.refused,
        )
        % {"count": change.refused, "wait": wait}
    ]


EVENT_TITLES = {
    "change.scheduled": lambda: _("Scheduled"),
    "change.queued": lambda: _("Requested"),
    "change.running": lambda: _("Started"),
    "change.canceling": lambda: _("Cancel requested"),
    "change.cancel_refused": lambda: _("Too late to cancel"),
    "change.canceled": lambda: _("Canceled"),
    "change.succeeded": lambda: _("Succeeded"),
    "change.restored": lambda: _("Failed, rolled back"),
    "change.not_started": lambda: _("Not started"),
    "change.failed": lambda: _("Failed"),
    "change.silent": lambda: _("Agent offline"),
    "change.recover": lambda: _("Recovery requested"),
    "change.late_outcome": lambda: _("Late result from the agent"),
    seal_payload.LATE_REPORT: lambda: _("Late report recorded"),
    seal_payload.OUTSIDE: lambda: _("Detected by a scan"),
    seal_payload.ADOPTED: lambda: _("Accepted"),
    "change.shared": lambda: _("Share link created"),
    "change.unshared": lambda: _("Share links revoked"),
}

STEP_TITLES = {
    "preflight": lambda: _("Preflight"),
    "download": lambda: _("Download"),
    "rehearsal": lambda: _("Trial start"),
    "packages": lambda: _("Packages"),
    "configtest": lambda: _("Config test"),
    "restart": lambda: _("Restart"),
    "verify": lambda: _("Verify"),
    "undo_packages": lambda: _("Restore packages"),
    "undo_restart": lambda: _("Restore: restart"),
    "undo_verify": lambda: _("Restore: verify"),
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
    kinds = ("step", "finding", "moved")
    entries += [_report_entry(report) for report in reports if report.kind in kinds]
    return sorted(entries, key=lambda entry: entry.at)


def _reason(event: Event) -> str:
    """A person's as it is; a server's in the reader's language."""
    reason = str(event.data.get("reason") or "")
    return in_words(reason) if event.kind == "change.cancel_refused" else reason


def _report_entry(report: Report) -> Entry:
    data = with_sentences(report.data)
    if report.kind == "step":
        step = str(data.get("step", ""))
        title = STEP_TITLES.get(step, lambda: "")() or step
        detail, status = in_words(data.get("detail") or ""), str(data.get("status") or "")
        return Entry(report.at, "step", title, detail, status, data)
    if report.kind == "moved":
        return Entry(report.at, "moved", _("The server’s plan was different"), data=data)
    data = with_sentences(renamed.finding_of(report.data))
    title, message = (in_words(data.get(name) or "") for name in ("title", "message"))
    return Entry(report.at, "finding", title, message, data=data)


def observations_of(data: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The entries of a report, from any version of the agent."""
    seen = data.get("observations")
    return [item for item in seen if isinstance(item, Mapping)] if isinstance(seen, list) else []


def evidence(change: Change) -> dict[str, Sequence[Mapping[str, Any]]]:
    """The observations by phase (before, after, undo)."""
    found: dict[str, Sequence[Mapping[str, Any]]] = {}
    for report in change.reports.filter(kind="evidence").order_by("seq"):
        found[str(report.data.get("phase", "after"))] = observations_of(report.data)
    return found


def before_and_after(change: Change) -> list[BeforeAfter]:
    """MPM, ITK and the changed packages; a failed change left all as it was."""
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

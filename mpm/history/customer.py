"""The part of a change that customers see: in the ticket, and by a share link.

No internals of the server: no path, command, address, account or reason, and no sentence of an
agent or a program. The creator of the link chooses more parts.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from mpm.changes.aftermath import Aftermath, aftermath, half_way, not_started
from mpm.changes.models.change import Origin
from mpm.history.story import direction, label, moved_packages, simulated, what_changes
from mpm.models import Change, State
from mpm.web.dates import written

REQUESTER, REASON, CHECKS = "requester", "reason", "checks"
MAY_INCLUDE = (REQUESTER, REASON, CHECKS)


@dataclass(frozen=True, slots=True)
class Fact:
    """One line: ``name`` stays the same in every language."""

    name: str
    title: str
    text: str


def exact_time(moment: datetime) -> str:
    """To the second and with its zone, as it may be copied anywhere."""
    return written(timezone.localtime(moment), "EXACT_FORMAT")


def headline(change: Change) -> str:
    """``Change #15: prefork → event on lab.example.test``."""
    words = {"number": change.pk, "what": what_changes(change), "server": host_name(change)}
    return _("Change #%(number)s: %(what)s on %(server)s") % words


def host_name(change: Change) -> str:
    return change.server.hostname or change.server_name


def customer_facts(
    change: Change,
    include: Collection[str] = (),
    *,
    checks: tuple[int, int] | None = None,
) -> list[Fact]:
    """Outcome, time, impact, what was done and how it is now; and the requested parts of
    MAY_INCLUDE. ``checks``: the numbers of passed and of all checks."""
    after = aftermath(change)
    facts = [
        Fact("outcome", _("Outcome"), outcome(change, after)),
        Fact("server", _("Server"), host_name(change)),
        Fact("time", _("Time"), _period(change)),
        Fact("impact", _("Visitor impact"), impact(change)),
        Fact("done", _("What was done"), _done(change)),
        Fact("now", _("Status now"), _now(change, after)),
    ]
    if REQUESTER in include and change.origin != Origin.OUTSIDE:
        facts.append(Fact(REQUESTER, _("Requested by"), change.actor_name))
    if REASON in include and change.reason and change.origin != Origin.OUTSIDE:
        facts.append(Fact(REASON, _("Reason"), change.reason))
    if CHECKS in include and checks is not None and checks[1]:
        text = _("%(passed)s of %(count)s passed") % {"passed": checks[0], "count": checks[1]}
        facts.append(Fact(CHECKS, _("Checks"), text))
    return facts


def ticket_text(change: Change, address: str = "") -> str:
    """Text for a ticket, and where its readers with an account find the rest."""
    lines = [headline(change), ""]
    lines += [f"{fact.title}: {fact.text}" for fact in customer_facts(change)]
    return "\n".join([*lines, *(["", address] if address else [])])


def outcome(change: Change, after: Aftermath) -> str:
    """How it ended, in one or two words and what became of it."""
    if change.origin == Origin.OUTSIDE:
        return _("Changed outside the panel")
    if not_started(change):
        return _("Not started")
    if half_way(change):
        return _("Failed, repaired") if after.repaired_at else _("Failed, needs attention")
    if change.state == State.SUCCEEDED and after.rolled_back_by:
        return _("Succeeded, rolled back later")
    if change.state == State.FAILED:
        return _("Failed, needs attention")
    names = {
        State.SUCCEEDED: _("Succeeded"),
        State.RESTORED: _("Failed, rolled back"),
        State.CANCELED: _("Canceled"),
    }
    return names.get(State(change.state), _("In progress"))


def _period(change: Change) -> str:
    start = change.started_at or change.requested_at
    if change.finished_at is None or change.origin == Origin.OUTSIDE:
        return exact_time(start)
    words = {"start": exact_time(start), "end": exact_time(change.finished_at)}
    return _("%(start)s – %(end)s") % words


def impact(change: Change) -> str:
    """What visitors noticed, and nothing that was not measured."""
    if change.origin == Origin.OUTSIDE:
        return _("Not measured.")
    if change.state == State.CANCELED or not_started(change):
        return _("None. Apache wasn't touched.")
    if simulated(change):
        return _("Not measured on a simulated server.")
    measured = change.interruption is not None and change.refused is not None
    if not measured:
        text = _("Not measured.")
    elif change.refused:
        text = ngettext(
            "%(count)s test connection was refused or interrupted.",
            "%(count)s test connections were refused or interrupted.",
            change.refused,
        ) % {"count": change.refused}
    else:
        text = _("No connections were refused.")
    if measured:
        wait = _("Longest wait: %(wait)s ms.") % {"wait": f"{change.longest_wait_ms or 0:.0f}"}
        text = f"{text} {wait}"
    if half_way(change):
        down = _("Apache may have been unavailable until the server was repaired.")
        text = f"{text} {down}"
    return text


def _done(change: Change) -> str:
    words = {
        "from": label(change.from_mpm, change.from_itk),
        "to": label(change.to_mpm, change.to_itk),
        "what": direction(change),
    }
    if change.state == State.CANCELED:
        return _("The change was canceled. Nothing was changed.")
    if not_started(change):
        return _("A check stopped the change before it began. Nothing was changed.")
    if change.state == State.FAILED:
        return _("The change %(what)s failed and couldn't be undone.") % words
    if change.state == State.RESTORED:
        return (
            _("The change %(what)s failed, and the previous state was restored automatically.")
            % words
        )
    came, went = moved_packages(change)
    numbers = {"installed": len(came), "removed": len(went)}
    packages = _("Packages: %(installed)s installed, %(removed)s removed.") % numbers
    if words["from"] == words["to"]:
        return packages
    changed = _("The MPM was changed from %(from)s to %(to)s.") % words
    return f"{changed} {packages}"


def _now(change: Change, after: Aftermath) -> str:
    before = {"mpm": label(change.from_mpm, change.from_itk)}
    if change.active:
        return _("The change is in progress.")
    if after.repaired_at is not None:
        return _("Repaired on %(time)s. The server is on %(mpm)s again.") % {
            "time": exact_time(after.repaired_at),
            **before,
        }
    if after.rolled_back_by:
        return _("The change was rolled back later. The server is on %(mpm)s again.") % before
    if after.being_rolled_back_by:
        return _("The change is being rolled back.")
    if change.state == State.FAILED:
        return _("Not resolved yet.")
    if change.state == State.SUCCEEDED:
        return _("The server is on %(mpm)s.") % {"mpm": label(change.to_mpm, change.to_itk)}
    text = _("The server is on %(mpm)s, as before.") % before
    again = _("The change was tried again later.")
    return f"{text} {again}" if after.tried_again_as else text

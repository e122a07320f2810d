"""The ``package_manager_…`` functions that act: an MPM or ITK change, and how far it is.

A script written for WHM hands over lists of packages. Where these amount to another MPM, or to
ITK on or off, they become a change of this panel, with plan, rules, rollback and history; ``build``
is its number. Everything else is refused, with the reason.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from django.utils import timezone

from easyapache.ea4.mpm import ITK, MPM, BadChoice, Choice, installed
from easyapache.ea4.plan import Plan, make_plan
from easyapache.ea4.profile import Profile
from easyapache.ea4.profile_file import canonical
from easyapache.ea4.relations import load_catalogue
from mpm.access.scopes import Scope
from mpm.access.services.actor import NothingToDo, UnderWay
from mpm.changes import log_bytes
from mpm.changes.services.fresh_look import look_again, on_a_fresh_look
from mpm.changes.services.lookup import change_numbered
from mpm.changes.services.planning import plan_for, profile_of, request_preview, settled
from mpm.changes.services.request import UP_TO_THE_SERVER, refuse_if_satisfied, request_change
from mpm.changes.services.unfinished import unfinished
from mpm.models import ACTIVE_STATES, Change, Preview
from mpm.servers.models import Server
from mpm.web.page_context import liveness
from mpm.web.polling import ANSWERS, wait_for
from mpm.whmapi.call import Call, function
from mpm.whmapi.envelope import Failed

FAMILY = frozenset({ITK, *(mpm.package for mpm in MPM), *(mpm.cgi_package for mpm in MPM)})
"""Packages that any MPM change may change; a client need not name them."""
LOG_PIECE = 128 * 1024
ANSWER_SECONDS = 15
NO_BUILD = 0
"""The number of a build without changes, on a server that was never changed."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """The packages a client requests to change, by rpm name."""

    install: frozenset[str]
    uninstall: frozenset[str]
    upgrade: frozenset[str] = frozenset()


def choice_of(wanted: Wanted, names: Collection[str]) -> Choice:
    """The choice that corresponds to these requests on a server with ``names`` installed; it may be
    the current one.

    Raises Failed if they concern neither the MPM nor ITK. Pure.
    """
    now = installed(names)
    chosen = [mpm for mpm in MPM if mpm.package in wanted.install]
    if len(chosen) > 1:
        raise Failed("Apache has one MPM at a time; “install” names several.")
    if chosen:
        mpm = chosen[0]
    elif now.mpm is None:
        raise Failed("The server doesn't have exactly one MPM. Name the one to install.")
    elif MPM(now.mpm).package in wanted.uninstall:
        raise Failed("This would leave Apache without an MPM. Name the one to install.")
    else:
        mpm = MPM(now.mpm)
    if ITK in wanted.install:
        itk = True
    else:
        itk = now.itk and ITK not in wanted.uninstall and not mpm.threaded
    add = wanted.install - FAMILY - frozenset(names)
    if (mpm.value, itk) == (now.mpm, now.itk):
        others = sorted((wanted.install | wanted.uninstall) - FAMILY)
        if others:
            raise Failed(
                "This panel only changes the MPM and MPM ITK. Use the server's package manager "
                f"for “{others[0]}”."
            )
        add = frozenset()
    try:
        return Choice.parse(mpm.value, itk, add)
    except BadChoice as error:
        raise Failed(str(error)) from error


def check_moves(
    plan: Plan, wanted: Wanted, names: Collection[str], implied: Collection[str] = ()
) -> None:
    """Raises Failed if the plan would do more, or less, than the client requested. ``implied``:
    names that may be removed without being named."""
    surprising = sorted(plan.removed - wanted.uninstall - FAMILY - frozenset(implied))
    if surprising:
        raise Failed(
            f"This would also remove {', '.join(surprising)}. To agree, add "
            f"{'&'.join(f'uninstall={name}' for name in surprising)} to the call."
        )
    staying = sorted((wanted.uninstall & frozenset(names)) - plan.removed)
    if staying:
        raise Failed(
            f"{', '.join(staying)} would stay: removing {'it' if len(staying) == 1 else 'them'} is "
            "not part of this MPM or ITK change."
        )
    installed = {item.name for item in plan.install}
    idle = sorted(wanted.upgrade - installed)
    if idle:
        raise Failed(f"This panel doesn't upgrade packages: {', '.join(idle)}.")


@function("package_manager_submit_actions", Scope.CHANGE)
def submit_actions(call: Call) -> dict[str, Any]:
    """Answers at once; the change continues by itself, and ``build`` is its number. If an
    unfinished change is the same, it is that one's.

    A script that lost an answer repeats its request. If the server already has the requested state,
    ``build`` is that of the latest change to it, which is finished: nothing is changed, and
    ``output`` says so.
    """
    try:
        change = on_a_fresh_look(call.server, lambda: _on_what_is_true(call))
    except UnderWay as same:
        change = same.change
    except NothingToDo as nothing:
        return {"build": _latest_build(call.server), "output": str(nothing.message)}
    return {"build": change.pk}


def _latest_build(server: Server) -> int:
    """Of the latest change that has ended on this server; NO_BUILD where there is none yet."""
    ended = Change.objects.filter(server=server).exclude(state__in=ACTIVE_STATES)
    return ended.order_by("-pk").values_list("pk", flat=True).first() or NO_BUILD


def _on_what_is_true(call: Call) -> Change:
    """The lists are compared with the installed packages; if they don't fit the last scan, the
    server is scanned again. Raises Failed and the exceptions of request_change."""
    began = timezone.now()
    try:
        return _requested(call)
    except Failed:
        if not look_again(call.server, since=began):
            raise
    return _requested(call)


def _requested(call: Call) -> Change:
    """Raises Failed and what request_change does.

    If the caller's token allows implied removals, packages that conflict by the panel's rules may
    leave without being named. Those are the rules' for the profile that the change is created with,
    under the lock of the server, whatever another change did since this call began. A package
    manager that would remove more is refused.
    """
    token, relations = call.caller.token, load_catalogue()
    lenient = token is not None and token.implied_removals
    names = profile_of(call.server).names
    known = {*relations.entries, *names}
    lists = {
        key: frozenset(canonical(name, known) for name in call.parameters.many(key))
        for key in ("install", "uninstall", "upgrade")
    }
    if not any(lists.values()):
        raise Failed("Provide the “install”, “uninstall” or “upgrade” argument.")
    foreign = sorted(name for name in frozenset().union(*lists.values()) if name not in known)
    if foreign:
        raise Failed(f"There is no package “{foreign[0][:100]}”.")
    wanted = Wanted(**lists)
    choice = choice_of(wanted, names)
    if unfinished(call.server) is None:
        refuse_if_satisfied(call.server, choice)

    def check(profile: Profile, plan: Plan, accepted: bool) -> None:
        if choice_of(wanted, profile.names) != choice:
            raise Failed(f"{call.server} has just changed. Try again.")
        if not accepted:
            # It may have been done by hand in the meantime.
            refuse_if_satisfied(call.server, choice)
        if not plan.blocked:
            implied = plan.removed if accepted else make_plan(profile, choice, relations).removed
            check_moves(plan, wanted, profile.names, implied if lenient else ())

    return request_change(
        call.server,
        choice,
        actor=call.caller.actor,
        preview=_answer(call, choice),
        check=check,
        reason=call.parameters.text("reason")[:500],
        ticket=call.parameters.text("ticket")[:100],
    )


def _answer(call: Call, choice: Choice) -> Preview | None:
    """The server's own plan for the choice; None if it can't be requested now.

    Such a client does not confirm a plan, so it is requested here from the server. Raises
    Unanswered if its package manager finds no solution.
    """
    server = call.server
    plan = plan_for(server, choice)
    blocks = {finding.code for finding in plan.blocks}
    idle = plan.empty or unfinished(server) is not None or liveness(server) != "alive"
    if idle or not blocks <= UP_TO_THE_SERVER:
        return None
    preview = request_preview(server, choice, call.caller.actor)
    return wait_for(lambda: settled(preview), ANSWER_SECONDS, places=ANSWERS)


@function("package_manager_is_performing_actions")
def is_performing_actions(call: Call) -> dict[str, Any]:
    change = _build(call)
    return {"active": int(change is not None and change.active)}


@function("package_manager_get_build_log")
def get_build_log(call: Call) -> dict[str, Any]:
    """The lines from an offset in bytes, and the offset of the next ones.

    A line that is still being written is not split: a later call returns it.
    """
    change = _build(call)
    offset = call.parameters.integer("offset", minimum=0, default=0)
    if change is None:
        return {"content": [], "offset": 0, "still_running": 0}
    piece = log_bytes.read(change, offset, LOG_PIECE)
    at_end = offset + len(piece) >= change.log_size
    if not (change.finished and at_end):
        whole = piece.rfind(b"\n") + 1
        piece = piece[:whole] if whole or len(piece) < LOG_PIECE else piece
    return {
        "content": piece.decode("utf-8", "replace").splitlines(),
        "offset": offset + len(piece),
        "still_running": int(not (change.finished and offset + len(piece) >= change.log_size)),
    }


def _build(call: Call) -> Change | None:
    """None for ``NO_BUILD``. Raises Failed."""
    number = call.parameters.integer("build", minimum=NO_BUILD)
    if number == NO_BUILD:
        return None
    change = Change.objects.filter(pk=number).first()
    if change is None or not call.caller.reaches(change.server):
        raise Failed(f"There is no build {number}.")
    return change_numbered(number)


@function("package_manager_fixcache", Scope.PLAN)
def fix_cache(call: Call) -> dict[str, Any]:
    """Scans the server again, so that its package data is current."""
    if not look_again(call.server):
        raise Failed(f"{call.server} didn't answer.")
    return {"cache_seems_ok_now": 1}

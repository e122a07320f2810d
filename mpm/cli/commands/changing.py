"""Commands that change a server: switch, rollback, cancel."""

from __future__ import annotations

import sys

from mpm.cli.commands import display
from mpm.cli.commands.following import follow
from mpm.cli.commands.language import _
from mpm.cli.commands.reading import SERVER_PATIENCE, change_number, choice, ended, planned
from mpm.cli.commands.running import Run
from mpm.cli.commands.statuses import DONE, BadUsage, Json, Refused

UP_TO_THE_SERVER = frozenset({"no_such_package", "unsatisfiable", "extra_package_conflicts"})
"""Blockers of an estimate that the server's own dnf may resolve: it knows repositories and
relations that the panel does not."""


def switch(run: Run) -> int:
    options = run.options
    _check_waiting(run)
    if options.stored and options.digest:
        raise BadUsage(_("--stored can't be combined with --digest."))
    name = run.server()
    wanted = {
        **choice(run, name),
        "reason": options.reason,
        "ticket": options.ticket,
        "dry_run": options.dry_run,
        "not_before": options.not_before,
        "not_after": options.not_after,
        "digest": options.digest,
    }
    if not options.digest and not options.dry_run:
        body = _checked(run, name, wanted)
        if body is not None and (body["plan"] is None or body["change"] is not None):
            return _requested(run, body)
        estimate = body["plan"] if body is not None else None
        found = _plan(run, name, estimate)
        if "digest" not in found or found["blocked"]:
            return planned(run, found)
        _confirm(run, found)
        wanted["digest"] = found["digest"]
    return _requested(run, run.panel.switch(name, wanted, options.key or ""))


def _check_waiting(run: Run) -> None:
    if run.options.timeout is not None and not run.options.wait:
        raise BadUsage(_("--timeout is used with --wait only."))


def _checked(run: Run, name: str, wanted: Json) -> Json | None:
    """The result of a dry run: refusals come before the server's dnf runs. None if only the plan
    itself can show it."""
    try:
        return run.panel.switch(name, {**wanted, "dry_run": True})
    except Refused as refused:
        blocks = {
            item["code"]
            for item in refused.problem.get("findings", ())
            if item["severity"] == "block"
        }
        open_yet = refused.code == "blocked" and blocks <= UP_TO_THE_SERVER
        if refused.code == "digest_required" or (open_yet and not run.options.stored):
            return None
        raise


def _plan(run: Run, name: str, estimate: Json | None) -> Json:
    if run.options.stored:
        return estimate or run.panel.plan(name, choice(run, name))
    return run.panel.plan_of_server(name, choice(run, name), SERVER_PATIENCE)


def _confirm(run: Run, found: Json) -> None:
    """Show the plan and have it confirmed. Raises BadUsage where it is not."""
    display.plan(run.aside if run.options.json else run.console, found)
    if run.options.yes:
        return
    if sys.stdin is None or not sys.stdin.isatty():
        raise BadUsage(
            _("Confirm this plan with --yes, or exactly this one with --digest {digest}.").format(
                digest=found["digest"]
            ),
            "not_confirmed",
        )
    run.aside.write_line(_("Make this change? [y/N]"), end=" ")
    if sys.stdin.readline().strip().lower() not in ("y", "yes", _("y"), _("yes")):
        raise BadUsage(_("Nothing was changed."), "not_confirmed")


def _requested(run: Run, body: Json) -> int:
    """Show the result of a request, and follow its change with ``--wait``."""
    change = body["change"]
    if change is None:
        run.answer(body, display.detail)
        if body["plan"] is not None and not run.options.json:
            display.plan(run.console, body["plan"])
        return DONE
    run.begun = change["id"]
    if run.options.wait:
        return _followed(run)
    run.answer(body, display.detail)
    _print_follow_hint(run)
    return DONE


def _print_follow_hint(run: Run) -> None:
    if not run.options.json:
        command = run.hint(f"log -f {run.begun}")
        run.aside.write_line(_("Follow it with: {command}").format(command=command), "dim")


def _followed(run: Run) -> int:
    """Show a change until it has finished; returns the exit status for its outcome."""
    body = follow(run, str(run.begun))
    run.answer(body, display.ending)
    if not body["finished"]:
        _print_follow_hint(run)
    return ended(body)


def rollback(run: Run) -> int:
    options = run.options
    _check_waiting(run)
    body = run.panel.roll_back(
        change_number(run), {"reason": options.reason, "ticket": options.ticket}
    )
    run.begun = body["id"]
    if options.wait:
        return _followed(run)
    run.answer(body, display.ending)
    _print_follow_hint(run)
    return DONE


def cancel(run: Run) -> int:
    run.answer(run.panel.cancel(change_number(run)), display.ending)
    return DONE

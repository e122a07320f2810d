"""Commands for tokens and webhooks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from mpm.cli.commands import display
from mpm.cli.commands.connection import address
from mpm.cli.commands.language import _
from mpm.cli.commands.running import Run
from mpm.cli.commands.statuses import DONE, BadUsage, Json


def tokens(run: Run) -> int:
    run.answer(run.panel.pages("tokens"), display.tokens)
    return DONE


def token(run: Run) -> int:
    key = run.options.id
    run.answer(run.panel.get(address("tokens", key) if key else "token"), display.token)
    return DONE


def create_token(run: Run) -> int:
    options = run.options
    expires = options.expires
    if options.days:
        try:
            end = datetime.now(UTC) + timedelta(days=options.days)
        except OverflowError as error:
            raise BadUsage(f"--days: {error}") from error
        expires = end.isoformat(timespec="seconds")
    wanted = {
        "name": options.name,
        "purpose": options.purpose,
        "scopes": options.scope,
        "servers": options.servers,
        "networks": options.network,
        "sandbox": options.sandbox,
        "implied_removals": options.implied_removals,
        "expires_at": expires,
        "per_minute": options.per_minute,
    }
    return _print_secret(run, run.panel.post("tokens", wanted), "token")


def _print_secret(run: Run, body: Json, name: str) -> int:
    """The secret alone is on standard output, so that a script can catch it."""
    run.answer(body, lambda console, value: console.write_line(value[name]))
    run.aside.write_line(_("It is shown this once only."), "dim")
    return DONE


def update_token(run: Run) -> int:
    options = run.options
    given = {
        "name": options.name,
        "purpose": options.purpose,
        "implied_removals": options.implied_removals,
    }
    body = run.panel.patch(address("tokens", options.id), _named_ones(given))
    run.answer(body, display.token)
    return DONE


def _named_ones(given: Json) -> Json:
    """The options that were named. Raises BadUsage where none was."""
    wanted = {name: value for name, value in given.items() if value is not None}
    if not wanted:
        raise BadUsage(_("Name at least one option to update."))
    return wanted


def rotate_token(run: Run) -> int:
    path = address("tokens", run.options.id, "rotate")
    body = run.panel.post(path, {"overlap_hours": run.options.overlap_hours})
    return _print_secret(run, body, "token")


def revoke_token(run: Run) -> int:
    path = address("tokens", run.options.id)
    run.panel.delete(path)
    run.answer(run.panel.get(path), display.token)
    return DONE


def webhooks(run: Run) -> int:
    run.answer(run.panel.pages("webhooks"), display.webhooks)
    return DONE


def webhook(run: Run) -> int:
    run.answer(run.panel.get(_path(run)), display.webhook)
    return DONE


def _path(run: Run, *more: str) -> str:
    return address("webhooks", run.options.webhook, *more)


def create_webhook(run: Run) -> int:
    options = run.options
    wanted = {
        "name": options.name,
        "url": options.endpoint,
        "format": options.format or "generic",
        "kinds": options.kind,
        "servers": options.servers,
    }
    body = run.panel.post("webhooks", wanted)
    if not options.json:
        display.webhook(run.aside, body)
    return _print_secret(run, body, "secret")


def update_webhook(run: Run) -> int:
    options = run.options
    given = {
        "name": options.name,
        "url": options.endpoint,
        "format": options.format,
        "kinds": options.kind,
        "servers": options.servers,
        "active": options.active,
    }
    run.answer(run.panel.patch(_path(run), _named_ones(given)), display.webhook)
    return DONE


def rotate_webhook(run: Run) -> int:
    return _print_secret(run, run.panel.post(_path(run, "rotate"), {}), "secret")


def test_webhook(run: Run) -> int:
    run.answer(run.panel.post(_path(run, "test"), {}), display.delivery)
    return DONE


def delete_webhook(run: Run) -> int:
    body = run.panel.get(_path(run))
    run.panel.delete(_path(run))
    run.answer(body, display.deleted)
    return DONE


def deliveries(run: Run) -> int:
    body = run.panel.pages(_path(run, "deliveries"), run.options.limit)
    run.answer(body, display.deliveries)
    return DONE


def redeliver(run: Run) -> int:
    path = _path(run, "deliveries", run.options.delivery, "redeliver")
    body = run.panel.post(path, {})
    run.answer(body, display.delivery)
    return DONE

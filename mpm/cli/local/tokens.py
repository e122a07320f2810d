"""``token``: make, list, rotate and revoke API tokens."""

from __future__ import annotations

import argparse
from datetime import timedelta
from typing import Any

from django.utils import timezone
from django.utils.dateparse import parse_datetime

from mpm.access import tokens
from mpm.access.scopes import Scope
from mpm.access.services.actor import BadRequest, NotFound
from mpm.cli.local.terminal import DONE, Terminal, actor
from mpm.models import Token


def register(commands: Any, common: argparse.ArgumentParser) -> None:
    group = commands.add_parser("token", help="make, list, rotate and revoke API tokens")
    actions = group.add_subparsers(dest="action", required=True)
    add = actions.add_parser("add", parents=[common])
    add.add_argument("name")
    add.add_argument("--purpose", default="")
    add.add_argument("--scope", action="append", required=True, choices=list(Scope))
    add.add_argument(
        *("--server", "--on"),
        dest="on",
        action="append",
        default=[],
        metavar="SERVER",
        help="for this one only, and others named like this; default: all",
    )
    add.add_argument("--network", action="append", default=[], help="default: from anywhere")
    until = add.add_mutually_exclusive_group()
    until.add_argument("--days", type=int, help="until it expires; default: never")
    until.add_argument("--expires", metavar="TIME", help="as 2027-01-01T00:00:00Z")
    add.add_argument("--per-minute", type=int, help="requests; default: the panel's own limit")
    add.add_argument("--sandbox", action="store_true", help="simulated servers only")
    add.set_defaults(run=run_add)
    listing = actions.add_parser("list", parents=[common])
    listing.set_defaults(run=run_list)
    turn = actions.add_parser("rotate", parents=[common])
    turn.add_argument("key_id")
    turn.add_argument("--overlap-hours", type=int, default=24)
    turn.set_defaults(run=run_rotate)
    end = actions.add_parser("revoke", parents=[common])
    end.add_argument("key_id")
    end.set_defaults(run=run_revoke)


def run_add(terminal: Terminal, options: dict[str, Any]) -> int:
    issued = tokens.issue(
        actor(),
        name=options["name"],
        purpose=options["purpose"],
        scopes=options["scope"],
        servers=options["on"],
        networks=options["network"],
        sandbox=options["sandbox"],
        per_minute=options["per_minute"],
        expires_at=_expiry(options),
    )
    return _told_once(terminal, issued)


def _expiry(options: dict[str, Any]) -> Any:
    if options["days"] is not None:
        return timezone.now() + timedelta(days=options["days"])
    if not options["expires"]:
        return None
    try:
        moment = parse_datetime(options["expires"])
    except ValueError as error:
        raise BadRequest(f"{options['expires']}: {error}") from error
    if moment is None or timezone.is_naive(moment):
        raise BadRequest("Write the time with its zone, as 2027-01-01T00:00:00Z.")
    return moment


def _told_once(terminal: Terminal, issued: tokens.Issued) -> int:
    terminal.answer({**_row(issued.token), "token": issued.text})
    terminal.say(issued.text)
    terminal.warn("This is the only time the token is shown.")
    return DONE


def run_list(terminal: Terminal, _options: dict[str, Any]) -> int:
    rows = [_row(token) for token in Token.objects.order_by("-pk")]
    terminal.answer(rows)
    for row in rows:
        where = ", ".join(row["servers"]) or "every server"
        terminal.say(
            f"{row['key_id']}  {row['state']:8} {row['name']}: "
            f"{', '.join(row['scopes'])} on {where}; used {row['last_used_at'] or 'never'}; "
            f"pepper {row['pepper']}"
        )
    return DONE


def run_rotate(terminal: Terminal, options: dict[str, Any]) -> int:
    overlap = timedelta(hours=max(0, options["overlap_hours"]))
    return _told_once(terminal, tokens.rotate(_named(options["key_id"]), actor(), overlap))


def run_revoke(terminal: Terminal, options: dict[str, Any]) -> int:
    token = _named(options["key_id"])
    ended = tokens.revoke(token, actor())
    terminal.answer({"key_id": token.key_id, "revoked": ended})
    terminal.say(f"{token.name} is revoked." if ended else f"{token.name} was revoked already.")
    return DONE


def _named(key_id: str) -> Token:
    token = Token.objects.filter(key_id=key_id).first() if key_id.isalnum() else None
    if token is None:
        raise NotFound(f"There is no token {key_id[:40]!r}.")
    return token


def _row(token: Token) -> dict[str, Any]:
    def moment(value: Any) -> str | None:
        return value.isoformat(timespec="seconds") if value else None

    return {
        "key_id": token.key_id,
        "name": token.name,
        "purpose": token.purpose,
        "scopes": token.scopes,
        "servers": token.servers,
        "networks": token.networks,
        "sandbox": token.sandbox,
        "state": token.state(timezone.now()),
        "created_by": token.created_by_name,
        "expires_at": moment(token.expires_at),
        "last_used_at": moment(token.last_used_at),
        "pepper": token.pepper_id,
    }

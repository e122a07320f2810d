"""``server`` and ``user``: what the panel knows, and who may use it."""

from __future__ import annotations

import argparse
from typing import Any

from django.contrib.auth.models import User

from mpm.access.rights import ROLES
from mpm.access.services.actor import NotFound
from mpm.access.services.users import add_user, reset_password, set_active, set_role
from mpm.changes.services.lookup import server_named
from mpm.cli.local.terminal import DONE, Terminal, actor
from mpm.servers.health import health_of, with_health
from mpm.servers.models import Server
from mpm.servers.services.servers import add_server, alter_server


def register(commands: Any, common: argparse.ArgumentParser) -> None:
    server = commands.add_parser("server", help="add, list and alter servers")
    actions = server.add_subparsers(dest="action", required=True)
    add = actions.add_parser("add", parents=[common])
    add.add_argument("name")
    add.add_argument("--hostname", default="")
    add.add_argument("--kind", choices=Server.Kind.values, default=Server.Kind.REAL.value)
    add.add_argument("--require-digest", action="store_true")
    add.add_argument("--note", default="")
    add.set_defaults(run=run_server_add)
    listing = actions.add_parser("list", parents=[common])
    listing.set_defaults(run=run_server_list)
    alter = actions.add_parser("set", parents=[common])
    alter.add_argument("name")
    alter.add_argument("--hostname")
    alter.add_argument("--note")
    alter.add_argument("--active", action=argparse.BooleanOptionalAction)
    alter.add_argument("--require-digest", action=argparse.BooleanOptionalAction)
    alter.set_defaults(run=run_server_set)

    user = commands.add_parser("user", help="add, list and alter accounts")
    actions = user.add_subparsers(dest="action", required=True)
    add = actions.add_parser("add", parents=[common])
    add.add_argument("name")
    add.add_argument("--role", choices=ROLES, required=True)
    add.set_defaults(run=run_user_add)
    listing = actions.add_parser("list", parents=[common])
    listing.set_defaults(run=run_user_list)
    alter = actions.add_parser("set", parents=[common])
    alter.add_argument("name")
    alter.add_argument("--role", choices=ROLES)
    alter.add_argument("--active", action=argparse.BooleanOptionalAction)
    alter.set_defaults(run=run_user_set)
    again = actions.add_parser("password", parents=[common])
    again.add_argument("name")
    again.set_defaults(run=run_user_password)


def _server_as_json(server: Server) -> dict[str, Any]:
    return {
        "name": server.name,
        "hostname": server.hostname,
        "kind": server.kind,
        "active": server.active,
        "require_digest": server.require_digest,
        "note": server.note,
        "last_seen_at": server.last_seen_at.isoformat() if server.last_seen_at else None,
    }


def run_server_add(terminal: Terminal, options: dict[str, Any]) -> int:
    server = add_server(
        options["name"],
        actor=actor(),
        hostname=options["hostname"],
        kind=options["kind"],
        require_digest=options["require_digest"],
        note=options["note"],
    )
    terminal.answer(_server_as_json(server))
    terminal.say(f"Added {server.name}. Its agent listens to the queue host.{server.name}.")
    return DONE


def run_server_list(terminal: Terminal, _options: dict[str, Any]) -> int:
    servers = list(with_health(Server.objects.order_by("name")))
    terminal.answer(
        [{**_server_as_json(server), "health": health_of(server).as_json()} for server in servers]
    )
    for server in servers:
        seen = f"{server.last_seen_at:%Y-%m-%d %H:%M:%S} UTC" if server.last_seen_at else "never"
        health = health_of(server)
        terminal.say(
            f"{server.name:20} {server.kind:10} {health.word:16} {server.hostname:30} heard {seen}"
        )
    if not servers:
        terminal.say("None. Add one: manage.py mpm server add NAME")
    return DONE


def run_server_set(terminal: Terminal, options: dict[str, Any]) -> int:
    names = ("hostname", "note", "active", "require_digest")
    values = {name: options[name] for name in names if options[name] is not None}
    server = alter_server(server_named(options["name"]), actor(), **values)
    terminal.answer(_server_as_json(server))
    terminal.say(f"{server.name} is as asked.")
    return DONE


def _user_named(name: str) -> User:
    found = User.objects.filter(username=name).first()
    if found is None:
        raise NotFound(f"There is no account called {name[:80]!r}.", code="unknown_user")
    return found


def run_user_add(terminal: Terminal, options: dict[str, Any]) -> int:
    user, password = add_user(options["name"], options["role"], actor=actor())
    terminal.answer({"name": user.username, "role": options["role"], "password": password})
    terminal.say(f"{user.username} ({options['role']}), password: {password}")
    terminal.say("It is kept nowhere else and shown only now.")
    return DONE


def run_user_list(terminal: Terminal, _options: dict[str, Any]) -> int:
    rows: list[dict[str, Any]] = [
        {
            "name": user.username,
            "roles": [group.name for group in user.groups.all()],
            "active": user.is_active,
        }
        for user in User.objects.order_by("username").prefetch_related("groups")
    ]
    terminal.answer(rows)
    for row in rows:
        state = "" if row["active"] else "disabled"
        terminal.say(f"{row['name']:30} {', '.join(row['roles']):20} {state}".rstrip())
    return DONE


def run_user_set(terminal: Terminal, options: dict[str, Any]) -> int:
    user = _user_named(options["name"])
    if options["role"]:
        set_role(user, options["role"], actor())
    if options["active"] is not None:
        set_active(user, options["active"], actor())
    terminal.answer({"name": user.username, "active": user.is_active})
    terminal.say(f"{user.username} is as asked.")
    return DONE


def run_user_password(terminal: Terminal, options: dict[str, Any]) -> int:
    user = _user_named(options["name"])
    password = reset_password(user, actor())
    terminal.answer({"name": user.username, "password": password})
    terminal.say(f"{user.username}, new password: {password}")
    return DONE

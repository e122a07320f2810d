"""``webhook`` and ``events``: who is told of what happens, how telling went, and what happened."""

from __future__ import annotations

import argparse
from typing import Any

from django.utils import timezone

from mpm.access.services.actor import BadRequest, NotFound
from mpm.changes.services.lookup import server_named
from mpm.cli.local.terminal import DONE, FAILED, Terminal, actor, at_least_one, of_a_server
from mpm.history.event_cursor import events_after
from mpm.models import Delivery, Event, Webhook
from mpm.notify import webhooks
from mpm.schemas.event import Event as EventSchema
from mpm.web.polling import wait_for


def register(commands: Any, common: argparse.ArgumentParser) -> None:
    group = commands.add_parser("webhook", help="make, list, alter, test and remove webhooks")
    actions = group.add_subparsers(dest="action", required=True)
    add = actions.add_parser("add", parents=[common])
    add.add_argument("name")
    add.add_argument("url")
    _about(add)
    add.set_defaults(run=run_add)
    listing = actions.add_parser("list", parents=[common])
    listing.set_defaults(run=run_list)
    alter = actions.add_parser("set", parents=[common], help="only what is given is altered")
    alter.add_argument("webhook")
    alter.add_argument("--name")
    alter.add_argument("--url")
    _about(alter)
    alter.add_argument("--active", action=argparse.BooleanOptionalAction)
    alter.set_defaults(run=run_set)
    for name, run, words in (
        ("show", run_show, "a webhook and its latest deliveries"),
        ("rotate", run_rotate, "a new secret; the old one signs along for a day"),
        ("test", run_test, "send a delivery that tells nothing"),
        ("remove", run_remove, "with its deliveries"),
    ):
        one = actions.add_parser(name, parents=[common], help=words)
        one.add_argument("webhook")
        one.set_defaults(run=run)
    again = actions.add_parser("again", parents=[common], help="send a delivery once more")
    again.add_argument("delivery")
    again.set_defaults(run=run_again)

    events = commands.add_parser("events", parents=[common], help="what happened, oldest first")
    of_a_server(events, "only of this one")
    events.add_argument(
        "--after", default="0", metavar="POSITION", help="`next` of the last answer"
    )
    events.add_argument("--kind", action="append", default=[], help="only these; default: all")
    events.add_argument("--limit", type=at_least_one, default=100)
    events.add_argument(
        "--wait", type=float, default=0.0, metavar="SECONDS", help="for the next one"
    )
    events.set_defaults(run=run_events)


def _about(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--kind", action="append", help="of event; default: every kind")
    parser.add_argument(
        *("--server", "--on"),
        dest="on",
        action="append",
        metavar="SERVER",
        help="of this one only, and others named like this; default: every server",
    )


def run_add(terminal: Terminal, options: dict[str, Any]) -> int:
    made = webhooks.make(
        actor(),
        name=options["name"],
        url=options["url"],
        kinds=options["kind"] or (),
        servers=options["on"] or (),
    )
    return _told_once(terminal, made, webhooks.secret(made))


def run_rotate(terminal: Terminal, options: dict[str, Any]) -> int:
    webhook = _named(options["webhook"])
    secret = webhooks.rotate(webhook, actor())
    webhook.refresh_from_db()
    return _told_once(terminal, webhook, secret)


def _told_once(terminal: Terminal, webhook: Webhook, secret: str) -> int:
    terminal.answer({**_row(webhook), "secret": secret})
    terminal.say(f"{webhook.uuid} {secret}")
    return DONE


def run_list(terminal: Terminal, _options: dict[str, Any]) -> int:
    rows = [_row(webhook) for webhook in Webhook.objects.order_by("pk")]
    terminal.answer(rows)
    for row in rows:
        what = ", ".join(row["kinds"]) or "everything"
        where = ", ".join(row["servers"]) or "every server"
        state = "" if row["active"] else " (disabled)"
        terminal.say(f"{row['id']}  {row['name']}{state}: {what} on {where} to {row['url']}")
    return DONE


def run_show(terminal: Terminal, options: dict[str, Any]) -> int:
    webhook = _named(options["webhook"])
    sent = [_delivery(item) for item in webhook.deliveries.order_by("-pk")[:50]]
    terminal.answer({**_row(webhook), "deliveries": sent})
    terminal.say(f"{webhook.name}: {webhook.url}")
    for item in sent:
        last = item["log"][-1] if item["log"] else {}
        met = last.get("error") or last.get("status") or "not tried yet"
        terminal.say(f"  {item['id']}  {item['kind']:22} {item['state']:9} {met}")
    return DONE


def run_set(terminal: Terminal, options: dict[str, Any]) -> int:
    given = {
        "name": options["name"],
        "url": options["url"],
        "kinds": options["kind"],
        "servers": options["on"],
        "active": options["active"],
    }
    fields = {key: value for key, value in given.items() if value is not None}
    webhook = _named(options["webhook"])
    terminal.answer(_row(webhooks.change(webhook, actor(), fields) if fields else webhook))
    terminal.say(f"{webhook.name} is as asked.")
    return DONE


def run_test(terminal: Terminal, options: dict[str, Any]) -> int:
    sent = webhooks.send_test(_named(options["webhook"]), actor())
    terminal.answer(_delivery(sent))
    terminal.say(f"{sent.uuid} is on its way; look with: mpm webhook show")
    return DONE


def run_again(terminal: Terminal, options: dict[str, Any]) -> int:
    uuid = options["delivery"]
    found = Delivery.objects.filter(uuid=uuid).select_related("webhook").first()
    if found is None:
        raise NotFound(f"There is no delivery {uuid[:40]!r}.")
    done = webhooks.redeliver(found, actor())
    found.refresh_from_db()
    terminal.answer(_delivery(found))
    terminal.say("It is sent again." if done else "It is being sent at this moment.")
    return DONE if done else FAILED


def run_remove(terminal: Terminal, options: dict[str, Any]) -> int:
    webhook = _named(options["webhook"])
    row = _row(webhook)
    webhooks.remove(webhook, actor())
    terminal.answer(row)
    terminal.say(f"{row['name']} is removed.")
    return DONE


def run_events(terminal: Terminal, options: dict[str, Any]) -> int:
    """JSON as ``GET /events`` has it; a line for each otherwise, and where to go on."""
    try:
        position = int(options["after"], 16)
    except ValueError as error:
        raise BadRequest("--after takes what an earlier call said as “next”.") from error
    limit = max(1, min(options["limit"], 500))
    servers = [server_named(options["server"]).name] if options["server"] else None

    def look() -> list[Event] | None:
        nonlocal position
        found, position = events_after(
            position, limit, timezone.now(), servers=servers, kinds=options["kind"]
        )
        return found or None

    events = wait_for(look, options["wait"]) or []
    terminal.answer(
        {"items": [EventSchema.of(event).as_json() for event in events], "next": f"{position:x}"}
    )
    for event in events:
        about = f" #{event.change_id}" if event.change_id else ""
        at = f"{event.at:%Y-%m-%d %H:%M:%S} UTC"
        terminal.say(
            f"{at}  {event.kind_now:22} {event.server_name or '-'}{about}  {event.actor_name}"
        )
    terminal.say(f"Go on with: mpm events --after {position:x}")
    return DONE


def _named(uuid: str) -> Webhook:
    found = Webhook.objects.filter(uuid=uuid).first()
    if found is None:
        raise NotFound(f"There is no webhook {uuid[:40]!r}; see: mpm webhook list")
    return found


def _row(webhook: Webhook) -> dict[str, Any]:
    return {
        "id": webhook.uuid,
        "name": webhook.name,
        "url": webhook.url,
        "kinds": webhook.kinds,
        "servers": webhook.servers,
        "active": webhook.active,
        "created_at": webhook.created_at.isoformat(timespec="seconds"),
        "created_by": webhook.created_by_name,
        "pepper": webhook.pepper_id,
    }


def _delivery(delivery: Delivery) -> dict[str, Any]:
    def moment(value: Any) -> str | None:
        return value.isoformat(timespec="seconds") if value else None

    return {
        "id": delivery.uuid,
        "event": delivery.event_id,
        "kind": delivery.kind,
        "state": str(delivery.state),
        "attempts": delivery.attempts,
        "created_at": moment(delivery.created_at),
        "next_at": moment(delivery.next_at),
        "delivered_at": moment(delivery.delivered_at),
        "log": delivery.log,
    }

"""Writes a long history into an empty database: ``python -m bench.fill_history --rows 1000000``.

DATABASE_URL names the database, which must hold no history, no server and no account: history is
append-only, and invented history has no place beside a real one. The rows are those of a real
panel, sealed event by event, so that ``manage.py mpm verify`` passes; only the events are invented.
The same number of rows always gives the same history, except for its dates, which end now.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

import django

SERVERS, PEOPLE = 200, 40
"""In a long history. A short one has as many as leave each of them a page of changes."""
PAGE = 50
SPAN = timedelta(days=730)
"""The default of HISTORY_DAYS."""
BATCH = 2000
RARE = "needle"
"""A word in the reason of one change only, the oldest but one."""
RARE_TICKET = "HD-RARE"
"""The ticket of ten changes, spread over the whole time."""

_ENDS = {"succeeded": 930, "failed": 30, "restored": 30, "canceled": 10}
_ORIGINS = {"web": 60, "rest": 20, "whmapi": 8, "cli": 10, "schedule": 2}
_REASONS = (
    "HTTP/2 for the shop",
    "memory runs out in the evening",
    "each account under its own user",
    "back to what it was before the sale",
    "as agreed with the customer on the phone",
    "guideline of the house: event everywhere",
)
_PACKAGES = {
    "prefork": ("ea-apache24-mod_mpm_prefork", "ea-apache24-mod_cgi"),
    "worker": ("ea-apache24-mod_mpm_worker", "ea-apache24-mod_cgid"),
    "event": ("ea-apache24-mod_mpm_event", "ea-apache24-mod_cgid"),
}
_OTHERS = {"prefork": ("event", "worker"), "worker": ("prefork", "event")}
_OTHERS["event"] = ("prefork", "worker")


class NotEmpty(Exception):
    """The database is in use; nothing was written."""


@dataclass(slots=True)
class _Chain:
    """Where one server's events have got to."""

    mpm: str = "prefork"
    last: int | None = None
    """The number of its last change that succeeded."""
    seq: int = 0
    hash: str = ""


@dataclass(slots=True)
class _Writer:
    """Rows of one table, with all columns; missing values are defaults."""

    model: Any
    varying: tuple[str, ...]
    statement: str = ""
    constant: list[Any] = field(default_factory=list)
    places: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        from django.db import connection

        fields = self.model._meta.concrete_fields
        columns = ", ".join(connection.ops.quote_name(one.column) for one in fields)
        table = connection.ops.quote_name(self.model._meta.db_table)
        marks = ", ".join("%s" for _ in fields)
        self.statement = f"INSERT INTO {table} ({columns}) VALUES ({marks})"  # noqa: S608
        self.constant = [
            None if one.primary_key else one.get_db_prep_save(one.get_default(), connection)
            for one in fields
        ]
        names = [one.attname for one in fields]
        self.places = [names.index(name) for name in self.varying]

    def row(self, *values: Any) -> list[Any]:
        """``values`` in the order of ``varying``, ready for the database."""
        row = self.constant.copy()
        for place, value in zip(self.places, values, strict=True):
            row[place] = value
        return row


def refuse_unless_empty() -> None:
    """Raises NotEmpty, naming the existing rows."""
    from django.contrib.auth.models import User

    from mpm.models import Change, Event
    from mpm.servers.models import Server

    models: tuple[Any, ...] = (Change, Event, Server, User)
    for model in models:
        if model._default_manager.exists():
            raise NotEmpty(
                f"This database holds {model._meta.verbose_name_plural} already. A history is only "
                "invented in an empty one; nothing was written."
            )


def fill(rows: int, now: datetime) -> int:
    """Write ``rows`` changes and their events; returns how many events. Raises NotEmpty."""
    from django.core.management.color import no_style
    from django.db import connection, transaction

    from mpm.models import Chain, Change, Event
    from mpm.servers.models import Server

    refuse_unless_empty()
    names = [f"web{number:03}" for number in range(1, _at_most(SERVERS, rows) + 1)]
    Server.objects.bulk_create(
        Server(name=name, hostname=f"{name}.example.test", kind="simulated", created_at=now)
        for name in names
    )
    servers = dict(Server.objects.values_list("name", "pk"))
    chains = {name: _Chain() for name in names}
    story = _story(rows, now, servers, chains)
    events = 0
    while batch := list(islice(story, BATCH)):
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.executemany(_changes().statement, [change for change, _ in batch])
            rows_of_events = [event for _, pair in batch for event in pair]
            cursor.executemany(_events().statement, rows_of_events)
        events += len(rows_of_events)
    Chain.objects.bulk_create(
        Chain(server_name=name, seq=chain.seq, hash=chain.hash) for name, chain in chains.items()
    )
    with connection.cursor() as cursor:
        for statement in connection.ops.sequence_reset_sql(no_style(), [Change, Event]):
            cursor.execute(statement)
        cursor.execute("ANALYZE")
    return events


def _at_most(many: int, rows: int) -> int:
    return min(many, max(2, rows // (2 * PAGE)))


_VARYING = (
    *("id", "uuid", "server_id", "server_name", "state", "from_mpm", "to_mpm", "to_itk"),
    *("choice", "plan", "digest", "base_digest", "reason", "ticket", "origin", "actor_name"),
    *("actor_role", "request_id", "requested_at", "queued_at", "started_at", "finished_at"),
    *("sentence", "refused", "longest_wait_ms", "search", "rollback_of_id"),
)
_EVENT_COLUMNS = (
    *("id", "server_name", "seq", "at", "change_id", "kind", "actor_name", "actor_role", "origin"),
    *("request_id", "data", "previous_hash", "hash"),
)
_writers: dict[str, _Writer] = {}


def _changes() -> _Writer:
    from mpm.models import Change

    if "change" not in _writers:
        _writers["change"] = _Writer(Change, _VARYING)
    return _writers["change"]


def _events() -> _Writer:
    from mpm.models import Event

    if "event" not in _writers:
        _writers["event"] = _Writer(Event, _EVENT_COLUMNS)
    return _writers["event"]


def _story(
    rows: int, now: datetime, servers: dict[str, int], chains: dict[str, _Chain]
) -> Iterator[tuple[list[Any], list[list[Any]]]]:
    """Every change, oldest first, with its two events."""
    from django.db import connection

    dice = random.Random(rows)
    names = list(servers)
    people = [f"person{number:02}" for number in range(1, _at_most(PEOPLE, rows) + 1)]
    ends, weights = list(_ENDS), list(_ENDS.values())
    origins, shares = list(_ORIGINS), list(_ORIGINS.values())
    stored = connection.ops.adapt_datetimefield_value
    prepared = json.JSONEncoder(separators=(",", ":")).encode  # both databases take it as text
    seal = _sealer()
    begin, step = now - SPAN, SPAN / rows
    event = 0
    plans: dict[tuple[str, str, bool], tuple[dict[str, Any], str, str]] = {}
    for number in range(1, rows + 1):
        name, person = dice.choice(names), dice.choice(people)
        chain = chains[name]
        state = dice.choices(ends, weights)[0]
        origin = dice.choices(origins, shares)[0]
        before, after = chain.mpm, dice.choice(_OTHERS[chain.mpm])
        itk = after == "prefork" and number % 9 == 0
        rollback_of = chain.last if number % 50 == 0 else None
        if state == "succeeded":
            chain.mpm, chain.last = after, number
        requested = begin + step * (number - 1)
        ended = requested + timedelta(seconds=dice.uniform(2, 20))
        requested_stored, ended_stored = stored(requested), stored(ended)
        reason = RARE if number == 2 else dice.choice(_REASONS)
        ticket = f"HD-{dice.randrange(10000):05}" if number % 3 == 0 else ""
        if number % max(1, rows // 10) == 0:
            ticket = RARE_TICKET
        key = (before, after, itk)
        if key not in plans:
            plan = _plan(*key)
            moved = [item["name"] for item in (*plan["install"], *plan["remove"])]
            plans[key] = (plan, prepared(plan), " ".join(moved))
        plan, plan_stored, moving = plans[key]
        uuid, digest, base = f"{number:032x}", f"{number * 7:032x}", f"{number * 5:032x}"
        request = f"bench-{number}"
        change = _changes().row(
            *(number, uuid, servers[name], name, state, before, after, itk),
            *(prepared(plan["choice"]), plan_stored, digest, base, reason, ticket),
            *(origin, person, "administrator", request),
            *(requested_stored, requested_stored, requested_stored, ended_stored),
            f"The server runs {after}." if state == "succeeded" else f"It still runs {before}.",
            *(0, dice.uniform(1, 40), f"{reason}\n{ticket}\n{moving}".lower()),
            rollback_of,
        )
        request_data = {
            "uuid": uuid,
            "from": {"mpm": before, "itk": False},
            "to": {"mpm": after, "itk": itk},
            "reason": reason,
            "ticket": ticket,
            "digest": digest,
            "base_digest": base,
            "install": [item["name"] for item in plan["install"]],
            "remove": [item["name"] for item in plan["remove"]],
            "rollback_of": rollback_of,
            "not_before": None,
        }
        agent = f"agent of {name}"
        events: list[list[Any]] = []
        for at, at_stored, kind, *who, data in (
            (
                requested,
                requested_stored,
                "change.queued",
                person,
                "administrator",
                origin,
                request,
                request_data,
            ),
            (ended, ended_stored, f"change.{state}", agent, "agent", "schedule", "", {}),
        ):
            event += 1
            chain.seq += 1
            previous = chain.hash
            chain.hash = seal(previous, name, chain.seq, at, number, kind, *who, data)
            events.append(
                _events().row(
                    *(event, name, chain.seq, at_stored, number, kind, *who),
                    *(prepared(data), previous, chain.hash),
                )
            )
        yield change, events


def _sealer() -> Any:
    from mpm.history.seal import seal, stamp

    def sealed(
        previous: str, server: str, seq: int, at: datetime, change: int, kind: str, *rest: Any
    ) -> str:
        actor, role, origin, request, data = rest
        event = {
            "server_name": server,
            "seq": seq,
            "at": stamp(at),
            "change": change,
            "kind": kind,
            "actor_name": actor,
            "actor_role": role,
            "origin": origin,
            "token_name": "",
            "address": "",
            "agent_class": "",
            "request_id": request,
            "data": data,
        }
        return seal(previous, event)

    return sealed


def _plan(before: str, after: str, itk: bool) -> dict[str, Any]:
    """A stored plan without kept packages and without findings: a real one is ten times as long,
    and a million of them would take twenty gigabytes."""
    from easyapache.ea4.mpm import Choice
    from easyapache.ea4.plan import Plan, PlannedPackage
    from easyapache.ea4.profile import Observation
    from easyapache.ea4.protocol import Goal

    come = [name for name in _PACKAGES[after] if name not in _PACKAGES[before]]
    go = tuple(name for name in _PACKAGES[before] if name not in _PACKAGES[after])
    if itk:
        come.append("ea-apache24-mod_mpm_itk")
    plan = Plan(
        choice=Choice.parse(after, itk=itk),
        base_digest="0" * 32,
        before=Observation((before,)),
        install=tuple(PlannedPackage(name, "1.0-1.el9", "in") for name in come),
        remove=tuple(PlannedPackage(name, "1.0-1.el9", "out") for name in go),
        keep=(),
        findings=(),
        goal=Goal(install=tuple(come), remove=(), may_remove=go),
    )
    return plan.as_json()


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.fill_history", description=__doc__)
    parser.add_argument("--rows", type=int, required=True)
    rows = parser.parse_args(arguments).rows
    if rows < 1:
        parser.error("--rows is at least 1")
    if not os.environ.get("DATABASE_URL"):
        parser.error("DATABASE_URL is not set: this command never takes a database by itself")
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "easyapache.settings")
    django.setup()
    from django.core.management import call_command
    from django.db import connection
    from django.utils import timezone

    began = time.monotonic()
    call_command("migrate", verbosity=0, interactive=False)
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA synchronous=OFF")  # an interrupted fill is started again
            cursor.execute("PRAGMA cache_size=-500000")
    try:
        events = fill(rows, timezone.now())
    except NotEmpty as error:
        sys.stderr.write(f"{error}\n")
        return 2
    summary = {"changes": rows, "events": events, "seconds": round(time.monotonic() - began, 1)}
    sys.stdout.write(f"{json.dumps(summary)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Triggers by which the database itself refuses to alter history.

* Events, reports and pieces of log are never updated, and deleted only under a PruningPermit
  that covers them.
* The request of a change (who, what, when, why, from where) and its outcome are never altered; rows
  are deleted only while their server's history is being pruned.
* The head of a chain only increases.
* No row replaces an existing one, and no table is truncated: on SQLite ``REPLACE`` deletes without
  firing triggers for deletes, on PostgreSQL so does ``TRUNCATE``.

Triggers are created after every migration, because SQLite drops them with a rebuilt table; and
dropped before, because SQLite refuses to rename a table used by a trigger.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

FROZEN = (
    "id",
    "uuid",
    "server_id",
    "server_name",
    "from_mpm",
    "from_itk",
    "to_mpm",
    "to_itk",
    "choice",
    "plan",
    "goal",
    "transaction",
    "undo_of",
    "digest",
    "base_digest",
    "reason",
    "ticket",
    "origin",
    "actor_name",
    "actor_role",
    "token_name",
    "address",
    "agent_class",
    "request_id",
    "requested_at",
    "not_before",
    "not_after",
)
FROZEN_AT_THE_END = (
    "state",
    "step",
    "started_at",
    "finished_at",
    "cancel_requested_at",
    "cancel_requested_by",
    "cancel_refused",
    "sentence",
    "sentence_words",
    "decided_by",
    "error",
    "diagnosis",
    "moved",
    "interruption",
    "refused",
    "longest_wait_ms",
    "search",
)
"""Columns frozen at the end. Later messages of the agent are stored as reports and log only."""
_ACTIVE = "('scheduled','queued','running','canceling')"
_ENDED = "('succeeded','restored','not_started','failed','canceled')"

KEYS: dict[str, tuple[tuple[str, ...], ...]] = {
    "mpm_chain": (("server_name",),),
    "mpm_event": (("id",), ("server_name", "seq")),
    "mpm_change": (("id",), ("uuid",), ("server_id",)),
    "mpm_report": (("id",), ("change_id", "seq")),
    "mpm_logchunk": (("id",), ("change_id", "offset")),
}
"""The guarded tables, and every combination of columns that is unique in them."""

_PERMIT = "EXISTS (SELECT 1 FROM mpm_pruningpermit p WHERE p.server_name = OLD.server_name"
_EVENT_PERMITTED = f"{_PERMIT} AND OLD.seq BETWEEN p.first_seq AND p.last_seq)"
_CHANGE_PERMITTED = f"{_PERMIT})"
_NOT_PRUNED = f"NOT {_CHANGE_PERMITTED}"
_REPORT_PERMITTED = (
    "EXISTS (SELECT 1 FROM mpm_pruningpermit p JOIN mpm_change c "
    "ON c.server_name = p.server_name WHERE c.id = OLD.change_id)"
)
_PERMITS = "mpm_pruningpermit"


@dataclass(frozen=True, slots=True)
class Guard:
    """A trigger. ``when`` is the condition to refuse under, in words both databases know, with
    ``{differs}`` for "is another value, or one of both is none"; "" refuses always."""

    name: str
    event: str
    table: str
    when: str
    message: str


def _moved(columns: Iterable[str]) -> str:
    return " OR ".join(f'OLD."{column}" {{differs}} NEW."{column}"' for column in columns)


def _taken(table: str) -> str:
    """Whether a row with one of the new row's keys is there."""
    tests = []
    for columns in KEYS[table]:
        same = " AND ".join(f'o."{column}" = NEW."{column}"' for column in columns)
        if (table, columns) == ("mpm_change", ("server_id",)):
            same = f"NEW.state IN {_ACTIVE} AND o.state IN {_ACTIVE} AND {same}"
        tests.append(f"EXISTS (SELECT 1 FROM {table} o WHERE {same})")  # noqa: S608 our own words
    return " OR ".join(tests)


_REQUEST_CHANGED = " OR ".join(
    (
        _moved(FROZEN),
        # A user may be deleted, and the rolled back change pruned; neither may be replaced.
        *(
            f'(NEW."{one}" IS NOT NULL AND {_moved((one,))})'
            for one in ("user_id", "rollback_of_id")
        ),
        f'(NEW."rollback_of_id" IS NULL AND OLD."rollback_of_id" IS NOT NULL AND {_NOT_PRUNED})',
        f'(OLD."adopted_at" IS NOT NULL AND ({_moved(("adopted_at", "adopted_by"))}))',
    )
)

_ON_BOTH = (
    Guard("mpm_event_once", "UPDATE", "mpm_event", "", "history is written once"),
    Guard("mpm_event_kept", "DELETE", "mpm_event", f"NOT {_EVENT_PERMITTED}", "history is kept"),
    Guard("mpm_report_once", "UPDATE", "mpm_report", "", "history is written once"),
    Guard("mpm_report_kept", "DELETE", "mpm_report", f"NOT {_REPORT_PERMITTED}", "history is kept"),
    Guard("mpm_logchunk_once", "UPDATE", "mpm_logchunk", "", "history is written once"),
    Guard(
        "mpm_logchunk_kept", "DELETE", "mpm_logchunk", f"NOT {_REPORT_PERMITTED}", "history is kept"
    ),
    Guard(
        "mpm_change_frozen",
        "UPDATE",
        "mpm_change",
        _REQUEST_CHANGED,
        "what was asked for is frozen",
    ),
    Guard(
        "mpm_change_ended",
        "UPDATE",
        "mpm_change",
        f"OLD.state IN {_ENDED} AND ({_moved(FROZEN_AT_THE_END)})",
        "a change stays as it ended",
    ),
    Guard("mpm_change_kept", "DELETE", "mpm_change", _NOT_PRUNED, "history is kept"),
    Guard(
        "mpm_chain_forward",
        "UPDATE",
        "mpm_chain",
        f"NEW.seq <= OLD.seq OR {_moved(('server_name',))}",
        "a chain only moves on",
    ),
    Guard("mpm_chain_kept", "DELETE", "mpm_chain", "", "history is kept"),
)


def guards(vendor: str) -> Iterator[Guard]:
    """Every trigger of a database of ``vendor``."""
    yield from _ON_BOTH
    for table in KEYS:
        if vendor == "sqlite":
            message = "this is taken, and history is written once"
            yield Guard(f"{table}_new", "INSERT", table, _taken(table), message)
        else:
            yield Guard(f"{table}_not_emptied", "TRUNCATE", table, "", "history is kept")


def _condition(guard: Guard, differs: str) -> str:
    return guard.when.format(differs=differs)


def _sqlite_statement(guard: Guard) -> str:
    condition = _condition(guard, "IS NOT")
    when = f"WHEN {condition} " if condition else ""
    return (
        f"CREATE TRIGGER {guard.name} BEFORE {guard.event} ON {guard.table} {when}"
        f"BEGIN SELECT RAISE(ABORT, '{guard.message}'); END"
    )


def _postgresql_body(guard: Guard) -> str:
    """The condition is in the function, whose text the database stores unchanged, so that
    missing_guards can compare it."""
    refuse = f"RAISE EXCEPTION '{guard.message}' USING ERRCODE = 'integrity_constraint_violation';"
    condition = _condition(guard, "IS DISTINCT FROM")
    checked = f"IF {condition} THEN {refuse} END IF;" if condition else refuse
    return f"BEGIN {checked} RETURN {'OLD' if guard.event == 'DELETE' else 'NEW'}; END"


def install_guards(connection: BaseDatabaseWrapper) -> None:
    """Create the triggers; existing ones are replaced."""
    remove_guards(connection)
    with connection.cursor() as cursor:
        for guard in guards(connection.vendor):
            if connection.vendor == "sqlite":
                cursor.execute(_sqlite_statement(guard))
                continue
            each = "STATEMENT" if guard.event == "TRUNCATE" else "ROW"
            cursor.execute(
                f"CREATE OR REPLACE FUNCTION {guard.name}() RETURNS trigger LANGUAGE plpgsql "
                f"AS $guard${_postgresql_body(guard)}$guard$"
            )
            cursor.execute(
                f"CREATE TRIGGER {guard.name} BEFORE {guard.event} ON {guard.table} "
                f"FOR EACH {each} EXECUTE FUNCTION {guard.name}()"
            )


def remove_guards(connection: BaseDatabaseWrapper) -> None:
    """Take the triggers away, for a migration or for emptying a test database."""
    tables = set(connection.introspection.table_names())
    with connection.cursor() as cursor:
        for guard in guards(connection.vendor):
            if connection.vendor == "sqlite":
                cursor.execute(f"DROP TRIGGER IF EXISTS {guard.name}")
            elif guard.table in tables:
                cursor.execute(f"DROP TRIGGER IF EXISTS {guard.name} ON {guard.table}")


_ROW, _BEFORE = 1, 2
_EVENTS = {"INSERT": 4, "DELETE": 8, "UPDATE": 16, "TRUNCATE": 32}
"""Bits of pg_trigger.tgtype."""


def missing_guards(connection: BaseDatabaseWrapper) -> list[str]:
    """Names of the triggers that are missing or altered: a manipulated database."""
    expected: dict[str, tuple[Any, ...]]
    if connection.vendor == "sqlite":
        source = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"
        expected = {guard.name: (_sqlite_statement(guard),) for guard in guards("sqlite")}
    else:
        source = (
            "SELECT t.tgname, c.relname, t.tgtype, p.prosrc FROM pg_trigger t "
            "JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_proc p ON p.oid = t.tgfoid "
            "WHERE NOT t.tgisinternal AND t.tgenabled IN ('O', 'A') "
            "AND t.tgqual IS NULL AND t.tgattr = '' AND pg_table_is_visible(c.oid)"
        )
        expected = {
            guard.name: (
                guard.table,
                _EVENTS[guard.event] + _BEFORE + (guard.event != "TRUNCATE") * _ROW,
                _postgresql_body(guard),
            )
            for guard in guards("postgresql")
        }
    with connection.cursor() as cursor:
        cursor.execute(source)
        present = {str(row[0]): tuple(row[1:]) for row in cursor.fetchall()}
    return [name for name, sql in expected.items() if present.get(name) != sql]


def before_migration(using: str, **_: Any) -> None:
    from django.db import connections

    remove_guards(connections[using])


def after_migration(using: str, **_: Any) -> None:
    """Only once all their tables exist: a migration may stop at an earlier state."""
    from django.db import connections

    connection = connections[using]
    if not set(connection.introspection.table_names()) >= {*KEYS, _PERMITS}:
        return
    with connection.cursor() as cursor:
        described = connection.introspection.get_table_description(cursor, "mpm_change")
    if {column.name for column in described} >= {*FROZEN, *FROZEN_AT_THE_END}:
        install_guards(connection)

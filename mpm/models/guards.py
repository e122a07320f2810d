"""What the database itself refuses, whoever asks: altering history.

* Events are never updated, and deleted only under a PruningPermit that covers them.
* Of a change, who asked for what, when, why and from where is never altered, and a change
  that ended stays as it ended; rows go only while something of their server is being pruned.

Triggers are set after every migration, because SQLite drops them with a table that is rebuilt;
and taken away before, because SQLite refuses to rename a table a trigger still speaks of.
"""

from __future__ import annotations

from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper

FROZEN = (
    "uuid",
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
)
FROZEN_AT_THE_END = ("state", "sentence", "decided_by", "started_at", "finished_at", "refused")
ENDED = "('succeeded','rolled_back','failed','cancelled')"
_PERMITTED = (
    "EXISTS (SELECT 1 FROM mpm_pruningpermit p WHERE p.server_name = OLD.server_name{extra})"
)
EVENT_PERMITTED = _PERMITTED.format(extra=" AND OLD.seq BETWEEN p.first_seq AND p.last_seq")
CHANGE_PERMITTED = _PERMITTED.format(extra="")

_RAISE = "RAISE EXCEPTION USING MESSAGE = TG_ARGV[0], ERRCODE = 'integrity_constraint_violation';"

TRIGGERS = (
    ("mpm_event_once", "UPDATE", "mpm_event", "", "history is written once"),
    ("mpm_event_kept", "DELETE", "mpm_event", f"NOT {EVENT_PERMITTED}", "history is kept"),
    ("mpm_change_frozen", "UPDATE", "mpm_change", FROZEN, "what was asked for is frozen"),
    ("mpm_change_ended", "UPDATE", "mpm_change", FROZEN_AT_THE_END, "a change stays as it ended"),
    ("mpm_change_kept", "DELETE", "mpm_change", f"NOT {CHANGE_PERMITTED}", "history is kept"),
)


def _condition(name: str, what: str | tuple[str, ...], differs: str) -> str:
    if isinstance(what, str):
        return what
    moved = " OR ".join(f'OLD."{column}" {differs} NEW."{column}"' for column in what)
    return f"OLD.state IN {ENDED} AND ({moved})" if name == "mpm_change_ended" else moved


def install_guards(connection: BaseDatabaseWrapper) -> None:
    """Set the triggers; those that are there already are replaced."""
    remove_guards(connection)
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            _install_on_sqlite(cursor)
        else:
            _install_on_postgresql(cursor)


def _install_on_sqlite(cursor: CursorWrapper) -> None:
    for name, event, table, what, message in TRIGGERS:
        condition = _condition(name, what, "IS NOT")
        when = f"WHEN {condition}" if condition else ""
        cursor.execute(
            f"CREATE TRIGGER {name} BEFORE {event} ON {table} {when} "
            f"BEGIN SELECT RAISE(ABORT, '{message}'); END"
        )


def _install_on_postgresql(cursor: CursorWrapper) -> None:
    cursor.execute(
        "CREATE OR REPLACE FUNCTION mpm_refuse() RETURNS trigger LANGUAGE plpgsql AS $$ "
        f"BEGIN {_RAISE} END $$"
    )
    cursor.execute(
        "CREATE OR REPLACE FUNCTION mpm_refuse_unpermitted() RETURNS trigger "
        "LANGUAGE plpgsql AS $$ BEGIN IF TG_TABLE_NAME = 'mpm_event' THEN "
        f"IF {EVENT_PERMITTED} THEN RETURN OLD; END IF; "
        f"ELSIF {CHANGE_PERMITTED} THEN RETURN OLD; END IF; "
        f"{_RAISE} END $$"
    )
    for name, event, table, what, message in TRIGGERS:
        if event == "DELETE":
            when, function = "", "mpm_refuse_unpermitted"
        else:
            condition = _condition(name, what, "IS DISTINCT FROM")
            when, function = (f"WHEN ({condition})" if condition else ""), "mpm_refuse"
        cursor.execute(
            f"CREATE TRIGGER {name} BEFORE {event} ON {table} FOR EACH ROW {when} "
            f"EXECUTE FUNCTION {function}('{message}')"
        )


def remove_guards(connection: BaseDatabaseWrapper) -> None:
    """Take the triggers away, for a migration or for emptying a test database."""
    tables = set(connection.introspection.table_names())
    with connection.cursor() as cursor:
        for name, _event, table, _what, _message in TRIGGERS:
            if connection.vendor == "sqlite":
                cursor.execute(f"DROP TRIGGER IF EXISTS {name}")
            elif table in tables:
                cursor.execute(f"DROP TRIGGER IF EXISTS {name} ON {table}")


def missing_guards(connection: BaseDatabaseWrapper) -> list[str]:
    """Names of the triggers that are not there: a database somebody has worked on."""
    source = (
        "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        if connection.vendor == "sqlite"
        else "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal AND tgenabled <> 'D'"
    )
    with connection.cursor() as cursor:
        cursor.execute(source)
        present = {str(row[0]) for row in cursor.fetchall()}
    return [trigger[0] for trigger in TRIGGERS if trigger[0] not in present]


def before_migration(using: str, **_: Any) -> None:
    from django.db import connections

    remove_guards(connections[using])


def after_migration(using: str, **_: Any) -> None:
    """Only once every table is there: a migration may stop at an earlier one."""
    from django.db import connections

    connection = connections[using]
    needed = {"mpm_event", "mpm_change", "mpm_pruningpermit"}
    if needed <= set(connection.introspection.table_names()):
        install_guards(connection)

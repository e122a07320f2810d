"""The index for free text search: every three consecutive letters of Change.search.

* SQLite: an FTS5 table beside the changes (``Words``), updated by triggers in the transaction that
  writes a row. Python's SQLite may have been built without FTS5.
* PostgreSQL: an index of pg_trgm, an extension that the owner of a database may add since
  PostgreSQL 13, if its files are installed.

Without it, search still works by reading every row. It is created after each migration, like the
guards, because SQLite drops triggers with a rebuilt table.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, TypeAlias

from django.db import DatabaseError, models, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper
from django.db.models.sql.compiler import SQLCompiler

from mpm.changes.models.change import Change

if TYPE_CHECKING:  # Django's own classes take no types when they run
    _Text: TypeAlias = models.TextField[str, str]
    _Lookup: TypeAlias = models.Lookup[str]
else:
    _Text, _Lookup = models.TextField, models.Lookup

TABLE, INDEX = "mpm_change_words", "change_by_words"
_MADE = (
    f"CREATE VIRTUAL TABLE {TABLE} USING fts5(search, content='mpm_change', content_rowid='id', "
    "tokenize='trigram case_sensitive 1', detail=none, columnsize=0)"
)
_FORGET = f"INSERT INTO {TABLE} ({TABLE}, rowid, search) VALUES ('delete', OLD.id, OLD.search);"  # noqa: S608
_LEARN = f"INSERT INTO {TABLE} (rowid, search) VALUES (NEW.id, NEW.search);"  # noqa: S608
_TRIGGERS = {
    f"{TABLE}_new": f"AFTER INSERT ON mpm_change BEGIN {_LEARN} END",
    f"{TABLE}_gone": f"AFTER DELETE ON mpm_change BEGIN {_FORGET} END",
    f"{TABLE}_moved": (
        "AFTER UPDATE OF search ON mpm_change WHEN OLD.search IS NOT NEW.search "
        f"BEGIN {_FORGET} {_LEARN} END"
    ),
}
_known: dict[str, bool] = {}
log = logging.getLogger(__name__)

MISSING = "Text search in the history has no index: every search reads all changes."
REMEDY = {
    "sqlite": "Use a Python whose SQLite has FTS5 (3.34 or newer), then: manage.py migrate",
    "postgresql": (
        "As a superuser of this database, run: CREATE EXTENSION pg_trgm; then run: manage.py "
        "migrate"
    ),
}


class MatchField(_Text):
    """The column of an FTS5 table with the table's own name: the left side of MATCH."""


@MatchField.register_lookup
class Match(_Lookup):
    lookup_name = "match"

    def as_sql(
        self, compiler: SQLCompiler, connection: BaseDatabaseWrapper
    ) -> tuple[str, tuple[Any, ...]]:
        left, values = self.process_lhs(compiler, connection)
        right, more = self.process_rhs(compiler, connection)
        return f"{left} MATCH {right}", (*values, *more)


class Words(models.Model):
    """A row of the table on SQLite; it does not exist on PostgreSQL."""

    change = models.OneToOneField(
        Change,
        models.DO_NOTHING,
        primary_key=True,
        db_column="rowid",
        db_constraint=False,
        related_name="words",
    )
    found = MatchField(db_column=TABLE)

    class Meta:
        managed = False
        db_table = TABLE
        default_permissions = ()

    def __str__(self) -> str:
        return f"words of #{self.change_id}"


def indexed(connection: BaseDatabaseWrapper) -> bool:
    """Whether this database has the index. Read once per process."""
    name = str(connection.settings_dict["NAME"])
    if name not in _known:
        _known[name] = _is_there(connection)
    return _known[name]


def _is_there(connection: BaseDatabaseWrapper) -> bool:
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            if not _has_fts5(cursor):
                return False
            cursor.execute("SELECT name, sql FROM sqlite_master WHERE type IN ('table', 'trigger')")
            present = dict(cursor.fetchall())
            return present.get(TABLE) == _MADE and all(
                present.get(name) == f"CREATE TRIGGER {name} {body}"
                for name, body in _TRIGGERS.items()
            )
        cursor.execute(
            "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)", [INDEX]
        )
        return bool(cursor.fetchone() == (True,))


def _has_fts5(cursor: CursorWrapper) -> bool:
    cursor.execute("SELECT 1 FROM pragma_module_list WHERE name = 'fts5'")
    return cursor.fetchone() is not None


def install_words(connection: BaseDatabaseWrapper) -> bool:
    """Make the index where it is missing, or not as it should be; reads every change once then.
    Returns whether it is there."""
    if _is_there(connection):
        _known[str(connection.settings_dict["NAME"])] = True
        return True
    remove_words(connection)
    statements = [
        _MADE,
        f"INSERT INTO {TABLE} ({TABLE}) VALUES ('rebuild')",  # noqa: S608
        *(f"CREATE TRIGGER {name} {body}" for name, body in _TRIGGERS.items()),
    ]
    if connection.vendor == "postgresql":
        statements = [
            "CREATE EXTENSION IF NOT EXISTS pg_trgm",
            f"CREATE INDEX {INDEX} ON mpm_change USING gin (search gin_trgm_ops)",
        ]
    try:
        with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
    except DatabaseError as error:
        log.warning("%s %s (%s)", MISSING, REMEDY[connection.vendor], error)
        made = False
    else:
        made = True
    _known[str(connection.settings_dict["NAME"])] = made
    return made


def remove_words(connection: BaseDatabaseWrapper) -> None:
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            for name in _TRIGGERS:
                cursor.execute(f"DROP TRIGGER IF EXISTS {name}")
            if _has_fts5(cursor):  # nothing else can drop its table; without triggers it is idle
                cursor.execute(f"DROP TABLE IF EXISTS {TABLE}")
        else:
            cursor.execute(f"DROP INDEX IF EXISTS {INDEX}")
    _known.pop(str(connection.settings_dict["NAME"]), None)


def after_migration(using: str, **_: Any) -> None:
    """Only once the changes are there: a migration may stop at an earlier one."""
    from django.db import connections

    connection = connections[using]
    if "mpm_change" in connection.introspection.table_names():
        install_words(connection)

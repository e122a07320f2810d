"""The database in a backup: SQLite's own online copy, and PostgreSQL's own dump."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path

from django.db import connection
from django.db.migrations.recorder import MigrationRecorder

from easyapache.private_files import database_files
from mpm.backup.archive import BadBackup

SQLITE, POSTGRESQL = "database.sqlite3", "database.dump"
LONGEST = 6 * 3600
"""Seconds that a dump or a load may take."""


def member() -> str:
    """The name of this panel's database in a backup."""
    return SQLITE if connection.vendor == "sqlite" else POSTGRESQL


def save(target: Path) -> None:
    """A consistent copy of the database, while the panel writes. Raises BadBackup."""
    if connection.vendor == "sqlite":
        path = Path(connection.settings_dict["NAME"])
        if not path.is_file():
            raise BadBackup(f"There is no database at {path}.")
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        with closing(sqlite3.connect(path)) as old, closing(sqlite3.connect(target)) as new:
            old.backup(new)
            [[verdict]] = new.execute("PRAGMA quick_check(1)").fetchall()
            new.execute("PRAGMA journal_mode=DELETE")
        if verdict != "ok":
            raise BadBackup(f"The database is damaged: {verdict}")
        return
    _run("pg_dump", "--format=custom", "--no-owner", "--no-privileges", f"--file={target}")


def is_empty() -> bool:
    """Whether there is no table in it yet. A database that does not exist is empty."""
    if connection.vendor == "sqlite" and not Path(connection.settings_dict["NAME"]).exists():
        return True
    return not connection.introspection.table_names()


def load(source: Path, now: datetime) -> Path | None:
    """Put ``source`` in the place of the database; returns where the SQLite database that was there
    before is kept. Nothing else may use it meanwhile. Raises BadBackup, and has then changed
    nothing."""
    if connection.vendor == "sqlite":
        return _load_sqlite(source, Path(connection.settings_dict["NAME"]), now)
    connection.close()
    _run(
        "pg_restore",
        *("--single-transaction", "--exit-on-error", "--no-owner", "--no-privileges"),
        *("--clean", "--if-exists"),
        f"--dbname={connection.settings_dict['NAME']}",
        str(source),
    )
    return None


def _load_sqlite(source: Path, path: Path, now: datetime) -> Path | None:
    try:
        with closing(sqlite3.connect(source)) as new:
            [[verdict]] = new.execute("PRAGMA quick_check(1)").fetchall()
    except sqlite3.DatabaseError as error:
        verdict = str(error)
    if verdict != "ok":
        raise BadBackup(f"The database in the backup is damaged: {verdict}")
    connection.close()
    kept = None
    if path.exists():
        kept = path.with_name(f"{path.name}.before-restore-{now:%Y%m%dT%H%M%SZ}")
        # The copy must include the contents of the write-ahead log.
        with closing(sqlite3.connect(path)) as old, closing(sqlite3.connect(kept)) as copy:
            old.backup(copy)
            old.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        kept.chmod(0o600)
    beside = path.with_name(f".{path.name}.restored")
    shutil.copyfile(source, beside)
    beside.chmod(0o600)
    with beside.open("rb") as file:
        os.fsync(file.fileno())
    for leftover in database_files(path)[1:]:
        leftover.unlink()
    beside.replace(path)
    return kept


def applied_migrations() -> list[str]:
    return sorted(
        f"{app}.{name}" for app, name in MigrationRecorder(connection).applied_migrations()
    )


def _run(program: str, *words: str) -> None:
    if shutil.which(program) is None:
        raise BadBackup(
            f"{program} isn't installed (Debian: postgresql-client, AlmaLinux: postgresql)."
        )
    with _service() as environment:
        try:
            done = subprocess.run(
                [program, "--no-password", *words],
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                timeout=LONGEST,
            )
        except subprocess.TimeoutExpired as error:
            raise BadBackup(f"{program} didn't end within {LONGEST} seconds.") from error
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        raise BadBackup(f"{program}: {lines[-1] if lines else f'status {done.returncode}'}")


@contextmanager
def _service() -> Iterator[Mapping[str, str]]:
    """An environment in which PostgreSQL's tools find this database. Its password is in a file that
    only this account can read, and never an argument."""
    found = connection.settings_dict
    values = {
        **{str(key): str(value) for key, value in found["OPTIONS"].items()},
        "dbname": found["NAME"],
        "user": found["USER"],
        "password": found["PASSWORD"],
        "host": found["HOST"],
        "port": str(found["PORT"]),
    }
    if any("\n" in value for value in values.values()):
        raise BadBackup("DATABASE_URL has a line break, which PostgreSQL's tools can't read.")
    with tempfile.TemporaryDirectory(prefix="ea4s") as folder:
        file = Path(folder) / "service"
        file.touch(mode=0o600)
        lines = [f"{key}={value}" for key, value in values.items() if value]
        file.write_text("\n".join(["[panel]", *lines, ""]), encoding="utf-8")
        kept = {key: os.environ[key] for key in ("PATH", "LANG", "TMPDIR") if key in os.environ}
        yield {**kept, "PGSERVICEFILE": str(file), "PGSERVICE": "panel", "LC_ALL": "C"}

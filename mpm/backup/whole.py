"""Makes a backup of the whole panel, and brings one back."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.db import DatabaseError, connection
from django.db.migrations.loader import MigrationLoader

from easyapache.environment import Environment
from mpm import VERSION
from mpm.backup import archive, database
from mpm.backup.archive import BadBackup
from mpm.history.verification.database import verify_database
from mpm.history.verification.verdict import Verdict
from mpm.servers.models import Pulse

KEYS, CONFIGURATION = "keys.env", "configuration"
RESTORED_KEYS, RESTORED_CONFIGURATION = "restored-keys.env", "restored-configuration"
PEPPERS = "TOKEN_PEPPERS"
AT_WORK = timedelta(seconds=60)
LARGEST_FILE = 64 * 2**20
"""Bytes of one file of the configuration: nothing that is one is larger."""


@dataclass(frozen=True, slots=True)
class Restored:
    """``kept``: the database that was there before; ``keys`` and ``configuration``: where they were
    written; ``other_key``: whether this panel runs with another SECRET_KEY than the backup's."""

    made_at: str
    version: str
    kept: Path | None
    keys: Path
    configuration: Path | None
    other_key: bool
    verdict: Verdict


def back_up(
    path: Path, configuration: Iterable[Path], passphrase_file: Path | None, now: datetime
) -> int:
    """Write the backup and return its size in bytes. Raises BadBackup and OSError."""
    with tempfile.TemporaryDirectory(prefix=".ea4-backup-", dir=path.parent) as name:
        copy = Path(name) / database.member()
        database.save(copy)
        with archive.written(path, passphrase_file) as backup:
            backup.add_file(database.member(), copy)
            backup.add_text(KEYS, _keys())
            for file, inside in _files_of(configuration):
                backup.add_file(f"{CONFIGURATION}/{inside}", file)
            backup.finish(
                {
                    "version": VERSION,
                    "made_at": now.isoformat(),
                    "database": connection.vendor,
                    "migrations": database.applied_migrations(),
                }
            )
    return path.stat().st_size


def _keys() -> str:
    """What tokens, webhooks and sessions are sealed with, as lines of NAME=value."""
    found = {"SECRET_KEY": settings.SECRET_KEY, PEPPERS: Environment().text(PEPPERS)}
    if any("\n" in value for value in found.values()):
        raise BadBackup("A key has a line break, and can't be written into a backup.")
    return "".join(f"{name}={value}\n" for name, value in found.items() if value)


def _files_of(places: Iterable[Path]) -> Iterable[tuple[Path, str]]:
    """Each file of the configuration with its name in the backup: its absolute path. Links are
    followed only to files in the same folder, as in a folder of versions."""
    for place in places:
        if not place.exists():
            raise BadBackup(f"There is no {place}.")
        for file in sorted(place.rglob("*")) if place.is_dir() else [place]:
            if file.is_dir():
                continue
            if not file.is_file():
                raise BadBackup(f"{file} isn't a file.")
            if file.stat().st_size > LARGEST_FILE:
                raise BadBackup(f"{file} is too large for a file of the configuration.")
            yield file, str(file.absolute()).lstrip("/")


def restore(
    path: Path,
    *,
    passphrase_file: Path | None,
    replace: bool,
    now: datetime,
) -> Restored:
    """Restore a backup: the database in its place, keys and configuration beside it for manual
    review. Then verify the history.

    Raises BadBackup; nothing is changed then.
    """
    var = Path(settings.VAR)
    var.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(prefix=".ea4-restore-", dir=var) as name:
        folder = Path(name)
        manifest = archive.unpack(path, folder, passphrase_file)
        source = _fitting(manifest, folder)
        _must_be_free(replace, now)
        keys, configuration = var / RESTORED_KEYS, None
        if (folder / CONFIGURATION).is_dir():
            configuration = var / f"{RESTORED_CONFIGURATION}-{now:%Y%m%dT%H%M%SZ}"
        try:
            shutil.copyfile(folder / KEYS, keys)
            keys.chmod(0o600)
            if configuration is not None:
                shutil.copytree(folder / CONFIGURATION, configuration)
                configuration.chmod(0o700)
            kept = database.load(source, now)
        except (BadBackup, OSError):
            keys.unlink(missing_ok=True)
            if configuration is not None:
                shutil.rmtree(configuration, ignore_errors=True)
            raise
        call_command("migrate", verbosity=0, interactive=False)
    return Restored(
        made_at=str(manifest.get("made_at")),
        version=str(manifest.get("version")),
        kept=kept,
        keys=keys,
        configuration=configuration,
        other_key=f"SECRET_KEY={settings.SECRET_KEY}\n" not in keys.read_text(encoding="utf-8"),
        verdict=verify_database(),
    )


def _fitting(manifest: dict[str, Any], folder: Path) -> Path:
    """The database of the backup, where this panel can hold it. Raises BadBackup."""
    kind = manifest.get("database")
    if kind != connection.vendor:
        raise BadBackup(
            f"The backup is of a panel with {kind}, and DATABASE_URL here names "
            f"{connection.vendor}. Set DATABASE_URL to a database of the same kind."
        )
    source = folder / database.member()
    if not source.is_file() or not (folder / KEYS).is_file():
        raise BadBackup("The backup has no database or no keys.")
    known = {f"{app}.{name}" for app, name in MigrationLoader(None).disk_migrations}
    applied = manifest.get("migrations")
    newer = sorted(set(applied if isinstance(applied, list) else ()) - known)
    if newer:
        raise BadBackup(
            f"The backup was made by version {manifest.get('version')}, which is newer than this "
            f"panel ({VERSION}): it has {newer[0]}. Install that version first."
        )
    return source


def _must_be_free(replace: bool, now: datetime) -> None:
    """Raises BadBackup for a database in use, and for one with tables unless it may be
    replaced."""
    if database.is_empty():
        return
    if not replace:
        raise BadBackup(
            "There is a database already. Use --replace to put the backup in its place."
        )
    try:
        at_work = Pulse.objects.filter(name__in=("control", "beat"), at__gt=now - AT_WORK)
        names = list(at_work.values_list("name", flat=True))
    except DatabaseError:
        return  # no database of a panel: nothing works with it
    if names:
        raise BadBackup(
            "The panel is at work with this database. Stop its parts, wait a minute, and try again."
        )
